//! Memory and time that a worker may take.

use std::time::{Duration, Instant};

use sedge_service::{Request, RunnerError};
use sedge_worker::Launch;

use crate::core::{ask, block_on, launch, limits, small, start};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a_hoarder_is_ended_by_the_watchdog", a_hoarder_is_ended_by_the_watchdog),
    ("a_hoarder_is_ended_by_its_control_group", a_hoarder_is_ended_by_its_control_group),
    ("what_does_not_end_is_ended", what_does_not_end_is_ended),
];

const LIMIT: u64 = 64 << 20;

/// Has a worker hoard, and returns who ended it.
fn hoard() -> String {
    block_on(async {
        let own = resident();
        let launch = Launch { memory_bytes: Some(LIMIT), ..launch("hoard") };
        let (service, _worker) = start(launch, limits()).await;
        let error = ask(&service).await.unwrap_err();
        let RunnerError::Memory { limit_mib, used_mib, suggested_mib } = error else {
            panic!("{error}");
        };
        assert_eq!(limit_mib, 64);
        // The watchdog of a machine that is busy with other things comes late.
        assert!((64..1024).contains(&used_mib), "{used_mib}");
        assert!(suggested_mib >= 96, "{suggested_mib}");
        assert!(resident() < own + (16 << 20), "the core took {} more", resident() - own);
        let status = service.serving().unwrap().status();
        let memory = status.memory.unwrap();
        assert!(memory.peak >= LIMIT / 2, "{memory:?}");
        // It is started again, and ended again.
        let error = ask(&service).await.unwrap_err();
        assert!(matches!(error, RunnerError::Memory { .. }), "{error}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let again = service.serving().unwrap().status().memory.unwrap();
        again.enforced_by.unwrap_or_default()
    })
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Before control groups are asked for, there are none.
fn a_hoarder_is_ended_by_the_watchdog() {
    assert_eq!(hoard(), "watchdog");
}

fn a_hoarder_is_ended_by_its_control_group() {
    match sedge_worker::prepare() {
        Ok(()) => assert_eq!(hoard(), "cgroup"),
        Err(reason) => println!("skipped: {reason}"),
    }
}

fn what_does_not_end_is_ended() {
    block_on(async {
        let (service, _worker) = start(launch("loop"), limits()).await;
        let pid = service.serving().unwrap().status().pid;
        let mut hasty = small();
        hasty.timeout_ms = Some(100);
        let begun = Instant::now();
        let error = service.submit(hasty).await.unwrap_err();
        assert_eq!(error, RunnerError::Deadline { timeout_ms: 100 });
        assert!(begun.elapsed() < Duration::from_millis(1000), "{:?}", begun.elapsed());
        let restarted = async {
            while service.serving().unwrap().status().restarts == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), restarted).await.unwrap();
        assert_ne!(service.serving().unwrap().status().pid, pid);

        // One that takes its time is not, and those who wait behind it have their turn.
        let (service, _worker) = start(launch("sleep"), limits()).await;
        let nap = |ms: usize| Request::picture("test", vec![0; ms].into());
        let (long, short) = tokio::join!(service.submit(nap(1500)), service.submit(nap(1)));
        assert!(long.is_ok() && short.is_ok());
        assert_eq!(service.serving().unwrap().status().restarts, 0);
    });
}
