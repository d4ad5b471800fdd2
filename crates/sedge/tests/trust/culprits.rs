//! A model that takes everything or falls over, and the service beside it.

use std::fs;
use std::time::{Duration, Instant};

use crate::home::{Core, Home};
use crate::http::{Ask, Refusal};

/// More numbers than the limit of the culprit below has room for.
const TOO_MANY: i64 = 200 << 20;

/// Asks the victim while `act` is done.
fn beside(core: &Core, act: impl FnOnce()) {
    assert!(core.beside("victim", act) > 0);
    let status = core.status("victim");
    assert_eq!(status["backend"]["restarts"], 0);
    assert_eq!(status["requests"]["errors"], 0);
}

fn resident_kib(core: &Core) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", core.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse().unwrap()
}

fn refused(core: &Core, ask: Ask) -> Refusal {
    core.client().infer("culprit", ask).unwrap_err()
}

#[test]
fn memory_without_bound_ends_one_process() {
    let home = Home::new(&[("culprit", "memory_mib = 256\ninstances = 1"), ("victim", "")]);
    let core = home.serve();
    core.wait_for("culprit", "ready");
    core.wait_for("victim", "ready");
    core.constant("culprit");
    let before = resident_kib(&core);
    beside(&core, || {
        for _ in 0..3 {
            let refusal = refused(&core, Ask { x: 0.0, size: 1, bulk: TOO_MANY });
            assert_eq!(refusal.status, 500);
            for word in ["256 MiB", "memory_mib"] {
                assert!(refusal.text.contains(word), "no '{word}': {refusal}");
            }
            assert_eq!(core.constant("culprit"), 1.0, "the next one is answered");
        }
    });
    let after = resident_kib(&core);
    assert!(after < before + (8 << 10), "the core grew from {before} to {after} KiB");
    let memory = &core.status("culprit")["backend"]["memory"];
    assert_eq!(memory["limit"], 256 << 20, "{memory}");
}

#[test]
fn time_without_end_ends_one_process() {
    let keys = "timeout_ms = 1000\ngrace_ms = 500\ninstances = 2";
    let home = Home::new(&[("culprit", keys), ("victim", "")]);
    let core = home.serve();
    core.wait_for("culprit", "ready");
    core.wait_for("victim", "ready");
    let hung = core.worker("culprit").unwrap();
    beside(&core, || {
        let begun = Instant::now();
        let refusal = refused(&core, Ask { x: 0.0, size: 6000, bulk: 1 });
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}: {refusal}", begun.elapsed());
        assert!(refusal.status == 503 && refusal.text.contains("1000 ms"), "{refusal}");
        core.wait_until("culprit", |status| {
            status["state"] == "ready" && status["backend"]["pid"] != hung
        });
        assert_eq!(core.constant("culprit"), 1.0);
    });
    let error = core.status("culprit")["backend"]["last_error"].to_string();
    assert!(error.contains("was not answered within"), "{error}");
}

#[test]
fn who_crashes_again_and_again_is_given_up_until_it_is_reset() {
    let home = Home::new(&[("culprit", "timeout_ms = 30000\nmemory_mib = 256"), ("victim", "")]);
    let core = home.serve();
    core.wait_for("culprit", "ready");
    core.wait_for("victim", "ready");
    beside(&core, || {
        let mut crashes = 0;
        while core.status("culprit")["state"] != "broken" {
            // Every second request is an honest one, and answered.
            if let Ok(answer) = core.client().infer("culprit", Ask::quick(2.0)) {
                assert_eq!(answer.y, 3.0);
                let refusal = refused(&core, Ask { x: 0.0, size: 1, bulk: TOO_MANY });
                assert!(refusal.text.contains("256 MiB"), "{refusal}");
                crashes += 1;
            }
            assert!(crashes <= 8, "{}", home.log());
        }
        assert_eq!(crashes, 8);
        let refusal = refused(&core, Ask::quick(0.0));
        assert!(refusal.status == 503 && refusal.text.contains("reset"), "{refusal}");
        assert!(home.does(&["logs", "culprit"]).contains("256 MiB"));
    });
    home.does(&["reset", "culprit"]);
    core.wait_for("culprit", "ready");
    assert_eq!(core.constant("culprit"), 1.0);
}
