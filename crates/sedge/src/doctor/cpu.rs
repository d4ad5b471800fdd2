//! Which processor this is, and which of its instructions matter to engines.

use serde_json::json;

use super::{Context, Finding, Host, State};

const AREA: &str = "cpu";

/// Processors of Arm's small devices: implementer and part as `/proc/cpuinfo` writes them.
/// Source: the MIDR values of Arm's technical reference manuals, as in util-linux' `lscpu-arm.c`.
const ARM_PARTS: [(u32, u32, &str); 26] = [
    (0x41, 0xc05, "Cortex-A5"),
    (0x41, 0xc07, "Cortex-A7"),
    (0x41, 0xc08, "Cortex-A8"),
    (0x41, 0xc09, "Cortex-A9"),
    (0x41, 0xc0d, "Cortex-A17"),
    (0x41, 0xc0f, "Cortex-A15"),
    (0x41, 0xb76, "ARM1176"),
    (0x41, 0xd01, "Cortex-A32"),
    (0x41, 0xd03, "Cortex-A53"),
    (0x41, 0xd04, "Cortex-A35"),
    (0x41, 0xd05, "Cortex-A55"),
    (0x41, 0xd07, "Cortex-A57"),
    (0x41, 0xd08, "Cortex-A72"),
    (0x41, 0xd09, "Cortex-A73"),
    (0x41, 0xd0a, "Cortex-A75"),
    (0x41, 0xd0b, "Cortex-A76"),
    (0x41, 0xd0c, "Neoverse-N1"),
    (0x41, 0xd0d, "Cortex-A77"),
    (0x41, 0xd40, "Neoverse-V1"),
    (0x41, 0xd41, "Cortex-A78"),
    (0x41, 0xd42, "Cortex-A78AE"),
    (0x41, 0xd44, "Cortex-X1"),
    (0x41, 0xd46, "Cortex-A510"),
    (0x41, 0xd47, "Cortex-A710"),
    (0x41, 0xd49, "Neoverse-N2"),
    (0x4e, 0x004, "Carmel"),
];

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let text = context.host.read("/proc/cpuinfo").unwrap_or_default();
    let about = About::parse(&text);
    vec![model(&context.host, &about), features(&about)]
}

/// What `/proc/cpuinfo` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct About {
    model: Option<String>,
    /// Flags of x86 or features of Arm.
    flags: Vec<String>,
    /// The file is of another kind of processor: an emulator shows its host's.
    foreign: bool,
}

impl About {
    fn parse(text: &str) -> Self {
        Self::parse_for(text, std::env::consts::ARCH)
    }

    fn parse_for(text: &str, arch: &str) -> Self {
        let value = |wanted: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == wanted).then(|| value.trim().to_owned())
            })
        };
        let is_x86 = value("vendor_id").is_some();
        if !text.is_empty() && is_x86 != arch.starts_with("x86") {
            return Self { foreign: true, ..Self::default() };
        }
        let flags = value("flags").or_else(|| value("Features")).unwrap_or_default();
        let flags = flags.split_whitespace().map(str::to_owned).collect();
        let model = value("model name").or_else(|| value("Processor"));
        Self { model: arm_parts(text).or(model), flags, foreign: false }
    }
}

/// `4 x Cortex-A76, 4 x Cortex-A55`: the kinds of cores that a system on a chip has.
fn arm_parts(text: &str) -> Option<String> {
    let hexadecimal = |line: &str| {
        let value = line.split_once(':')?.1.trim();
        u32::from_str_radix(value.trim_start_matches("0x"), 16).ok()
    };
    let mut implementer = None;
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for line in text.lines() {
        if line.starts_with("CPU implementer") {
            implementer = hexadecimal(line);
        } else if line.starts_with("CPU part") {
            let (implementer, part) = (implementer?, hexadecimal(line)?);
            let known = ARM_PARTS.iter().find(|entry| (entry.0, entry.1) == (implementer, part));
            let name = known.map_or_else(
                || format!("implementer {implementer:#x} part {part:#x}"),
                |entry| entry.2.to_owned(),
            );
            match kinds.iter_mut().find(|(kind, _)| *kind == name) {
                Some((_, count)) => *count += 1,
                None => kinds.push((name, 1)),
            }
        }
    }
    let kinds: Vec<_> = kinds.iter().map(|(name, count)| format!("{count} x {name}")).collect();
    (!kinds.is_empty()).then(|| kinds.join(", "))
}

fn model(host: &Host, about: &About) -> Finding {
    let arch = std::env::consts::ARCH;
    if about.foreign {
        let value = format!("{arch}, emulated on another processor");
        let hint = "answers are right under emulation, times mean nothing; \
                    run sedge on the device itself to measure";
        return Finding::bad(State::Note, AREA, "model", value, hint)
            .with(json!({"arch": arch, "emulated": true}));
    }
    let board = host.word("/proc/device-tree/model").filter(|board| !board.is_empty());
    let mut parts: Vec<String> = about.model.iter().cloned().collect();
    parts.extend(board.clone());
    let value = match parts.as_slice() {
        [] => arch.to_owned(),
        parts => format!("{} ({arch})", parts.join(", ")),
    };
    Finding::ok(AREA, "model", value)
        .with(json!({"arch": arch, "model": about.model, "board": board, "emulated": false}))
}

fn features(about: &About) -> Finding {
    let found = detected(&about.flags);
    let present: Vec<&str> = found.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    let absent: Vec<&str> = found.iter().filter(|(_, has)| !*has).map(|(name, _)| *name).collect();
    let value = match present.as_slice() {
        [] => "none of those that matter".to_owned(),
        present => present.join(" "),
    };
    let data = json!({"present": present, "absent": absent});
    let lacks = |name: &str| absent.contains(&name);
    let wanted = match std::env::consts::ARCH {
        "x86_64" if lacks("avx2") || lacks("fma") => "AVX2 and FMA",
        "aarch64" if lacks("neon") => "NEON",
        "arm" if lacks("neon") => "NEON",
        _ => return Finding::ok(AREA, "features", value).with(data),
    };
    let hint = format!(
        "without {wanted} inference takes several times longer: choose a quantised, small model, \
         and in a virtual machine pass the host's processor through"
    );
    Finding::bad(State::Warning, AREA, "features", value, hint).with(data)
}

/// Asks the processor; `flags` only for what the standard library cannot ask for yet.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn detected(flags: &[String]) -> Vec<(&'static str, bool)> {
    let flag = |name: &str| flags.iter().any(|flag| flag == name);
    vec![
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
        ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ("avxvnni", std::arch::is_x86_feature_detected!("avxvnni")),
        ("amx-int8", flag("amx_int8")),
        ("amx-bf16", flag("amx_bf16")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn detected(_flags: &[String]) -> Vec<(&'static str, bool)> {
    vec![
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
    ]
}

#[cfg(target_arch = "arm")]
fn detected(_flags: &[String]) -> Vec<(&'static str, bool)> {
    // HWCAP_VFPv4 and HWCAP_NEON of Linux' arch/arm/include/uapi/asm/hwcap.h.
    let (capabilities, _) = rustix::param::linux_hwcap();
    vec![("neon", capabilities & 1 << 12 != 0), ("vfpv4", capabilities & 1 << 16 != 0)]
}

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "x86",
    target_arch = "aarch64",
    target_arch = "arm"
)))]
fn detected(_flags: &[String]) -> Vec<(&'static str, bool)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPYC: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n\
                        flags\t\t: fpu avx2 amx_int8\n\nprocessor\t: 1\nvendor_id\t: AuthenticAMD\n";
    const RASPBERRY: &str = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd asimddp\n\
        CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\nprocessor\t: 1\nCPU implementer\t: 0x41\n\
        CPU part\t: 0xd0b\n\nSerial\t\t: 10000000abcdef\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n";

    #[test]
    fn cpuinfo_of_x86_and_arm() {
        let about = About::parse_for(EPYC, "x86_64");
        assert_eq!(about.model.as_deref(), Some("AMD EPYC"));
        assert_eq!(about.flags, ["fpu", "avx2", "amx_int8"]);
        let about = About::parse_for(RASPBERRY, "aarch64");
        assert_eq!(about.model.as_deref(), Some("2 x Cortex-A76"));
        assert_eq!(about.flags, ["fp", "asimd", "asimddp"]);
        let mixed = "CPU implementer : 0x41\nCPU part : 0xd03\nCPU part : 0xd08\nCPU part: 0xfff\n";
        assert_eq!(
            About::parse_for(mixed, "arm").model.as_deref(),
            Some("1 x Cortex-A53, 1 x Cortex-A72, 1 x implementer 0x41 part 0xfff")
        );
        let old = "Processor\t: ARMv7 Processor rev 4 (v7l)\nFeatures\t: half thumb neon\n";
        assert_eq!(
            About::parse_for(old, "arm").model.as_deref(),
            Some("ARMv7 Processor rev 4 (v7l)")
        );
        assert_eq!(About::parse_for("", "x86_64"), About::default());
    }

    #[test]
    fn an_emulator_shows_its_hosts_file() {
        for (text, arch, foreign) in [
            (EPYC, "aarch64", true),
            (EPYC, "arm", true),
            (RASPBERRY, "x86_64", true),
            (EPYC, "x86_64", false),
            (RASPBERRY, "arm", false),
        ] {
            assert_eq!(About::parse_for(text, arch).foreign, foreign, "{arch}");
        }
    }
}
