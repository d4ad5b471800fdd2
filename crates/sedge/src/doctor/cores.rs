//! How many processors this process may really use.

use serde_json::json;

use super::cgroup::Groups;
use super::{Context, Finding, Host, State};

const AREA: &str = "cpu";

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let quota = Groups::of(&context.host, "cpu").and_then(|groups| groups.cpus(&context.host));
    let allowed = allowed(&context.host);
    let machine = context.host.word("/sys/devices/system/cpu/online").map(|list| listed(&list));
    vec![cores(machine, allowed, quota, sedge_engine::available_threads())]
}

/// Processors of the affinity mask, as `/proc/self/status` lists them.
fn allowed(host: &Host) -> Option<usize> {
    if host.is_this() {
        let set = rustix::thread::sched_getaffinity(None).ok()?;
        return Some(set.count() as usize);
    }
    let status = host.read("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(listed(list.trim()))
}

/// How many `0-3,8` names.
fn listed(list: &str) -> usize {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        Some(last.saturating_sub(first) + 1)
    };
    list.split(',').filter_map(range).fold(0, usize::saturating_add)
}

fn cores(
    machine: Option<usize>,
    allowed: Option<usize>,
    quota: Option<f64>,
    threads: usize,
) -> Finding {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let mut value = format!("{threads} thread{} per inference", plural(threads));
    let mut why = Vec::new();
    why.extend(machine.map(|count| format!("{count} on the machine")));
    why.extend(
        allowed.filter(|&count| Some(count) != machine).map(|count| format!("{count} by affinity")),
    );
    why.extend(quota.map(|cpus| format!("{cpus:.2} by the control group's quota")));
    if !why.is_empty() {
        value.push_str(&format!(": {}", why.join(", ")));
    }
    let data = json!({"machine": machine, "affinity": allowed, "quota": quota, "threads": threads});
    if quota.is_some_and(|cpus| cpus < 1.0) {
        let hint = "less than one processor means pauses in every inference: raise the quota \
                    (docker --cpus, systemd CPUQuota=) to 1 or more";
        return Finding::bad(State::Warning, AREA, "cores", value, hint).with(data);
    }
    Finding::ok(AREA, "cores", value).with(data)
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::machine;
    use super::*;

    #[test]
    fn lists_of_processors_are_counted() {
        for (list, count) in [("0", 1), ("0-3", 4), ("0-3,8,10-11", 7), ("", 0), ("x-y", 0)] {
            assert_eq!(listed(list), count, "{list}");
        }
        let (_kept, host) = machine(&[("/proc/self/status", "Cpus_allowed_list:\t0-1,4\n")]);
        assert_eq!(allowed(&host), Some(3));
    }

    #[test]
    fn what_limits_is_said() {
        let plain = cores(Some(4), Some(4), None, 4);
        assert_eq!(plain.value, "4 threads per inference: 4 on the machine");
        let limited = cores(Some(8), Some(4), Some(0.5), 1);
        assert_eq!(limited.state, State::Warning);
        assert_eq!(
            limited.value,
            "1 thread per inference: 8 on the machine, 4 by affinity, \
             0.50 by the control group's quota"
        );
    }
}
