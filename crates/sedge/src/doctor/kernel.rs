//! The system below Sedge: kernel, C library, distribution, clock.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{Context, Finding, Host, State};

const AREA: &str = "system";

/// The oldest kernel that Sedge is tried on: that of Debian 10.
const OLDEST_KERNEL: (u32, u32) = (4, 19);

/// What onnxruntime's own builds need (manylinux_2_28).
const GLIBC_OF_ONNXRUNTIME: (u32, u32) = (2, 28);

/// A C library is a few MiB long.
const MAX_LIBRARY_BYTES: u64 = 16 << 20;

/// Sedge did not exist before: 1 January 2026, in seconds since 1970.
const NOT_BEFORE: u64 = 1_767_225_600;
/// A clock this far on is one that nobody has set: 1 January 2100.
const NOT_AFTER: u64 = 4_102_444_800;

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let host = &context.host;
    let program = std::env::current_exe().ok();
    let built = program.and_then(|path| path.metadata().ok()?.modified().ok());
    vec![system(host), kernel(host), c_library(host), clock(SystemTime::now(), built)]
}

fn system(host: &Host) -> Finding {
    let text = host.read("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map(|name| name.trim_matches(['"', '\'']).to_owned());
    let container = container(host);
    let mut value = name.clone().unwrap_or_else(|| "Linux".into());
    if let Some(container) = &container {
        value.push_str(&format!(", in a container ({container})"));
    }
    Finding::ok(AREA, "distribution", value).with(json!({"name": name, "container": container}))
}

/// The container manager that started this, as it leaves its traces.
fn container(host: &Host) -> Option<String> {
    if host.exists("/.dockerenv") {
        return Some("docker".into());
    }
    if host.exists("/run/.containerenv") {
        return Some("podman".into());
    }
    host.word("/run/systemd/container").filter(|name| !name.is_empty())
}

fn kernel(host: &Host) -> Finding {
    let Some(release) = host.word("/proc/sys/kernel/osrelease") else {
        let hint = "mount /proc: much of what Sedge measures and limits is there";
        return Finding::bad(State::Note, AREA, "kernel", "unknown", hint);
    };
    let data = json!({"release": release});
    if version(&release).is_some_and(|version| version < OLDEST_KERNEL) {
        let (major, minor) = OLDEST_KERNEL;
        let hint = format!("Sedge is tried on Linux {major}.{minor} and newer: update the system");
        return Finding::bad(State::Warning, AREA, "kernel", release, hint).with(data);
    }
    Finding::ok(AREA, "kernel", release).with(data)
}

/// `(6, 1)` of `6.1.0-18-arm64`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn c_library(host: &Host) -> Finding {
    const NAME: &str = "C library";
    let maps = host.read("/proc/self/maps").unwrap_or_default();
    let mapped = |start: &str| {
        maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).find(|path| {
            Path::new(path).file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.starts_with(start) && name.contains(".so")
            })
        })
    };
    let Some(path) = mapped("libc.so").or_else(|| mapped("libc-")) else {
        return Finding::ok(AREA, NAME, "not visible: linked statically, or no /proc");
    };
    let text = glibc_version(&host.path(path));
    let data = json!({"glibc": text, "path": path});
    let Some(text) = text else {
        let hint = "Sedge and onnxruntime are built for glibc 2.28 or newer";
        return Finding::bad(State::Note, AREA, NAME, format!("no glibc: {path}"), hint).with(data);
    };
    let value = format!("glibc {text}");
    if version(&text).is_some_and(|version| version < GLIBC_OF_ONNXRUNTIME) {
        let hint = "onnxruntime's own builds need 2.28: use the embedded engine, or update";
        return Finding::bad(State::Note, AREA, NAME, value, hint).with(data);
    }
    Finding::ok(AREA, NAME, value).with(data)
}

/// The version in glibc's banner, `GNU C Library (...) stable release version 2.36.`
fn glibc_version(library: &Path) -> Option<String> {
    const BEFORE: &[u8] = b"release version ";
    let mut bytes = Vec::new();
    File::open(library).ok()?.take(MAX_LIBRARY_BYTES).read_to_end(&mut bytes).ok()?;
    let banner = bytes.windows(13).position(|window| window == b"GNU C Library")?;
    let at = bytes[banner..].windows(BEFORE.len()).position(|window| window == BEFORE)?;
    let version = bytes[banner + at + BEFORE.len()..].iter().map(|&byte| char::from(byte));
    let version: String =
        version.take_while(|c| c.is_ascii_digit() || *c == '.').take(16).collect();
    let version = version.trim_end_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

fn clock(now: SystemTime, built: Option<SystemTime>) -> Finding {
    let text = humantime::format_rfc3339_seconds(now).to_string();
    let after = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    // An hour of grace for a program that was copied from a machine whose clock is ahead.
    let built = built.map(|built| built - Duration::from_secs(3600));
    let wrong = if now < after(NOT_BEFORE) || built.is_some_and(|built| now < built) {
        "before this program was made"
    } else if now > after(NOT_AFTER) {
        "far in the future"
    } else {
        return Finding::ok(AREA, "clock", text.clone()).with(json!({"time": text}));
    };
    let hint = "a wrong clock breaks TLS certificates, signatures and logs: sudo timedatectl \
                set-ntp true, or set it with sudo date --set";
    Finding::bad(State::Warning, AREA, "clock", format!("{text}, {wrong}"), hint)
        .with(json!({"time": text}))
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::machine;
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, state) in [
            ("6.1.0-18-arm64\n", State::Ok),
            ("4.19.0\n", State::Ok),
            ("4.9.140-tegra\n", State::Warning),
            ("10.0\n", State::Ok),
            ("odd\n", State::Ok),
        ] {
            let (_kept, host) = machine(&[("/proc/sys/kernel/osrelease", release)]);
            assert_eq!(kernel(&host).state, state, "{release}");
        }
    }

    #[test]
    fn glibc_says_its_version_in_its_file() {
        let banner = "\0GNU C Library (Debian GLIBC 2.36-9+deb12u4) stable release version 2.36.\n";
        let old = banner.replace("version 2.36", "version 2.27");
        let maps = "7f-80 r-xp 0 08:01 1    /usr/lib/x86_64-linux-gnu/libc.so.6\n";
        for (text, state, value) in [
            (banner, State::Ok, "glibc 2.36"),
            (old.as_str(), State::Note, "glibc 2.27"),
            ("something else", State::Note, "no glibc: /usr/lib/x86_64-linux-gnu/libc.so.6"),
        ] {
            let (_kept, host) = machine(&[
                ("/proc/self/maps", maps),
                ("/usr/lib/x86_64-linux-gnu/libc.so.6", text),
            ]);
            let found = c_library(&host);
            assert_eq!((found.state, found.value.as_str()), (state, value));
        }
        assert_eq!(c_library(&machine(&[]).1).state, State::Ok);
    }

    #[test]
    fn clocks_are_judged() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (now, built, state) in [
            (0, None, State::Warning),
            (1_790_000_000, None, State::Ok),
            (1_790_000_000, Some(1_790_001_000), State::Ok),
            (1_790_000_000, Some(1_800_000_000), State::Warning),
            (5_000_000_000, None, State::Warning),
        ] {
            assert_eq!(clock(at(now), built.map(at)).state, state, "{now} {built:?}");
        }
    }

    #[test]
    fn containers_are_named() {
        let (_kept, host) = machine(&[("/.dockerenv", ""), ("/etc/os-release", "ID=x\n")]);
        assert_eq!(system(&host).value, "Linux, in a container (docker)");
        let (_kept, host) = machine(&[("/etc/os-release", "ID=x\nPRETTY_NAME=\"Debian 12\"\n")]);
        assert_eq!(system(&host).value, "Debian 12");
    }
}
