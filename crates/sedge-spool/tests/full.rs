//! A disk that is too small: a real one of one MiB, which only root can make.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sedge_spool::{Entry, OnFull, Options, Priority, Settled, Spool, SpoolError, Sync};

/// Runs the test below in a mount namespace of its own.
#[test]
fn a_full_disk_loses_nothing_unseen() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let script =
        r#"mount -t tmpfs -o size=1m sedge "$1" && exec "$0" --exact small --ignored --nocapture"#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(&root)
        .env("FULL_ROOT", &root)
        .output();
    let shown = |output: &std::process::Output| {
        let (out, error) = (&output.stdout, &output.stderr);
        format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
    };
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) if shown(&output).contains("running 1 test") => panic!("{}", shown(&output)),
        other => {
            let reason = "no disk of one MiB can be mounted here; that takes root";
            let detail = other.map_or_else(|error| error.to_string(), |output| shown(&output));
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}: {detail}");
            #[allow(clippy::print_stderr)]
            {
                eprintln!("skipped: {reason}");
            }
        }
    }
}

#[test]
#[ignore = "started by the test above, on a small disk"]
fn small() {
    let Ok(root) = std::env::var("FULL_ROOT") else { return };
    let directory = Path::new(&root).join("spool");
    let body = vec![7; 30_000];
    let entry =
        Entry { destination: "s3", priority: Priority::Normal, headers: b"key", body: &body };
    // A sync at work keeps removed files for as long as it takes.
    let sync = Sync::Every(Duration::from_secs(3600));
    for on_full in [OnFull::Reject, OnFull::DropOldest] {
        let options = Options { on_full, sync, segment_bytes: 100_000, ..Options::default() };
        let spool = Spool::open(&directory, options.clone()).unwrap();
        let counters = || spool.status().lanes[0].counters;
        if on_full == OnFull::Reject {
            let error = (0..99).find_map(|_| spool.append(&entry).err()).unwrap();
            assert!(matches!(error, SpoolError::NoSpace { .. }), "{error}");
            let taken = counters().appended;
            assert!(taken > 20, "{taken}");
            // Something else takes what is left, and goes.
            let other = Path::new(&root).join("other");
            let _ = std::fs::write(&other, vec![0; 1 << 20]);
            assert!(spool.append(&entry).is_err());
            std::fs::remove_file(&other).unwrap();
            let consumer = spool.consumer("s3").unwrap();
            for _ in 0..4 {
                let record = consumer.try_next().unwrap().unwrap();
                assert_eq!(record.body, body);
                consumer.settle(record.id, Settled::Delivered).unwrap();
            }
            assert_eq!(spool.append(&entry).unwrap().number, taken + 1);
        } else {
            let before = counters().appended;
            for _ in 0..99 {
                spool.append(&entry).unwrap();
            }
            let now = counters();
            assert_eq!(now.appended, before + 99);
            assert!(now.dropped_by_size > 60, "{now:?}");
        }
        let (now, waiting) = (counters(), spool.status().lanes[0].records);
        let gone = now.delivered + now.dropped_by_size;
        assert_eq!((now.lost, now.appended), (0, gone + waiting));
        drop(spool);
        let again = Spool::open(&directory, options).unwrap().status();
        assert_eq!((again.lanes[0].counters, again.lanes[0].records), (now, waiting));
    }
}
