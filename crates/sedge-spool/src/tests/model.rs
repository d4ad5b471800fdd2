//! The spool does what a few lists in memory do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::simulated::Simulated;
use crate::{
    Consumer, Counters, Entry, OnFull, Options, Priority, Settled, Spool, SpoolError, Sync,
};

const NAMES: [&str; 2] = ["mqtt", "s3"];

#[derive(Clone, Debug)]
enum Step {
    Append { destination: usize, priority: usize, size: usize },
    Take { destination: usize },
    Settle { which: usize, settled: Settled },
    Return { destination: usize },
    Wait { ms: u64 },
    Kill,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let settled = prop_oneof![
        5 => Just(Settled::Delivered),
        1 => Just(Settled::Refused),
        1 => Just(Settled::Discarded),
    ];
    let step = prop_oneof![
        8 => (0..2_usize, 0..3_usize, 0..200_usize).prop_map(|(destination, priority, size)| {
            Step::Append { destination, priority, size }
        }),
        6 => (0..2_usize).prop_map(|destination| Step::Take { destination }),
        5 => (0..9_usize, settled).prop_map(|(which, settled)| Step::Settle { which, settled }),
        1 => (0..2_usize).prop_map(|destination| Step::Return { destination }),
        1 => (0..400_u64).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..120)
}

fn options() -> impl Strategy<Value = Options> {
    let on_full = prop_oneof![3 => Just(OnFull::DropOldest), 1 => Just(OnFull::Reject)];
    let sync = prop_oneof![Just(Sync::Always), Just(Sync::Never)];
    let age = prop::option::of((100..900_u64).prop_map(Duration::from_millis));
    (600..5000_u64, age, on_full, sync, 100..1500_u64).prop_map(
        |(max_bytes, max_age, on_full, sync, segment_bytes)| Options {
            max_bytes,
            max_age,
            on_full,
            sync,
            segment_bytes,
        },
    )
}

#[derive(Clone, Debug)]
struct Kept {
    number: u64,
    order: u64,
    at_ms: u64,
    body: Vec<u8>,
    out: bool,
}

impl Kept {
    fn bytes(&self) -> u64 {
        56 + self.body.len() as u64
    }
}

#[derive(Debug, Default)]
struct Lane {
    kept: Vec<Kept>,
    counters: Counters,
}

/// What the spool should do.
#[derive(Debug)]
struct Model {
    options: Options,
    lanes: [[Lane; 3]; 2],
    order: u64,
    now_ms: u64,
}

impl Model {
    fn bytes(&self) -> u64 {
        self.lanes.iter().flatten().flat_map(|lane| &lane.kept).map(Kept::bytes).sum()
    }

    fn expire(&mut self) {
        let Some(max_age) = self.options.max_age else { return };
        for lane in self.lanes.iter_mut().flatten() {
            let old = |kept: &Kept| {
                !kept.out && u128::from(self.now_ms - kept.at_ms) > max_age.as_millis()
            };
            lane.counters.dropped_by_age +=
                lane.kept.iter().filter(|kept| old(kept)).count() as u64;
            lane.kept.retain(|kept| !old(kept));
        }
    }

    /// The number the record gets, or that it is refused.
    fn append(&mut self, destination: usize, priority: usize, body: &[u8]) -> Option<u64> {
        let bytes = 56 + body.len() as u64;
        self.expire();
        let droppable: u64 = (self.lanes.iter().flat_map(|lanes| &lanes[..=priority]))
            .flat_map(|lane| &lane.kept)
            .filter(|kept| !kept.out)
            .map(Kept::bytes)
            .sum();
        let (max, waiting) = (self.options.max_bytes, self.bytes());
        let reject = self.options.on_full == OnFull::Reject;
        if waiting + bytes > max && (reject || waiting - droppable + bytes > max) {
            return None;
        }
        while self.bytes() + bytes > max {
            let lanes = self.lanes.iter_mut();
            let lanes = lanes.flat_map(|lanes| lanes[..=priority].iter_mut().enumerate());
            let oldest = lanes.filter_map(|(priority, lane)| {
                let at = lane.kept.iter().position(|kept| !kept.out)?;
                Some((priority, lane.kept[at].order, at, lane))
            });
            let (_, _, at, lane) = oldest.min_by_key(|found| (found.0, found.1)).unwrap();
            lane.kept.remove(at);
            lane.counters.dropped_by_size += 1;
        }
        self.order += 1;
        let lane = &mut self.lanes[destination][priority];
        lane.counters.appended += 1;
        let number = lane.counters.appended;
        let (order, at_ms, body) = (self.order, self.now_ms, body.to_vec());
        lane.kept.push(Kept { number, order, at_ms, body, out: false });
        Some(number)
    }

    fn take(&mut self, destination: usize) -> Option<(usize, u64, Vec<u8>)> {
        self.expire();
        for (priority, lane) in self.lanes[destination].iter_mut().enumerate().rev() {
            if let Some(kept) = lane.kept.iter_mut().find(|kept| !kept.out) {
                kept.out = true;
                return Some((priority, kept.number, kept.body.clone()));
            }
        }
        None
    }

    fn restart(&mut self) {
        self.lanes.iter_mut().flatten().flat_map(|lane| &mut lane.kept).for_each(|k| k.out = false);
    }
}

struct Process {
    spool: Spool,
    consumers: [Consumer; 2],
}

impl Process {
    fn start(system: &Simulated, options: &Options) -> Self {
        let spool =
            Spool::on(Arc::new(system.clone()), Path::new("/a/spool"), options.clone()).unwrap();
        let consumers = NAMES.map(|name| spool.consumer(name).unwrap());
        Self { spool, consumers }
    }
}

fn priority(index: usize) -> Priority {
    [Priority::Low, Priority::Normal, Priority::High][index]
}

fn compare(process: &Process, model: &mut Model) -> Result<(), TestCaseError> {
    model.expire();
    let status = process.spool.status();
    prop_assert_eq!(status.bytes, model.bytes());
    for (name, lanes) in NAMES.iter().zip(&model.lanes) {
        for (index, lane) in lanes.iter().enumerate() {
            let mut all = status.lanes.iter();
            let found = all.find(|l| l.destination == *name && l.priority == priority(index));
            let Some(found) = found else {
                prop_assert_eq!(lane.counters, Counters::default());
                continue;
            };
            prop_assert_eq!(found.records, lane.kept.len() as u64);
            prop_assert_eq!(found.counters, lane.counters);
            let oldest = lane.kept.first().map(|kept| model.now_ms - kept.at_ms);
            prop_assert_eq!(found.oldest.map(|age| age.as_millis() as u64), oldest);
            let out = lane.kept.iter().filter(|kept| kept.out).count();
            prop_assert_eq!(found.in_flight, out as u64);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_spool_does_what_the_model_does(options in options(), steps in steps()) {
        let system = Simulated::new();
        let mut model =
            Model { options: options.clone(), lanes: Default::default(), order: 0, now_ms: 0 };
        let mut process = Process::start(&system, &options);
        let mut out = Vec::new();
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append { destination, priority: at, size } => {
                    let body = vec![index as u8; size];
                    let entry = Entry {
                        destination: NAMES[destination],
                        priority: priority(at),
                        headers: &[],
                        body: &body,
                    };
                    match (process.spool.append(&entry), model.append(destination, at, &body)) {
                        (Ok(id), Some(number)) => prop_assert_eq!(id.number, number),
                        (Err(SpoolError::Full { .. }), None) => {}
                        (got, wanted) => prop_assert!(false, "{got:?}, not {wanted:?}"),
                    }
                }
                Step::Take { destination } => {
                    let got = process.consumers[destination].try_next().unwrap();
                    let wanted = model.take(destination);
                    let got = got.map(|record| {
                        out.push((destination, record.id));
                        (record.id.priority as usize, record.id.number, record.body)
                    });
                    prop_assert_eq!(got, wanted);
                }
                Step::Settle { which, settled } if !out.is_empty() => {
                    let (destination, id) = out.swap_remove(which % out.len());
                    process.consumers[destination].settle(id, settled).unwrap();
                    prop_assert!(process.consumers[destination].settle(id, settled).is_err());
                    let lane = &mut model.lanes[destination][id.priority as usize];
                    lane.kept.retain(|kept| kept.number != id.number);
                    match settled {
                        Settled::Delivered => lane.counters.delivered += 1,
                        Settled::Refused => lane.counters.refused += 1,
                        Settled::Discarded => lane.counters.discarded += 1,
                    }
                }
                Step::Settle { .. } => {}
                Step::Return { destination } => {
                    process.consumers[destination].return_all();
                    out.retain(|(other, _)| *other != destination);
                    for lane in &mut model.lanes[destination] {
                        lane.kept.iter_mut().for_each(|kept| kept.out = false);
                    }
                }
                Step::Wait { ms } => {
                    let mut world = system.world();
                    world.now.wall_ms += ms;
                    world.now.steady_ms += ms;
                    model.now_ms += ms;
                }
                Step::Kill => {
                    system.kill(process);
                    process = Process::start(&system, &options);
                    out.clear();
                    model.restart();
                }
                Step::Close => {
                    drop(process);
                    process = Process::start(&system, &options);
                    out.clear();
                    model.restart();
                }
            }
            compare(&process, &mut model)?;
        }
    }
}

fn cases() -> u32 {
    std::env::var("SEDGE_SPOOL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(256)
}
