//! Services that come and go leave nothing behind in the core.

use std::fs;
use std::path::Path;

use crate::home::{Core, Home, children, entries, until};

/// Cycles after which the core has what it keeps.
const SETTLED: u64 = 10;

/// What a process holds.
#[derive(Debug)]
struct Held {
    resident_kib: u64,
    descriptors: usize,
    threads: usize,
    children: usize,
    /// Mappings of shared memory.
    shared: usize,
}

impl Held {
    fn of(core: &Core) -> Self {
        let path = |name: &str| format!("/proc/{}/{name}", core.pid());
        let status = fs::read_to_string(path("status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let maps = fs::read_to_string(path("maps")).unwrap();
        Self {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
            descriptors: entries(Path::new(&path("fd"))).len(),
            threads: entries(Path::new(&path("task"))).len(),
            children: children(core.pid()).len(),
            shared: maps.lines().filter(|line| line.contains("memfd:")).count(),
        }
    }
}

#[test]
fn the_core_is_as_large_after_many_cycles() {
    let cycles = crate::number("SEDGE_CYCLES", 30).max(SETTLED + 1);
    let keep = ("keep", "");
    let home = Home::new(&[keep, ("comes", "")]);
    let core = home.serve();
    core.wait_for("comes", "ready");
    let mut settled = None;
    for cycle in 1..=cycles {
        if cycle % 2 == 0 {
            home.does(&["restart", "comes"]);
        } else {
            home.configure(&[keep]);
            home.does(&["reload"]);
            home.configure(&[keep, ("comes", "")]);
            home.does(&["reload"]);
            core.wait_for("comes", "ready");
        }
        assert_eq!(core.constant("comes"), 2.0 - 1.0);
        if cycle == SETTLED {
            quiet(&core);
            settled = Some(Held::of(&core));
        }
    }
    quiet(&core);
    let (settled, now) = (settled.unwrap(), Held::of(&core));
    println!("after {SETTLED} cycles {settled:?}, after {cycles} {now:?}");
    assert_eq!(now.children, 2, "one process for each service");
    assert_eq!(now.shared, settled.shared);
    // Threads for blocking work come and go within seconds; descriptors of the pool with them.
    assert!(now.threads <= settled.threads + 2, "{settled:?} {now:?}");
    assert!(now.descriptors <= settled.descriptors + 2, "{settled:?} {now:?}");
    // Two percent, and what one page cache of the allocator is.
    let most = settled.resident_kib + settled.resident_kib / 50 + 512;
    assert!(now.resident_kib <= most, "{settled:?} {now:?}");
}

/// Waits until the processes that were replaced are gone and what was freed is handed back.
fn quiet(core: &Core) {
    until("replaced processes end", || children(core.pid()).len() == 2);
    std::thread::sleep(std::time::Duration::from_secs(12));
}
