use std::fs;

/// Proportional set size of this process in KiB: what is its own, and its share of what several
/// processes use. 0 where the kernel does not tell.
pub(super) fn pss_kib() -> u64 {
    kib("/proc/self/smaps_rollup", "Pss:")
}

/// Largest resident set of this process so far, in KiB.
pub(super) fn peak_rss_kib() -> u64 {
    kib("/proc/self/status", "VmHWM:")
}

fn kib(file: &str, field: &str) -> u64 {
    fs::read_to_string(file).ok().and_then(|text| field_kib(&text, field)).unwrap_or(0)
}

fn field_kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_a_process_takes() {
        let text = "Rss:  900 kB\nPss:                1234 kB\nPss_Dirty: 5 kB\n";
        assert_eq!(field_kib(text, "Pss:"), Some(1234));
        assert_eq!(field_kib("Pss: much", "Pss:"), None);
        assert!(peak_rss_kib() > 0);
    }
}
