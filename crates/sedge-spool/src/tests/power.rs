//! What is left after losses of power at any operation, damage at any byte, full disks and syncs
//! that fail.
//!
//! `SEDGE_SPOOL_SEED` repeats a run, `SEDGE_SPOOL_CUTS` makes it longer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::simulated::Simulated;
use crate::{Counters, Entry, OnFull, Options, Priority, Record, Settled, Spool, SpoolError, Sync};

fn always() -> Options {
    Options { sync: Sync::Always, segment_bytes: 4000, ..Options::default() }
}

fn open(system: &Simulated, options: &Options) -> Spool {
    Spool::on(Arc::new(system.clone()), Path::new("/spool"), options.clone()).unwrap()
}

fn append(spool: &Spool, destination: &str, priority: Priority, body: &[u8]) -> bool {
    spool.append(&Entry { destination, priority, headers: b"h", body }).is_ok()
}

/// All that waits for a destination; handed back.
fn waiting(spool: &Spool, destination: &str) -> Vec<Record> {
    let consumer = spool.consumer(destination).unwrap();
    std::iter::from_fn(|| consumer.try_next().unwrap()).collect()
}

fn counters(spool: &Spool) -> Counters {
    spool.status().lanes.iter().fold(Counters::default(), |sum, lane| {
        let counters = &lane.counters;
        Counters {
            appended: sum.appended + counters.appended,
            delivered: sum.delivered + counters.delivered,
            dropped_by_size: sum.dropped_by_size + counters.dropped_by_size,
            lost: sum.lost + counters.lost,
            ..sum
        }
    })
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

const LANES: [(&str, Priority); 3] =
    [("mqtt", Priority::High), ("mqtt", Priority::Low), ("s3", Priority::Normal)];

/// A body that says which it is: its index, and more bytes of it.
fn body(index: u64, size: usize) -> Vec<u8> {
    [&index.to_le_bytes()[..], &vec![index as u8; size]].concat()
}

fn index(record: &Record) -> u64 {
    u64::from_le_bytes(*record.body.first_chunk().unwrap())
}

/// Under every policy an end of the process takes nothing that was acknowledged, and a loss of power
/// none with `always`; what such a loss left under the others is not taken by anything later.
#[test]
fn what_was_acknowledged_survives_a_cut_at_any_operation() {
    let seed = number("SEDGE_SPOOL_SEED", u64::from(std::process::id()));
    #[allow(clippy::print_stderr)]
    {
        eprintln!("SEDGE_SPOOL_SEED={seed}");
    }
    let mut cut = [0; 2];
    for round in 0..number("SEDGE_SPOOL_CUTS", 400) {
        let mut random = Rng::with_seed(seed.wrapping_add(round));
        let system = Simulated::new();
        let sync = [Sync::Always, Sync::Every(Duration::from_secs(3600)), Sync::Never];
        let options = Options { sync: sync[random.usize(0..3)], ..always() };
        let mut next = 0;
        // By lane: what was acknowledged and is not settled, and all that may come.
        let mut wanted: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        let mut allowed = wanted.clone();
        for life in 0..4 {
            let power = random.u8(0..3) > 0;
            let sync = options.sync;
            let during =
                format!("seed {seed}, round {round}, life {life}, power {power}, {sync:?}");
            let end = system.world().operations + random.u64(1..160);
            system.world().ends_at = Some(end);
            let opened = Spool::on(Arc::new(system.clone()), Path::new("/spool"), options.clone());
            // It may end while it is opened.
            let process = opened.ok().map(|spool| {
                let consumers = ["mqtt", "s3"].map(|name| spool.consumer(name).unwrap());
                (spool, consumers)
            });
            let (spool, consumers) = match &process {
                Some((spool, consumers)) => (Some(spool), consumers.as_slice()),
                None => (None, [].as_slice()),
            };
            let mut out = Vec::new();
            while let Some(spool) = spool
                && system.world().operations < end
            {
                if random.u8(0..3) > 0 {
                    let lane = random.usize(0..LANES.len());
                    let size = if random.u8(0..8) == 0 { 3000 } else { random.usize(0..200) };
                    next += 1;
                    allowed.entry(lane).or_default().insert(next);
                    let (destination, priority) = LANES[lane];
                    if append(spool, destination, priority, &body(next, size)) {
                        wanted.entry(lane).or_default().insert(next);
                    }
                } else {
                    let consumer = random.usize(0..2);
                    if let Ok(Some(record)) = consumers[consumer].try_next() {
                        out.push((consumer, record));
                    }
                    if !out.is_empty() && random.bool() {
                        let (consumer, record) = out.swap_remove(random.usize(0..out.len()));
                        let of = |&(name, priority): &(&str, Priority)| {
                            name == ["mqtt", "s3"][consumer] && priority == record.id.priority
                        };
                        let lane = LANES.iter().position(of).unwrap();
                        // From here on it may come or not.
                        wanted.entry(lane).or_default().remove(&index(&record));
                        let _ = consumers[consumer].settle(record.id, Settled::Delivered);
                    }
                }
            }
            cut[usize::from(power)] += 1;
            match power {
                true => system.lose_power(process, &mut random),
                false => system.kill(process),
            }
            let spool = open(&system, &options);
            for (lane, (name, priority)) in LANES.iter().enumerate() {
                let found: Vec<u64> = (waiting(&spool, name).iter())
                    .filter(|record| record.id.priority == *priority)
                    .map(index)
                    .collect();
                let allowed = allowed.entry(lane).or_default();
                let wanted = wanted.entry(lane).or_default();
                if power && sync != Sync::Always {
                    wanted.retain(|wanted| found.contains(wanted));
                }
                assert!(found.is_sorted_by(|a, b| a < b), "{during}: {found:?}");
                assert!(found.iter().all(|found| allowed.contains(found)), "{during}");
                let missing: Vec<_> =
                    wanted.iter().filter(|wanted| !found.contains(wanted)).collect();
                assert!(
                    missing.is_empty(),
                    "{during}: {name} {priority}: {missing:?} of {found:?}"
                );
                if sync == Sync::Always {
                    allowed.retain(|index| found.contains(index));
                }
            }
            // Settled records may be counted as lost where the notes about them are gone.
            assert!(counters(&spool).lost == 0 || sync != Sync::Always, "{during}");
            drop(spool);
        }
    }
    assert!(cut.iter().all(|&cuts| cuts > 100), "{cut:?}");
}

/// A spool of one lane with some settled records, some waiting, and its bodies.
fn written() -> (Simulated, Vec<Vec<u8>>) {
    let system = Simulated::new();
    let spool = open(&system, &always());
    let bodies: Vec<Vec<u8>> = (0..9).map(|index| body(index, 20 * index as usize)).collect();
    for body in &bodies {
        assert!(append(&spool, "mqtt", Priority::Normal, body));
    }
    let consumer = spool.consumer("mqtt").unwrap();
    for _ in 0..3 {
        let record = consumer.try_next().unwrap().unwrap();
        consumer.settle(record.id, Settled::Delivered).unwrap();
    }
    drop((consumer, spool));
    (system, bodies)
}

#[test]
fn damage_and_torn_ends_take_only_what_they_hit() {
    let (system, bodies) = written();
    let mut length = 0;
    system.each_file(|path, bytes| {
        length = if path.ends_with("cursor") { length } else { bytes.len() };
    });
    let mut ends = vec![0];
    for body in &bodies {
        ends.push(ends.last().unwrap() + 56 + 1 + body.len());
    }
    assert_eq!(ends.last(), Some(&length));
    for at in 0..length {
        for torn in [true, false] {
            let hit = ends.partition_point(|&end| end <= at) - 1;
            let system = system.copy();
            system.each_file(|path, bytes| match path.ends_with("cursor") {
                true => {}
                false if torn => bytes.truncate(at),
                false => bytes[at] ^= 1 << (at % 8),
            });
            let spool = open(&system, &always());
            let found: Vec<Vec<u8>> =
                waiting(&spool, "mqtt").into_iter().map(|record| record.body).collect();
            let kept = |index: &usize| if torn { *index < hit } else { *index != hit };
            let expected: Vec<_> = (3..9).filter(kept).map(|index| bodies[index].clone()).collect();
            assert_eq!(found, expected, "byte {at}, torn {torn}");
            // Of the last record nobody knows that it was there.
            let lost = u64::from(!torn && (3..8).contains(&hit));
            let counted = counters(&spool);
            assert_eq!((counted.lost, counted.delivered), (lost, 3), "byte {at}, torn {torn}");
            assert!(append(&spool, "mqtt", Priority::Normal, b"more"));
            let last = waiting(&spool, "mqtt").pop().unwrap();
            assert_eq!(last.body, b"more", "byte {at}, torn {torn}");
        }
    }
}

#[test]
fn a_damaged_cursor_loses_nothing() {
    let (system, bodies) = written();
    for at in 0..400 {
        for torn in [true, false] {
            let system = system.copy();
            system.each_file(|path, bytes| match path.ends_with("cursor") {
                true if torn => bytes.truncate(at),
                true => bytes[at] ^= 0x5a,
                false => {}
            });
            let spool = open(&system, &always());
            let found: Vec<Vec<u8>> =
                waiting(&spool, "mqtt").into_iter().map(|record| record.body).collect();
            assert!(found.ends_with(&bodies[3..]), "byte {at}, torn {torn}");
            assert!(append(&spool, "mqtt", Priority::Normal, b"more"));
            drop(spool);
            let again = waiting(&open(&system, &always()), "mqtt");
            assert_eq!(again.len(), found.len() + 1, "byte {at}, torn {torn}");
        }
    }
}

/// A loss of power may take records and the first of the notes about them, and leave later notes.
/// Those were read again once, when newer ones had filled the hole, and took the numbers for theirs
/// that had been given to other records by then.
#[test]
fn notes_behind_a_hole_are_never_read_again() {
    let system = Simulated::new();
    let options = Options { segment_bytes: 300, ..always() };
    let spool = open(&system, &options);
    let consumer = spool.consumer("mqtt").unwrap();
    for index in 0..8 {
        assert!(append(&spool, "mqtt", Priority::Normal, &body(index, 200)));
        let record = consumer.try_next().unwrap().unwrap();
        consumer.settle(record.id, Settled::Delivered).unwrap();
    }
    drop((consumer, spool));
    let (mut damaged, mut taken_again) = (0, 0);
    for at in (0..2 * (16 << 10)).step_by(8) {
        let is_there = std::cell::Cell::new(false);
        let broken = system.copy();
        broken.each_file(|path, bytes| {
            if path.ends_with("cursor") {
                is_there.set(bytes[at..at + 8].iter().any(|&byte| byte != 0));
                bytes[at..at + 8].fill(0);
            } else if path.extension().is_some_and(|extension| extension == "v1") {
                bytes.clear();
            }
        });
        damaged += usize::from(is_there.get());
        for settled in (0..8).filter(|_| is_there.get()) {
            let system = broken.copy();
            let spool = open(&system, &options);
            let again = waiting(&spool, "mqtt").len();
            for index in 100..110 {
                assert!(append(&spool, "mqtt", Priority::Normal, &body(index, 200)));
            }
            let consumer = spool.consumer("mqtt").unwrap();
            for _ in 0..again + settled {
                let record = consumer.try_next().unwrap().unwrap();
                taken_again += usize::from(record.id.number <= 8 && index(&record) >= 100);
                consumer.settle(record.id, Settled::Delivered).unwrap();
            }
            drop((consumer, spool));
            let found: Vec<u64> =
                waiting(&open(&system, &options), "mqtt").iter().map(index).collect();
            let expected: Vec<u64> = (100 + settled as u64..110).collect();
            assert_eq!(found, expected, "byte {at}, {settled} settled");
        }
    }
    assert!(damaged > 20 && taken_again > 50, "{damaged}, {taken_again}: the hole is elsewhere");
}

#[test]
fn damage_done_while_it_is_open_is_passed_over() {
    let system = Simulated::new();
    let spool = open(&system, &Options { segment_bytes: 300, ..always() });
    for index in 0..12 {
        assert!(append(&spool, "mqtt", Priority::Normal, &body(index, 30)));
    }
    // Of each segment the first record's head and the second one's body.
    system.each_file(|path, bytes| {
        if path.extension().is_some_and(|extension| extension == "v1") {
            bytes[30] ^= 1;
            bytes[95 + 80] ^= 1;
        }
    });
    let consumer = spool.consumer("mqtt").unwrap();
    let mut found = Vec::new();
    while let Some(record) = consumer.try_next().unwrap() {
        found.push(index(&record));
        consumer.settle(record.id, Settled::Delivered).unwrap();
    }
    assert_eq!(found, [2, 5, 8, 11]);
    let counted = counters(&spool);
    assert_eq!((counted.delivered, counted.lost), (4, 8));
    let status = spool.status();
    assert_eq!((status.bytes, status.lanes[0].records), (0, 0));
    assert!(append(&spool, "mqtt", Priority::Normal, b"more"));
    assert_eq!(consumer.try_next().unwrap().unwrap().body, b"more");
}

#[test]
fn a_full_disk_refuses_or_drops_and_recovers() {
    for on_full in [OnFull::Reject, OnFull::DropOldest] {
        let system = Simulated::new();
        let options = Options { on_full, ..always() };
        let spool = open(&system, &options);
        assert!(append(&spool, "mqtt", Priority::Normal, &body(0, 500)));
        system.world().free = Some(20_000);
        let mut appended = 1;
        let error = loop {
            let entry = Entry {
                destination: "mqtt",
                priority: Priority::Normal,
                headers: b"h",
                body: &body(appended, 500),
            };
            match spool.append(&entry) {
                Ok(_) if appended == 99 => break None,
                Ok(_) => appended += 1,
                Err(error) => break Some(error),
            }
        };
        match on_full {
            OnFull::Reject => assert!(matches!(error, Some(SpoolError::NoSpace { .. }))),
            OnFull::DropOldest => assert!(error.is_none(), "{error:?}"),
        }
        // What is there is told from what is not, before and after it is opened again.
        let found: Vec<u64> = waiting(&spool, "mqtt").iter().map(index).collect();
        let counted = counters(&spool);
        drop(spool);
        let spool = open(&system, &options);
        assert_eq!(counted, counters(&spool));
        assert_eq!(counted.appended, counted.dropped_by_size + found.len() as u64);
        let last = counted.appended;
        assert_eq!(found, (counted.dropped_by_size..last).collect::<Vec<_>>());
        // Settling takes no space, and gives it back.
        system.world().free = Some(0);
        let consumer = spool.consumer("mqtt").unwrap();
        while let Some(record) = consumer.try_next().unwrap() {
            consumer.settle(record.id, Settled::Delivered).unwrap();
        }
        assert!(append(&spool, "mqtt", Priority::Normal, b"more"));
    }
}

#[test]
fn a_record_that_could_not_be_synced_is_not_there() {
    let system = Simulated::new();
    let spool = open(&system, &always());
    let mut acknowledged = Vec::new();
    for index in 0..40 {
        system.world().failing_syncs = u32::from(index % 3 == 1);
        if append(&spool, "mqtt", Priority::Normal, &body(index, 300)) {
            acknowledged.push(index);
        }
    }
    let expected: Vec<u64> = (0..40).filter(|index| index % 3 != 1).collect();
    assert_eq!(acknowledged, expected);
    let check = |spool: &Spool| {
        let found = waiting(spool, "mqtt");
        assert_eq!(found.iter().map(index).collect::<Vec<_>>(), expected);
        let numbers: Vec<u64> = found.iter().map(|record| record.id.number).collect();
        assert_eq!(numbers, (1..=expected.len() as u64).collect::<Vec<_>>());
        assert_eq!(counters(spool).lost, 0);
    };
    check(&spool);
    system.lose_power(spool, &mut Rng::with_seed(1));
    check(&open(&system, &always()));
}

#[test]
fn a_clock_that_is_set_makes_nothing_old() {
    let system = Simulated::new();
    let options = Options { max_age: Some(Duration::from_secs(60)), ..always() };
    let spool = open(&system, &options);
    for (index, wall_ms) in [1_800_000_000_000, 5_000, 1_900_000_000_000, 7].into_iter().enumerate()
    {
        system.world().now.wall_ms = wall_ms;
        assert!(append(&spool, "mqtt", Priority::Normal, &body(index as u64, 0)));
        assert_eq!(spool.status().lanes[0].counters.dropped_by_age, 0);
    }
    drop(spool);
    let spool = open(&system, &options);
    let found: Vec<u64> = waiting(&spool, "mqtt").iter().map(index).collect();
    assert_eq!(found, [0, 1, 2, 3]);
    system.world().now.steady_ms += 60_001;
    assert_eq!(waiting(&spool, "mqtt"), []);
}
