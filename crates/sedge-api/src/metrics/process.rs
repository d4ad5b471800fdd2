//! The process as the kernel sees it. What cannot be read is left out.

use std::fs;

use super::page::Page;
use super::table;

/// Ticks of the clock that the kernel reports times in; Linux shows user space 100 everywhere.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn add_to(page: &mut Page) {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    if let Some(pss) = kib(&read("smaps_rollup"), "Pss:") {
        page.add(&table::MEMORY_PSS, &[], pss);
    }
    let status = read("status");
    for (metric, key) in [(&table::PROCESS_RSS, "VmRSS:"), (&table::PROCESS_VIRTUAL, "VmSize:")] {
        if let Some(bytes) = kib(&status, key) {
            page.add(metric, &[], bytes);
        }
    }
    if let Some(threads) = value(&status, "Threads:") {
        page.add(&table::PROCESS_THREADS, &[], threads);
    }
    if let Some(times) = Times::parse(&read("stat")) {
        page.add(&table::PROCESS_CPU, &[], times.cpu_seconds);
        let system = fs::read_to_string("/proc/stat").unwrap_or_default();
        if let Some(boot) = value(&system, "btime") {
            page.add(&table::PROCESS_START, &[], boot + times.start_seconds);
        }
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The directory that is read has a descriptor of its own.
        page.add(&table::PROCESS_FDS, &[], entries.count().saturating_sub(1) as f64);
    }
    if let Some(limit) = soft_limit(&read("limits"), "Max open files") {
        page.add(&table::PROCESS_MAX_FDS, &[], limit);
    }
}

/// The number behind a key at the start of a line.
fn value(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn kib(text: &str, key: &str) -> Option<f64> {
    Some(value(text, key)? * 1024.0)
}

fn soft_limit(limits: &str, name: &str) -> Option<f64> {
    value(limits, name)
}

#[derive(Debug, PartialEq)]
struct Times {
    cpu_seconds: f64,
    /// Since the machine booted.
    start_seconds: f64,
}

impl Times {
    /// Fields 14, 15 and 22 of `/proc/PID/stat`; the second, a name in parentheses, may hold
    /// anything.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            start_seconds: ticks(22)? / TICKS_PER_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_move_the_fields() {
        let stat = "7 (a) b 9 (c) R 1 7 7 0 -1 4194304 90 0 0 0 150 50 0 0 20 0 4 0 12345 1 2 3";
        let times = Times::parse(stat).unwrap();
        assert_eq!(times, Times { cpu_seconds: 2.0, start_seconds: 123.45 });
        assert_eq!(Times::parse(""), None);
    }

    #[test]
    fn keys_are_found_at_the_start_of_lines() {
        let status = "Name:\tVmRSS: 1\nVmRSS:\t   2 kB\nThreads:\t3\n";
        assert_eq!((kib(status, "VmRSS:"), value(status, "Threads:")), (Some(2048.0), Some(3.0)));
        let limits = "Max open files            1024                 4096                 files\n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(soft_limit("Max open files  unlimited unlimited files", "Max open files"), None);
    }
}
