//! All lanes together: what is known under the spool's one lock.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::SpoolError;
use crate::clock::Clock;
use crate::kinds::{Counters, LaneStatus, OnFull, Options, Priority, Sync};
use crate::lane::{Dirty, Flight, Lane, Mark, Whereabouts};
use crate::ledger::{End, Ledger};
use crate::record::{Head, MAX_NUMBER};
use crate::segment::Segment;
use crate::spool::{MAX_DESTINATIONS, is_name};
use crate::sync::Commit;
use crate::system::{Now, System};

/// Called when a record is there for a consumer that found none.
pub(crate) type Wake = Arc<dyn Fn() + Send + std::marker::Sync>;

/// The lanes of a destination, by priority.
type Lanes = [Option<Lane>; Priority::ALL.len()];

/// See the module.
pub(crate) struct State {
    system: Arc<dyn System>,
    directory: PathBuf,
    options: Options,
    destinations: BTreeMap<String, Lanes>,
    pub(crate) next_order: u64,
    pub(crate) clock: Clock,
    pub(crate) commit: Commit,
    /// The destinations that have one, and how to wake it.
    pub(crate) consumers: BTreeMap<String, Option<Wake>>,
}

impl State {
    /// Reads what is in a directory that exists.
    pub(crate) fn open(
        system: Arc<dyn System>,
        directory: &Path,
        options: &Options,
    ) -> Result<Self, SpoolError> {
        let mut destinations = BTreeMap::<String, Lanes>::new();
        let mut newest: Option<Head> = None;
        let sync = |path: &Path| match options.sync {
            Sync::Never => Ok(()),
            _ => system.sync_dir(path).map_err(SpoolError::io("sync", path)),
        };
        // Whoever made them may have ended before they were on the disk.
        sync(directory)?;
        for (name, priority, path) in lanes_in(&*system, directory)? {
            let opened = Lane::open(&*system, path.clone(), options.segment_bytes);
            let (lane, last) = opened.map_err(SpoolError::io("open", &path))?;
            sync(&directory.join(&name))?;
            newest = newest.into_iter().chain(last).max_by_key(|head| head.order);
            destinations.entry(name).or_default()[priority as usize] = Some(lane);
        }
        if destinations.len() > MAX_DESTINATIONS {
            return Err(SpoolError::TooManyDestinations { directory: directory.to_owned() });
        }
        let mut state = Self {
            clock: Clock::new(newest, system.now()),
            system,
            directory: directory.to_owned(),
            options: options.clone(),
            destinations,
            next_order: newest.map_or(0, |newest| newest.order.min(MAX_NUMBER)) + 1,
            commit: Commit::default(),
            consumers: BTreeMap::new(),
        };
        state.commit.decided = state.next_order - 1;
        state.flush().map_err(SpoolError::io("write to", directory))?;
        Ok(state)
    }

    fn durable(&self) -> bool {
        self.options.sync != Sync::Never
    }

    pub(crate) fn now(&self) -> Now {
        self.system.now()
    }

    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.destinations.values_mut().flatten().flatten()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.destinations.values().flatten().flatten().map(|lane| lane.bytes).sum()
    }

    pub(crate) fn lane(&mut self, destination: &str, priority: Priority) -> Option<&mut Lane> {
        self.destinations.get_mut(destination)?[priority as usize].as_mut()
    }

    /// Makes the lane if there is none.
    pub(crate) fn make_lane(
        &mut self,
        destination: &str,
        priority: Priority,
    ) -> Result<(), SpoolError> {
        if self.lane(destination, priority).is_some() {
            return Ok(());
        }
        let known = self.destinations.contains_key(destination);
        if !known && self.destinations.len() == MAX_DESTINATIONS {
            let directory = self.directory.clone();
            return Err(SpoolError::TooManyDestinations { directory });
        }
        let above = self.directory.join(destination);
        let path = above.join(priority.name());
        let make = || {
            self.system.make_dir(&path)?;
            if self.durable() {
                self.system.sync_dir(&self.directory)?;
                self.system.sync_dir(&above)?;
            }
            Lane::open(&*self.system, path.clone(), self.options.segment_bytes)
        };
        let (lane, _) = make().map_err(SpoolError::io("make", &path))?;
        self.destinations.entry(destination.to_owned()).or_default()[priority as usize] =
            Some(lane);
        Ok(())
    }

    /// Writes a record. Where the disk is full and the policy says so, the oldest make room.
    pub(crate) fn write(
        &mut self,
        destination: &str,
        priority: Priority,
        head: Head,
        (headers, body): (&[u8], &[u8]),
    ) -> Result<u64, SpoolError> {
        loop {
            let system = Arc::clone(&self.system);
            let failed = match self.make_lane(destination, priority) {
                Ok(()) => {
                    let Some(lane) = self.lane(destination, priority) else { continue };
                    let number = lane.next_number;
                    match lane.append(&*system, &Head { number, ..head }, headers, body) {
                        Ok(()) => return Ok(number),
                        Err(error) => {
                            let path = self.directory.join(destination).join(priority.name());
                            SpoolError::io("write to", &path)(error)
                        }
                    }
                }
                Err(error) => error,
            };
            let full = matches!(failed, SpoolError::NoSpace { .. });
            if !full || self.options.on_full == OnFull::Reject || !self.free(priority) {
                return Err(failed);
            }
        }
    }

    /// Makes room within a bound for a record.
    pub(crate) fn make_room(
        &mut self,
        record: u64,
        priority: Priority,
        max: u64,
    ) -> Result<(), SpoolError> {
        let waiting = self.bytes();
        if waiting + record <= max {
            return Ok(());
        }
        let full = SpoolError::Full { waiting, max, record };
        let below = |lanes: &Lanes| -> u64 {
            let lanes = lanes[..=priority as usize].iter().flatten();
            lanes.map(|lane| lane.bytes - lane.in_flight_bytes.min(lane.bytes)).sum()
        };
        // Nothing is dropped in vain.
        let droppable: u64 = self.destinations.values().map(below).sum();
        if self.options.on_full == OnFull::Reject || waiting - droppable + record > max {
            return Err(full);
        }
        while self.bytes() + record > max {
            if !self.drop_oldest(priority).map_err(SpoolError::io("read", &self.directory))? {
                return Err(full);
            }
        }
        Ok(())
    }

    /// Frees space on the disk by what is not needed, else by the oldest records; false if no record
    /// may be dropped.
    fn free(&mut self, priority: Priority) -> bool {
        loop {
            self.all().for_each(Lane::seal_if_spent);
            match self.flush() {
                Ok(false) if matches!(self.drop_oldest(priority), Ok(true)) => {}
                Ok(freed) => return freed,
                Err(_) => return false,
            }
        }
    }

    /// Drops the oldest record of the lowest priority, up to one.
    fn drop_oldest(&mut self, most: Priority) -> io::Result<bool> {
        for priority in Priority::ALL.into_iter().rev().take_while(|&priority| priority <= most) {
            let mut oldest: Option<(u64, String)> = None;
            let names: Vec<String> = self.destinations.keys().cloned().collect();
            for name in names {
                let front = self.front(&name, priority)?;
                let order = front.map_or(u64::MAX, |front| front.found.head.order);
                if front.is_some() && oldest.as_ref().is_none_or(|(least, _)| order < *least) {
                    oldest = Some((order, name));
                }
            }
            let Some((_, name)) = oldest else { continue };
            if let Some(front) = self.front(&name, priority)?
                && let Some(lane) = self.lane(&name, priority)
            {
                lane.drop_front(&front, End::DroppedBySize);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next record of a lane, unless its appending is not decided.
    fn front(&mut self, destination: &str, priority: Priority) -> io::Result<Option<Flight>> {
        let system = Arc::clone(&self.system);
        let seen = match self.options.sync {
            Sync::Always => self.commit.decided,
            _ => u64::MAX,
        };
        let Some(lane) = self.lane(destination, priority) else { return Ok(None) };
        Ok(lane.front(&*system)?.filter(|front| front.found.head.order <= seen))
    }

    /// Drops what is too old.
    pub(crate) fn expire(&mut self) -> io::Result<()> {
        let Some(max_age) = self.options.max_age else { return Ok(()) };
        let now = self.now();
        let names: Vec<String> = self.destinations.keys().cloned().collect();
        for (name, priority) in names.iter().flat_map(|name| Priority::ALL.map(|p| (name, p))) {
            while let Some(front) = self.front(name, priority)? {
                let old = self.clock.age(&front.found.head, now) > max_age;
                match self.lane(name, priority).filter(|_| old) {
                    Some(lane) => lane.drop_front(&front, End::DroppedByAge),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Hands out the next record of a destination.
    pub(crate) fn take(
        &mut self,
        destination: &str,
        most: usize,
    ) -> io::Result<Option<(Priority, Whereabouts)>> {
        let lanes = self.destinations.get(destination).into_iter().flatten().flatten();
        if lanes.map(Lane::in_flight).sum::<usize>() >= most {
            return Ok(None);
        }
        let system = Arc::clone(&self.system);
        for priority in Priority::ALL {
            while let Some(front) = self.front(destination, priority)? {
                let Some(lane) = self.lane(destination, priority) else { break };
                match lane.take(&*system, &front)? {
                    Some(record) => return Ok(Some((priority, record))),
                    // Somebody removed its file.
                    None => drop(lane.settle(front.found.head.number, End::Lost)),
                }
            }
        }
        Ok(None)
    }

    /// Writes down what was settled and dropped; returns whether that freed space.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let (system, durable) = (Arc::clone(&self.system), self.durable());
        let mut freed = false;
        for lane in self.all() {
            freed |= lane.flush(&*system, durable)?;
        }
        Ok(freed)
    }

    /// The same where nobody can be told: what failed is done again the next time.
    pub(crate) fn flush_or_say(&mut self) {
        if let Err(error) = self.flush() {
            self.commit.error = Some(error.to_string());
        }
    }

    /// What a sync has to reach, and how far each lane is written.
    pub(crate) fn collect(&mut self, dirty: &mut Dirty) -> Vec<(String, Priority, Mark)> {
        let mut marks = Vec::new();
        for (name, lanes) in &mut self.destinations {
            for priority in Priority::ALL {
                if let Some(lane) = &mut lanes[priority as usize] {
                    marks.push((name.clone(), priority, lane.collect(dirty)));
                }
            }
        }
        marks
    }

    /// What waits in each lane.
    pub(crate) fn status(&mut self) -> Vec<LaneStatus> {
        let (system, now) = (Arc::clone(&self.system), self.now());
        let mut all = Vec::new();
        for (name, lanes) in &mut self.destinations {
            for priority in Priority::ALL {
                let Some(lane) = &mut lanes[priority as usize] else { continue };
                let oldest = lane.oldest(&*system).ok().flatten();
                all.push(LaneStatus {
                    destination: name.clone(),
                    priority,
                    records: lane.records,
                    bytes: lane.bytes,
                    in_flight: lane.in_flight() as u64,
                    oldest: oldest.map(|head| self.clock.age(&head, now)),
                    counters: counters(lane.ledger(), lane.next_number, lane.records),
                });
            }
        }
        all
    }
}

/// What came and went, of a lane whose next record has a number.
pub(crate) fn counters(ledger: &Ledger, next_number: u64, records: u64) -> Counters {
    let mut counters = Counters {
        appended: next_number - 1,
        delivered: ledger.count(End::Delivered),
        refused: ledger.count(End::Refused),
        discarded: ledger.count(End::Discarded),
        dropped_by_size: ledger.count(End::DroppedBySize),
        dropped_by_age: ledger.count(End::DroppedByAge),
        lost: 0,
    };
    // Damage that was found and not come to yet is lost, too.
    let known = [
        counters.delivered,
        counters.refused,
        counters.discarded,
        counters.dropped_by_size,
        counters.dropped_by_age,
        records,
    ];
    let known = known.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
    counters.lost = counters.appended.saturating_sub(known);
    counters
}

/// The lanes in a spool's directory: destination, priority and directory.
pub(crate) fn lanes_in(
    system: &dyn System,
    directory: &Path,
) -> Result<Vec<(String, Priority, PathBuf)>, SpoolError> {
    let list = |path: &Path| match system.list(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        other => other.map_err(SpoolError::io("read", path)),
    };
    let mut lanes = Vec::new();
    let mut names = list(directory)?;
    names.sort();
    for name in names.into_iter().filter(|name| is_name(name)) {
        let there = list(&directory.join(&name))?;
        for priority in Priority::ALL {
            if there.iter().any(|there| there == priority.name()) {
                let path = directory.join(&name).join(priority.name());
                if let Some(newer) = list(&path)?.into_iter().find(|name| Segment::is_newer(name)) {
                    return Err(SpoolError::Newer { path: path.join(newer) });
                }
                lanes.push((name.clone(), priority, path));
            }
        }
    }
    Ok(lanes)
}
