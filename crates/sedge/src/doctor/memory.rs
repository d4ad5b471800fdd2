//! How much memory there is, and who limits it.

use serde_json::json;

use super::cgroup::{Groups, Limit};
use super::{Context, Finding, State};
use crate::table;

const AREA: &str = "memory";

/// A small model runs in this much; with less, loading will fail.
const NEEDED: u64 = 32 << 20;
/// Below this the models of the size class that Sedge is for do not all fit.
const COMFORTABLE: u64 = 128 << 20;

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let host = &context.host;
    let info = Meminfo::parse(&host.read("/proc/meminfo").unwrap_or_default());
    let groups = Groups::of(host, "memory");
    let group = groups.as_ref().and_then(|groups| groups.memory(host));
    let group_swap = groups.as_ref().and_then(|groups| groups.swap(host));
    let address_space = host.is_this().then(address_space).flatten();
    vec![
        limit(&info, group, groups.map(|groups| groups.version), address_space),
        available(&info, group),
        swap(&info, group_swap),
    ]
}

/// The lowest limit on this process' addresses or data, `ulimit -v` and `ulimit -d`.
fn address_space() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    let limits = [Resource::As, Resource::Data].map(|resource| getrlimit(resource).current);
    limits.into_iter().flatten().min()
}

/// What `/proc/meminfo` says, in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meminfo {
    total: Option<u64>,
    available: Option<u64>,
    swap_total: Option<u64>,
    swap_free: Option<u64>,
}

impl Meminfo {
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            kib.checked_mul(1024)
        };
        Self {
            total: value("MemTotal"),
            // Kernels before 3.14 do not estimate it; what is free is a lower bound.
            available: value("MemAvailable").or_else(|| value("MemFree")),
            swap_total: value("SwapTotal"),
            swap_free: value("SwapFree"),
        }
    }
}

fn limit(
    info: &Meminfo,
    group: Option<Limit>,
    version: Option<u8>,
    address_space: Option<u64>,
) -> Finding {
    let mut parts = Vec::new();
    parts.extend(info.total.map(|bytes| format!("{} on the machine", table::bytes(bytes))));
    if let (Some(group), Some(version)) = (group, version) {
        let bytes = table::bytes(group.bytes);
        parts.push(format!("limited to {bytes} by the control group (version {version})"));
    }
    parts.extend(
        address_space
            .map(|bytes| format!("address space limited to {} (ulimit)", table::bytes(bytes))),
    );
    let value = if parts.is_empty() { "unknown".to_owned() } else { parts.join(", ") };
    let data = json!({
        "total_bytes": info.total,
        "cgroup_bytes": group.map(|group| group.bytes),
        "cgroup_version": version,
        "address_space_bytes": address_space,
    });
    if address_space.is_some_and(|bytes| bytes < COMFORTABLE) {
        let hint = "model files are mapped into the address space: raise the limit with \
                    ulimit -v unlimited (systemd: LimitAS=infinity)";
        return Finding::bad(State::Warning, AREA, "limit", value, hint).with(data);
    }
    if parts.is_empty() {
        let hint = "mount /proc: without it nobody knows how much memory there is";
        return Finding::bad(State::Note, AREA, "limit", value, hint);
    }
    Finding::ok(AREA, "limit", value).with(data)
}

fn available(info: &Meminfo, group: Option<Limit>) -> Finding {
    let left = group.map(|group| group.bytes.saturating_sub(group.used.unwrap_or(0)));
    let available = match (info.available, left) {
        (Some(machine), Some(left)) => Some(machine.min(left)),
        (machine, left) => machine.or(left),
    };
    let Some(bytes) = available else {
        let hint = "mount /proc: without it nobody knows how much memory is free";
        return Finding::bad(State::Note, AREA, "available", "unknown", hint);
    };
    let value = table::bytes(bytes);
    let data = json!({"bytes": bytes});
    let state = match bytes {
        0..NEEDED => State::Problem,
        NEEDED..COMFORTABLE => State::Warning,
        _ => return Finding::ok(AREA, "available", value).with(data),
    };
    let hint = "stop other programs or raise the limit of the container; quantised models need a \
                quarter of the memory";
    Finding::bad(state, AREA, "available", value, hint).with(data)
}

fn swap(info: &Meminfo, group: Option<Limit>) -> Finding {
    let total = info.swap_total.unwrap_or(0);
    let usable = group.map_or(total, |group| group.bytes.min(total));
    let used = total.saturating_sub(info.swap_free.unwrap_or(total));
    let data = json!({"total_bytes": total, "usable_bytes": usable, "used_bytes": used});
    let value = match (total, usable) {
        (0, _) => "none".to_owned(),
        (_, 0) => "none for this control group".to_owned(),
        _ => format!("{}, {} used", table::bytes(usable), table::bytes(used)),
    };
    // A model that is swapped out answers after seconds instead of milliseconds.
    if used > total / 2 && usable > 0 {
        let hint = "more than half is in use, so memory is short: stop other programs or choose a \
                    smaller model";
        return Finding::bad(State::Warning, AREA, "swap", value, hint).with(data);
    }
    Finding::ok(AREA, "swap", value).with(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        1000000 kB\nMemFree:          100000 kB\n\
                           MemAvailable:     500000 kB\nSwapTotal:        102400 kB\n\
                           SwapFree:         102400 kB\n";

    #[test]
    fn meminfo_is_read() {
        let info = Meminfo::parse(MEMINFO);
        assert_eq!((info.total, info.available), (Some(1_024_000_000), Some(512_000_000)));
        let old = Meminfo::parse("MemTotal: 10 kB\nMemFree: 5 kB\n");
        assert_eq!(old.available, Some(5120));
        assert_eq!(Meminfo::parse("MemTotal: many\n"), Meminfo::default());
        assert_eq!(Meminfo::parse("MemTotal: 18446744073709551615 kB"), Meminfo::default());
    }

    #[test]
    fn what_is_left_of_the_group_counts() {
        let info = Meminfo::parse(MEMINFO);
        for (group, state, value) in [
            (None, State::Ok, "488.3 MiB"),
            (Some((256 << 20, Some(56 << 20))), State::Ok, "200.0 MiB"),
            (Some((256 << 20, Some(200 << 20))), State::Warning, "56.0 MiB"),
            (Some((64 << 20, Some(65 << 20))), State::Problem, "0 B"),
        ] {
            let group = group.map(|(bytes, used)| Limit { bytes, used });
            let found = available(&info, group);
            assert_eq!((found.state, found.value.as_str()), (state, value));
        }
        let group = Some(Limit { bytes: 256 << 20, used: None });
        let found = limit(&info, group, Some(2), Some(64 << 20));
        assert_eq!(found.state, State::Warning);
        assert_eq!(
            found.value,
            "976.6 MiB on the machine, limited to 256.0 MiB by the control group (version 2), \
             address space limited to 64.0 MiB (ulimit)"
        );
    }

    #[test]
    fn swap_is_judged_by_its_use() {
        let full = MEMINFO.replace("SwapFree:         102400", "SwapFree:  1024");
        for (text, group, state, value) in [
            (MEMINFO, None, State::Ok, "100.0 MiB, 0 B used"),
            (MEMINFO, Some(0), State::Ok, "none for this control group"),
            (full.as_str(), None, State::Warning, "100.0 MiB, 99.0 MiB used"),
            ("", None, State::Ok, "none"),
        ] {
            let group = group.map(|bytes| Limit { bytes, used: None });
            let found = swap(&Meminfo::parse(text), group);
            assert_eq!((found.state, found.value.as_str()), (state, value));
        }
    }
}
