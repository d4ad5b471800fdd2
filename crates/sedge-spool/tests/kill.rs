//! A process that is killed while it appends and settles: what it was told is kept is there
//! afterwards, in order, and the counters agree.
//!
//! `SEDGE_KILL_SEED` repeats a run, `SEDGE_KILL_ROUNDS` makes it longer.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sedge_spool::{Entry, Inspection, Options, Priority, Settled, Spool, Sync};

const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

fn options(round: u64) -> Options {
    let sync = [Sync::Never, Sync::Every(Duration::from_millis(2)), Sync::Always];
    let sync = sync[round as usize % sync.len()];
    Options { sync, segment_bytes: 20_000, ..Options::default() }
}

/// Appends and settles until it is killed, and says what it did: each line when it is done, and
/// before it settles, since what is settled may arrive before that is said. Not a test of its own.
#[test]
#[ignore = "started by the test below, which kills it"]
fn child() {
    let Ok(directory) = std::env::var("KILL_SPOOL") else { return };
    let round: u64 = std::env::var("KILL_ROUND").unwrap().parse().unwrap();
    let spool = Spool::open(Path::new(&directory), options(round)).unwrap();
    let consumer = spool.consumer("mqtt").unwrap();
    let mut said = std::io::stdout();
    writeln!(said, "\nopen").unwrap();
    for step in 0_u64.. {
        let priority = PRIORITIES[step as usize % 3];
        let mut body = (round << 32 | step).to_le_bytes().to_vec();
        body.resize(8 + (step as usize * 37) % 3000, step as u8);
        let entry = Entry { destination: "mqtt", priority, headers: b"", body: &body };
        let id = spool.append(&entry).unwrap();
        writeln!(said, "appended {} {} {}", step % 3, id.number, round << 32 | step).unwrap();
        if step % 5 == 4 {
            let record = consumer.try_next().unwrap().unwrap();
            let lane = PRIORITIES.iter().position(|p| *p == record.id.priority).unwrap();
            writeln!(said, "settling {lane} {}", record.id.number).unwrap();
            consumer.settle(record.id, Settled::Delivered).unwrap();
            writeln!(said, "settled {lane} {}", record.id.number).unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let seed = number("SEDGE_KILL_SEED", u64::from(std::process::id()));
    let rounds = number("SEDGE_KILL_ROUNDS", 30);
    #[allow(clippy::print_stderr)]
    {
        eprintln!("SEDGE_KILL_SEED={seed}");
    }
    let place = tempfile::tempdir().unwrap();
    // By lane and number: what is in the body, and whether it may or must be gone.
    let mut kept: [BTreeMap<u64, u64>; 3] = Default::default();
    let mut settling: Vec<(usize, u64)> = Vec::new();
    let mut settled = 0_u64;
    let mut state = seed;
    for round in 0..rounds {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("KILL_SPOOL", place.path())
            .env("KILL_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut lines = said.lines().map_while(Result::ok).skip_while(|line| line != "open");
        lines.next().unwrap_or_else(|| panic!("seed {seed}, round {round}: it did not start"));
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let killed = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros((state >> 33) % 60_000));
            process.kill().unwrap();
            process.wait().unwrap();
        });
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            // The last line may be cut off.
            let numbers: Option<Vec<u64>> =
                words[1..].iter().map(|word| word.parse().ok()).collect();
            match (words[0], numbers.as_deref()) {
                ("appended", Some(&[lane, number, body])) => {
                    kept[lane as usize].insert(number, body);
                }
                ("settling", Some(&[lane, number])) => settling.push((lane as usize, number)),
                ("settled", Some(&[lane, number])) => {
                    assert_eq!(settling.pop(), Some((lane as usize, number)));
                    assert!(kept[lane as usize].remove(&number).is_some());
                    settled += 1;
                }
                _ => {}
            }
        }
        killed.join().unwrap();
        let after = format!("seed {seed}, round {round}");

        // Looking first changes nothing; then opening finds the same.
        let lanes = Inspection::open(place.path()).unwrap().lanes();
        let mut found: [BTreeMap<u64, u64>; 3] = Default::default();
        let inspection = Inspection::open(place.path()).unwrap();
        let seen = |peek: sedge_spool::Peek| {
            let lane = PRIORITIES.iter().position(|p| *p == peek.id.priority).unwrap();
            let body = peek.content.unwrap_or_else(|| panic!("{after}: damaged")).1;
            let index = u64::from_le_bytes(*body.first_chunk().unwrap());
            assert!(found[lane].insert(peek.id.number, index).is_none(), "{after}");
            true
        };
        inspection.records("mqtt", seen).unwrap();
        for (lane, found) in found.iter().enumerate() {
            assert!(found.values().is_sorted_by(|a, b| a < b), "{after}");
            for (number, body) in kept[lane].clone() {
                let may_be_gone = settling.contains(&(lane, number));
                let there = found.get(&number);
                assert!(there == Some(&body) || (there.is_none() && may_be_gone), "{after}");
                if there.is_none() {
                    kept[lane].remove(&number);
                    settled += 1;
                }
            }
            // The one that was being appended.
            let more = found.iter().filter(|(number, _)| !kept[lane].contains_key(number));
            let more: Vec<(u64, u64)> = more.map(|(number, body)| (*number, *body)).collect();
            assert!(more.len() <= 1, "{after}: {more:?}");
            kept[lane].extend(more);
        }
        settling.clear();
        let spool = Spool::open(place.path(), options(round)).unwrap();
        let status = spool.status().lanes;
        assert_eq!(lanes.len(), status.len(), "{after}");
        for (looked, opened) in lanes.iter().zip(&status) {
            assert_eq!((looked.records, looked.counters), (opened.records, opened.counters));
            assert_eq!(opened.counters.lost, 0, "{after}");
        }
        let delivered: u64 = status.iter().map(|lane| lane.counters.delivered).sum();
        assert_eq!(delivered, settled, "{after}");
        drop(spool);
    }
    let kept: usize = kept.iter().map(BTreeMap::len).sum();
    assert!(settled > 0 && kept > 0, "{settled}, {kept}: too quick");
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
