//! What a measurement was made on: without it a figure says nothing.

use std::fs;

use serde::Serialize;

/// The machine and what it is busy with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Machine {
    /// Name of the processor.
    pub(crate) cpu: String,
    /// Those of its instruction sets that kernels choose by.
    pub(crate) features: Vec<String>,
    /// Processors this process may use, after affinity and cgroup.
    pub(crate) cores: usize,
    /// How the clock is governed; virtual machines do not tell.
    pub(crate) governor: Option<String>,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// `x86_64`, `aarch64`, `arm`.
    pub(crate) architecture: &'static str,
    pub(crate) memory_bytes: u64,
    /// Processes that ran or wanted to, over the minute before the measurement.
    pub(crate) load_average: f64,
    pub(crate) sedge: &'static str,
}

const FEATURES: [&str; 17] = [
    "sse4_1",
    "avx",
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "neon",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
    "bf16",
];

impl Machine {
    pub(crate) fn read() -> Self {
        let cpuinfo = text("/proc/cpuinfo");
        Self {
            cpu: cpu(&cpuinfo).unwrap_or_else(|| "unknown".into()),
            features: features(&cpuinfo),
            cores: sedge_engine::available_threads(),
            governor: Some(text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
                .filter(|governor| !governor.is_empty()),
            kernel: text("/proc/sys/kernel/osrelease"),
            architecture: std::env::consts::ARCH,
            memory_bytes: memory_bytes(&text("/proc/meminfo")).unwrap_or(0),
            load_average: first_number(&text("/proc/loadavg")).unwrap_or(0.0),
            sedge: env!("CARGO_PKG_VERSION"),
        }
    }

    /// True when other programs may have taken time from what is measured.
    pub(crate) fn is_busy(&self) -> bool {
        self.load_average > 0.5 * self.cores as f64
    }

    /// In one line, for people.
    pub(crate) fn line(&self) -> String {
        let features = self.features.iter().rev().take(4).rev().cloned().collect::<Vec<_>>();
        let governor = self.governor.as_ref().map_or(String::new(), |name| format!(", {name}"));
        let (cores, plural) = (self.cores, if self.cores == 1 { "" } else { "s" });
        format!(
            "{} ({}), {cores} core{plural}{governor}, {:.1} GiB, Linux {}, load {:.2}, sedge {}",
            self.cpu,
            features.join(" "),
            self.memory_bytes as f64 / f64::from(1 << 30),
            self.kernel,
            self.load_average,
            self.sedge
        )
    }
}

fn text(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

/// x86 says `model name`; Arm boards say it in the device tree, older ones as `Hardware`.
fn cpu(cpuinfo: &str) -> Option<String> {
    let board = || {
        let name = text("/proc/device-tree/model").trim_end_matches('\0').to_owned();
        Some(name).filter(|name| !name.is_empty())
    };
    field(cpuinfo, "model name").or_else(board).or_else(|| field(cpuinfo, "Hardware"))
}

fn features(cpuinfo: &str) -> Vec<String> {
    let listed = field(cpuinfo, "flags").or_else(|| field(cpuinfo, "Features"));
    let listed = listed.unwrap_or_default();
    let has = |name: &&&str| listed.split_whitespace().any(|word| word == **name);
    FEATURES.iter().filter(has).map(|name| (*name).to_owned()).collect()
}

fn field(cpuinfo: &str, name: &str) -> Option<String> {
    let entries = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let mut named = entries.filter(|(key, _)| key.trim() == name);
    named.next().map(|(_, value)| value.trim().to_owned())
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kib: u64 = field(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_of_both_kinds_are_understood() {
        let intel = "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu avx2 amx_int8 avx512f\n";
        assert_eq!(cpu(intel).unwrap(), "Xeon");
        assert_eq!(features(intel), ["avx2", "avx512f", "amx_int8"]);
        assert_eq!(features("Features\t: fp asimd asimddp crc32\n"), ["asimd", "asimddp"]);
        assert_eq!(memory_bytes("MemTotal:       2048 kB\n"), Some(2 << 20));
    }

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::read();
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && !machine.kernel.is_empty());
        assert!(machine.line().contains(&machine.kernel));
    }
}
