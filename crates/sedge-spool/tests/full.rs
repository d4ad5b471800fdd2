//! A disk that is too small: a real one of one MiB, which only root can make.
#![allow(clippy::unwrap_used)]

#[path = "common/small_disk.rs"]
mod small_disk;

use std::path::Path;
use std::time::Duration;

use sedge_spool::{Entry, OnFull, Options, Priority, Settled, Spool, SpoolError, Sync};

/// Runs the test below there.
#[test]
fn a_full_disk_loses_nothing_unseen() {
    small_disk::run_on(1);
}

#[test]
#[ignore = "started by the test above, on a small disk"]
fn small() {
    let Ok(root) = std::env::var(small_disk::ROOT) else { return };
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
