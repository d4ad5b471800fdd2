//! The spool as its users see it, on a real disk.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sedge_spool::{
    Entry, Inspection, MAX_BODY_BYTES, MAX_DESTINATIONS, MAX_HEADERS_BYTES, MAX_IN_FLIGHT,
    OWED_BYTES, OnFull, Options, Priority, Settled, Spool, SpoolError, Sync,
};

const LONG: Duration = Duration::from_secs(60);

fn entry<'a>(destination: &'a str, body: &'a [u8]) -> Entry<'a> {
    Entry { destination, priority: Priority::Normal, headers: b"topic", body }
}

#[test]
fn what_is_appended_is_handed_out_until_it_is_settled() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("deep/spool");
    let spool = Spool::open(&directory, Options::default()).unwrap();
    for (priority, body) in
        [(Priority::Low, "low"), (Priority::High, "high"), (Priority::Normal, "normal")]
    {
        let entry = Entry { priority, ..entry("mqtt", body.as_bytes()) };
        assert_eq!(spool.append(&entry).unwrap().number, 1);
    }
    let consumer = spool.consumer("mqtt").unwrap();
    let next = || consumer.next(LONG).unwrap().unwrap();
    let (high, normal) = (next(), next());
    assert_eq!((high.body.as_slice(), high.headers.as_slice()), (&b"high"[..], &b"topic"[..]));
    assert_eq!(normal.body, b"normal");
    consumer.settle(normal.id, Settled::Refused).unwrap();
    consumer.return_all();
    let again = [next(), next()].map(|record| record.body);
    assert_eq!(again, [b"high".to_vec(), b"low".to_vec()]);
    assert!(consumer.try_next().unwrap().is_none());
    let error = consumer.settle(normal.id, Settled::Delivered).unwrap_err();
    assert!(matches!(error, SpoolError::NotHandedOut { .. }), "{error}");
    drop((consumer, spool));
    let spool = Spool::open(&directory, Options::default()).unwrap();
    let counts: Vec<_> =
        spool.status().lanes.into_iter().map(|l| (l.records, l.counters)).collect();
    assert_eq!(counts.iter().map(|(records, _)| *records).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(counts[1].1.refused, 1);
}

#[test]
fn one_process_and_one_consumer_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let open = || Spool::open(place.path(), Options::default());
    let spool = open().unwrap();
    let text = open().unwrap_err().to_string();
    let holder = format!("is in use by the process {}.", std::process::id());
    assert!(text.contains(&holder) && text.contains("Hint: "), "{text}");
    let inspection = Inspection::open(place.path()).unwrap();
    assert_eq!(inspection.holder(), Some(std::process::id().to_string()));
    let consumer = spool.consumer("s3").unwrap();
    let error = spool.consumer("s3").unwrap_err();
    assert!(matches!(error, SpoolError::ConsumerTaken { .. }), "{error}");
    drop(consumer);
    drop(spool.consumer("s3").unwrap());
    drop(spool);
    assert_eq!(inspection.holder(), None);
    open().unwrap();
}

#[test]
fn bounds_are_kept() {
    let place = tempfile::tempdir().unwrap();
    let options = Options { on_full: OnFull::Reject, max_bytes: 1 << 20, ..Options::default() };
    let spool = Spool::open(place.path(), options).unwrap();
    for name in ["", ".lock", "../up", "a/b", "a b", "ä", &"a".repeat(65)] {
        let error = spool.append(&entry(name, b"")).unwrap_err();
        assert!(matches!(error, SpoolError::Destination { .. }), "{error}");
    }
    let large = vec![0; MAX_HEADERS_BYTES + 1];
    let error = spool.append(&Entry { headers: &large, ..entry("s3", b"") }).unwrap_err();
    assert!(matches!(error, SpoolError::TooLarge { .. }), "{error}");
    let error = spool.append(&entry("s3", &vec![0; 1 << 20])).unwrap_err();
    assert!(matches!(error, SpoolError::TooLarge { .. }), "{error}");
    spool.append(&entry("s3", &vec![0; (1 << 20) - 61])).unwrap();
    let error = spool.append(&entry("s3", b"")).unwrap_err();
    assert!(matches!(error, SpoolError::Full { .. }), "{error}");
    const { assert!(MAX_BODY_BYTES > 1 << 20) };

    let place = tempfile::tempdir().unwrap();
    let spool = Spool::open(place.path(), Options::default()).unwrap();
    for index in 0..=MAX_IN_FLIGHT {
        spool.append(&entry("mqtt", &index.to_le_bytes())).unwrap();
    }
    let consumer = spool.consumer("mqtt").unwrap();
    let out: Vec<_> = std::iter::from_fn(|| consumer.try_next().unwrap()).collect();
    assert_eq!(out.len(), MAX_IN_FLIGHT);
    consumer.settle(out[7].id, Settled::Delivered).unwrap();
    assert!(consumer.try_next().unwrap().is_some());
    for index in 1..MAX_DESTINATIONS {
        spool.append(&entry(&format!("d{index}"), b"")).unwrap();
    }
    let error = spool.append(&entry("another", b"")).unwrap_err();
    assert!(matches!(error, SpoolError::TooManyDestinations { .. }), "{error}");
}

#[test]
fn what_is_owed_finds_room_in_a_full_spool() {
    let place = tempfile::tempdir().unwrap();
    let (on_full, max_bytes) = (OnFull::Reject, 1 << 20);
    let options = Options { on_full, max_bytes, ..Options::default() };
    let spool = Spool::open(place.path(), options).unwrap();
    while spool.append(&entry("samples", &[0; 100_000])).is_ok() {}
    let told = entry("messages", &[1; 100_000]);
    let full = spool.append(&told).unwrap_err();
    assert!(matches!(full, SpoolError::Full { .. }), "{full}");
    spool.append_owed(&told).unwrap();
    while spool.append_owed(&told).is_ok() {}
    let status = spool.status();
    assert!(status.bytes > status.max_bytes && status.bytes <= status.max_bytes + OWED_BYTES);
}

#[test]
fn whoever_waits_is_woken() {
    let place = tempfile::tempdir().unwrap();
    let spool = Spool::open(place.path(), Options::default()).unwrap();
    let consumer = spool.consumer("mqtt").unwrap();
    let woken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&woken);
    consumer.wake_by(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    // It is given back: one that is dropped is woken no more.
    let waiting = move || (consumer.next(LONG).unwrap().unwrap().body, consumer);
    let waiting = std::thread::spawn(waiting);
    spool.append(&entry("s3", b"")).unwrap();
    assert_eq!(woken.load(Ordering::SeqCst), 0);
    spool.append(&entry("mqtt", b"now")).unwrap();
    assert_eq!(waiting.join().unwrap().0, b"now");
    assert_eq!(woken.load(Ordering::SeqCst), 1);
}

/// Producers that share syncs, a consumer beside them, and a bound that drops: each producer's
/// records arrive in its order, and what is missing is what was counted.
#[test]
fn many_producers_at_once() {
    for (sync, max_bytes) in [
        (Sync::Always, 1 << 20),
        (Sync::Every(Duration::from_millis(1)), 3_000),
        (Sync::Never, 3_000),
    ] {
        let place = tempfile::tempdir().unwrap();
        let options = Options { sync, max_bytes, segment_bytes: 900, ..Options::default() };
        let spool = Spool::open(place.path(), options).unwrap();
        let (producers, each) = (4, count("SEDGE_SPOOL_EACH", 300));
        let consumer = spool.consumer("mqtt").unwrap();
        let mut last = BTreeMap::new();
        let mut arrived = 0;
        let mut take = |wait: Duration| {
            let Some(record) = consumer.next(wait).unwrap() else { return false };
            let number = |at: usize| u64::from_le_bytes(*record.body[at..].first_chunk().unwrap());
            let (producer, index) = (number(0), number(8));
            let before = last.insert(producer, index);
            assert!(before.is_none_or(|before| before < index), "{producer}: {before:?}, {index}");
            consumer.settle(record.id, Settled::Delivered).unwrap();
            arrived += 1;
            true
        };
        let at_work = AtomicU64::new(producers);
        std::thread::scope(|scope| {
            for producer in 0..producers {
                let (spool, at_work) = (&spool, &at_work);
                scope.spawn(move || {
                    for index in 0..each {
                        let body = [producer, index].map(u64::to_le_bytes).concat();
                        spool.append(&entry("mqtt", &body)).unwrap();
                    }
                    at_work.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while at_work.load(Ordering::SeqCst) > 0 {
                take(Duration::from_millis(1));
            }
        });
        while take(Duration::ZERO) {}
        let counters = spool.status().lanes[0].counters;
        assert_eq!(counters.appended, producers * each);
        assert_eq!(counters.delivered, arrived);
        assert_eq!(counters.dropped_by_size, producers * each - arrived);
        assert!(!matches!(sync, Sync::Always) || counters.dropped_by_size == 0);
        assert_eq!((counters.lost, segments(place.path())), (0, 1));
    }
}

fn segments(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory.join("mqtt/normal")).unwrap();
    names.filter(|name| name.as_ref().unwrap().file_name() != "cursor").count()
}

fn count(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a_newer_format_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let spool = Spool::open(place.path(), Options::default()).unwrap();
    spool.append(&entry("mqtt", b"")).unwrap();
    drop(spool);
    let lane = place.path().join("mqtt/normal");
    std::fs::write(lane.join("00000000000000000009-0123abcd.v2"), "").unwrap();
    let error = Spool::open(place.path(), Options::default()).unwrap_err();
    assert!(matches!(error, SpoolError::Newer { .. }), "{error}");
}

#[test]
fn looking_beside_a_running_process_finds_nothing_lost() {
    let place = tempfile::tempdir().unwrap();
    let options = Options { sync: Sync::Never, segment_bytes: 500, ..Options::default() };
    let spool = Spool::open(place.path(), options).unwrap();
    spool.append(&entry("mqtt", b"")).unwrap();
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let consumer = spool.consumer("mqtt").unwrap();
            for index in 0..count("SEDGE_SPOOL_EACH", 300) * 10 {
                spool.append(&entry("mqtt", &[7; 100])).unwrap();
                if index % 40 > 20 {
                    while let Some(record) = consumer.try_next().unwrap() {
                        consumer.settle(record.id, Settled::Delivered).unwrap();
                    }
                }
            }
            done.store(1, Ordering::SeqCst);
        });
        while done.load(Ordering::SeqCst) == 0 {
            let inspection = Inspection::open(place.path()).unwrap();
            assert_eq!(inspection.lanes()[0].counters.lost, 0);
            assert_eq!(inspection.verify().unwrap().damages, []);
            inspection.records("mqtt", |peek| peek.content.is_some()).unwrap();
        }
    });
}
