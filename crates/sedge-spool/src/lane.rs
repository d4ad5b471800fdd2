//! The records of one destination and priority: their segments, what is done with, and the place up
//! to which they were handed out.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cursor::Cursor;
use crate::ledger::{End, Ledger};
use crate::record::{self, Head};
use crate::scan::{Scan, Waiting, Walk, count, scan};
use crate::segment::{self, Found, Segment};
use crate::system::{File, System};

mod undo;

pub(crate) use undo::{Dirty, Mark};

/// See the module.
#[derive(Debug)]
pub(crate) struct Lane {
    directory: PathBuf,
    segment_bytes: u64,
    segments: VecDeque<Segment>,
    /// The last segment, while records are appended to it.
    tail: Option<Arc<dyn File>>,
    /// The segment read last.
    reading: Option<(u64, Arc<dyn File>)>,
    ledger: Ledger,
    cursor: Cursor,
    pub(crate) next_number: u64,
    /// Records not done with, and their bytes.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Handed out and not done with.
    in_flight: BTreeMap<u64, Flight>,
    pub(crate) in_flight_bytes: u64,
    /// Where the next record to be handed out is looked for.
    next: Spot,
    front: Option<Flight>,
    /// Segments all of whose records are done with, by their first numbers.
    spent: Vec<u64>,
    unsynced: Unsynced,
}

/// A place in a lane.
#[derive(Clone, Copy, Debug)]
struct Spot {
    /// First number of its segment.
    segment: u64,
    offset: u64,
    /// The number expected there.
    number: u64,
}

/// A record and the first number of the segment it lies in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    segment: u64,
    pub(crate) found: Found,
}

/// What a sync has to reach.
#[derive(Debug, Default)]
struct Unsynced {
    tail: bool,
    /// Former tails, by their first numbers.
    sealed: Vec<(u64, Arc<dyn File>)>,
    names: bool,
    mark: Mark,
}

/// Where a record lies, to read it without the lane.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts {
    file: Arc<dyn File>,
    pub(crate) found: Found,
}

impl Whereabouts {
    /// Headers and body; `None` if they are damaged.
    pub(crate) fn read(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        record::read(&*self.file, &self.found.head, self.found.offset)
    }
}

impl Lane {
    /// Opens a lane whose directory exists, cuts off a torn tail and removes what is done with.
    /// Returns its newest record, too.
    pub(crate) fn open(
        system: &dyn System,
        directory: PathBuf,
        segment_bytes: u64,
    ) -> io::Result<(Self, Option<Head>)> {
        let Scan { ledger, place, segments, strays, waiting, next_number } =
            scan(system, &directory)?;
        for stray in &strays {
            system.remove(&stray.path(&directory))?;
        }
        let cursor = Cursor::open(system, &directory, &ledger, place)?;
        let mut tail = None;
        if let Some(last) = segments.last() {
            let file = system.create(&last.path(&directory))?;
            if file.len()? > last.end {
                file.truncate(last.end)?;
                // Else the next loss of power could bring it back, behind what is written until then.
                file.sync()?;
            }
            tail = Some(file);
        }
        let Waiting { records, bytes, newest, .. } = waiting;
        let first = segments.first().map_or(u64::MAX, |segment| segment.first);
        let head = ledger.head().min(first);
        let mut lane = Self {
            directory,
            segment_bytes,
            spent: segments.iter().map(|segment| segment.first).collect(),
            segments: segments.into(),
            reading: None,
            ledger,
            cursor,
            next_number,
            records,
            bytes,
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            next: Spot { segment: 0, offset: 0, number: head },
            front: None,
            unsynced: Unsynced { tail: tail.is_some(), names: true, ..Unsynced::default() },
            tail,
        };
        lane.unsynced.mark = lane.mark();
        Ok((lane, newest))
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Writes a record behind the others. After an error it is not there.
    pub(crate) fn append(
        &mut self,
        system: &dyn System,
        head: &Head,
        headers: &[u8],
        body: &[u8],
    ) -> io::Result<()> {
        let frame_bytes = head.frame_bytes();
        let full =
            |segment: &Segment| segment.end > 0 && segment.end + frame_bytes > self.segment_bytes;
        if self.segments.back().is_some_and(full) {
            self.seal();
        }
        let tail = match &self.tail {
            Some(tail) => Arc::clone(tail),
            None => self.begin(system)?,
        };
        let Some(segment) = self.segments.back_mut() else { return Ok(()) };
        let frame = record::frame(head, headers, body, segment.salt, segment.end);
        if let Err(error) = tail.write_at(&frame, segment.end) {
            if tail.truncate(segment.end).is_err() {
                // The torn piece stays, and nothing is written behind it.
                self.seal();
            }
            return Err(error);
        }
        segment.end += frame_bytes;
        self.unsynced.tail = true;
        self.next_number = head.number + 1;
        self.records += 1;
        self.bytes += frame_bytes;
        Ok(())
    }

    /// Begins a segment.
    fn begin(&mut self, system: &dyn System) -> io::Result<Arc<dyn File>> {
        let empty = |segment: &mut Segment| segment.first == self.next_number;
        if let Some(empty) = self.segments.pop_back_if(empty) {
            // Should it stay, it is known as a stray by having no record.
            let _ = system.remove(&empty.path(&self.directory));
            self.reading = None;
        }
        let segment = Segment::new(self.next_number);
        let file = system.create(&segment.path(&self.directory))?;
        self.segments.push_back(segment);
        self.tail = Some(Arc::clone(&file));
        self.unsynced.names = true;
        Ok(file)
    }

    /// Has the next record begin a segment.
    pub(crate) fn seal(&mut self) {
        if let Some(tail) = self.tail.take() {
            let Some(first) = self.segments.back().map(|segment| segment.first) else { return };
            if std::mem::take(&mut self.unsynced.tail) {
                self.unsynced.sealed.push((first, tail));
            }
            self.spent.push(first);
        }
    }

    /// Has the last segment removed with the next flush if nothing in it is needed.
    pub(crate) fn seal_if_spent(&mut self) {
        if self.records == 0 && self.segments.back().is_some_and(|segment| segment.end > 0) {
            self.seal();
        }
    }

    /// The record to be handed out next; it stays where it is.
    pub(crate) fn front(&mut self, system: &dyn System) -> io::Result<Option<Flight>> {
        if self.front.is_some() {
            return Ok(self.front);
        }
        loop {
            let at = self.segments.partition_point(|segment| segment.first < self.next.segment);
            let Some(segment) = self.segments.get(at).cloned() else {
                self.pass(system, None, self.next_number)?;
                return Ok(None);
            };
            if segment.first > self.next.segment {
                self.next = Spot { segment: segment.first, offset: 0, ..self.next };
            }
            let following = self.segments.get(at + 1).map(|segment| segment.first);
            let numbers =
                self.next.number.max(segment.first)..following.unwrap_or(self.next_number);
            let found = match self.next.offset < segment.end && !numbers.is_empty() {
                true => self.file(system, &segment)?.and_then(|file| {
                    segment::next(&*file, segment.salt, self.next.offset, segment.end, numbers)
                }),
                false => None,
            };
            if let Some(found) = found {
                self.pass(system, Some(at), found.head.number)?;
                if !self.ledger.is_done(found.head.number) {
                    self.front = Some(Flight { segment: segment.first, found });
                    return Ok(self.front);
                }
                self.step_over(&found);
            } else if let Some(following) = following {
                self.pass(system, Some(at), following)?;
                self.next = Spot { segment: following, offset: 0, ..self.next };
            } else {
                self.pass(system, Some(at), self.next_number)?;
                self.next.offset = segment.end;
                return Ok(None);
            }
        }
    }

    fn step_over(&mut self, found: &Found) {
        self.next.offset = found.end();
        self.next.number = found.head.number + 1;
        self.front = None;
    }

    /// Goes on to a number. What should have come before it is lost.
    fn pass(&mut self, system: &dyn System, at: Option<usize>, number: u64) -> io::Result<()> {
        let lost = self.ledger.undone(self.next.number, number);
        self.next.number = self.next.number.max(number);
        if lost.is_empty() {
            return Ok(());
        }
        for &(first, last) in &lost {
            self.note(End::Lost, first, last);
        }
        let lost: u64 = lost.iter().map(|(first, last)| last - first + 1).sum();
        let known = at.and_then(|at| self.segments.get_mut(at)).map(|segment| &mut segment.missing);
        match known {
            Some(known) if *known >= lost => *known -= lost,
            // Damaged since it was opened.
            _ => self.recount(system)?,
        }
        Ok(())
    }

    /// Counts again what waits.
    fn recount(&mut self, system: &dyn System) -> io::Result<()> {
        let mut waiting = Waiting::default();
        let mut spot = self.next;
        for at in 0..self.segments.len() {
            let following = self.segments.get(at + 1).map(|segment| segment.first);
            let segment = self.segments[at].clone();
            if following.is_some_and(|following| following <= spot.segment) {
                continue;
            }
            let offset = if segment.first == spot.segment { spot.offset } else { 0 };
            let Some(file) = self.file(system, &segment)? else { continue };
            let walk = Walk { file: &*file, ledger: &self.ledger, verify: false };
            let numbers = spot.number..following.unwrap_or(self.next_number);
            let (walked, next) = walk.segment(&segment, offset, segment.end, numbers, &mut waiting);
            self.segments[at].missing = walked.missing;
            spot.number = next;
        }
        self.records = waiting.records + self.in_flight.len() as u64;
        self.bytes = waiting.bytes + self.in_flight_bytes;
        Ok(())
    }

    /// A segment's file; `None` if somebody removed it.
    fn file(
        &mut self,
        system: &dyn System,
        segment: &Segment,
    ) -> io::Result<Option<Arc<dyn File>>> {
        if let Some((first, file)) = &self.reading
            && *first == segment.first
        {
            return Ok(Some(Arc::clone(file)));
        }
        match system.open(&segment.path(&self.directory)) {
            Ok(file) => {
                self.reading = Some((segment.first, Arc::clone(&file)));
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands out what [`Lane::front`] found.
    pub(crate) fn take(
        &mut self,
        system: &dyn System,
        front: &Flight,
    ) -> io::Result<Option<Whereabouts>> {
        let at = self.segments.partition_point(|segment| segment.first < front.segment);
        let Some(segment) = self.segments.get(at).cloned() else { return Ok(None) };
        let file = self.file(system, &segment)?;
        self.in_flight.insert(front.found.head.number, *front);
        self.in_flight_bytes += front.found.head.frame_bytes();
        self.step_over(&front.found);
        Ok(file.map(|file| Whereabouts { file, found: front.found }))
    }

    /// Drops what [`Lane::front`] found.
    pub(crate) fn drop_front(&mut self, front: &Flight, end: End) {
        self.step_over(&front.found);
        self.finish(front, end);
    }

    /// Ends a record that was handed out; false if it was not.
    pub(crate) fn settle(&mut self, number: u64, end: End) -> bool {
        let Some(flight) = self.in_flight.remove(&number) else { return false };
        self.in_flight_bytes -= flight.found.head.frame_bytes();
        self.finish(&flight, end);
        true
    }

    fn finish(&mut self, flight: &Flight, end: End) {
        let Head { number, .. } = flight.found.head;
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(flight.found.head.frame_bytes());
        self.note(end, number, number);
        if self.spent.last() != Some(&flight.segment) {
            self.spent.push(flight.segment);
        }
    }

    fn note(&mut self, end: End, first: u64, last: u64) {
        self.ledger.note(end, first, last);
        self.cursor.note(end, first, last);
    }

    /// Hands out again, in order, what was handed out and is not done with.
    pub(crate) fn return_all(&mut self) {
        if let Some((&number, flight)) = self.in_flight.first_key_value() {
            self.next = Spot { segment: flight.segment, offset: flight.found.offset, number };
            self.front = None;
        }
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }

    /// The oldest record that is not done with, as far as it was looked at.
    pub(crate) fn oldest(&mut self, system: &dyn System) -> io::Result<Option<Head>> {
        if let Some(flight) = self.in_flight.values().next() {
            return Ok(Some(flight.found.head));
        }
        Ok(self.front(system)?.map(|front| front.found.head))
    }

    /// Writes down what was settled and dropped, and removes segments that nobody needs any more.
    /// Returns whether that frees space.
    pub(crate) fn flush(&mut self, system: &dyn System, durable: bool) -> io::Result<bool> {
        self.cursor.flush(&self.ledger, durable)?;
        let mut removed = false;
        while let Some(&first) = self.spent.last() {
            removed |= self.remove_spent(system, first, durable)?;
            self.spent.pop();
        }
        Ok(removed)
    }

    fn remove_spent(&mut self, system: &dyn System, first: u64, durable: bool) -> io::Result<bool> {
        let at = self.segments.partition_point(|segment| segment.first < first);
        let Some(segment) = self.segments.get(at).filter(|segment| segment.first == first) else {
            return Ok(false);
        };
        let last = at + 1 == self.segments.len();
        let end = self.segments.get(at + 1).map_or(self.next_number, |next| next.first);
        if (last && self.tail.is_some()) || count(&self.ledger, first, end) > 0 {
            return Ok(false);
        }
        // Were the records gone and the ledger not written, they would count as lost.
        if durable {
            self.cursor.sync()?;
        }
        match system.remove(&segment.path(&self.directory)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let freed = segment.end > 0;
        self.segments.remove(at);
        // Whoever has it open keeps its space.
        self.reading.take_if(|(reading, _)| *reading == first);
        self.unsynced.sealed.retain(|(sealed, _)| *sealed != first);
        Ok(freed)
    }
}
