//! What lies in a lane's directory, found without changing it.

use std::io;
use std::path::Path;

use crate::cursor::{self, Place};
use crate::ledger::Ledger;
use crate::record::{self, Head, MAX_NUMBER};
use crate::segment::{self, Segment};
use crate::system::{File, System};

/// A lane as its files say.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) ledger: Ledger,
    pub(crate) place: Option<Place>,
    pub(crate) segments: Vec<Segment>,
    /// Segments that could not be removed when others took their numbers.
    pub(crate) strays: Vec<Segment>,
    pub(crate) waiting: Waiting,
    /// The number of the next record.
    pub(crate) next_number: u64,
}

/// Records that are not done with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) oldest: Option<Head>,
    /// The last of all records, done with or not.
    pub(crate) newest: Option<Head>,
}

/// How often a lane is read again when the process that holds the spool removed a file meanwhile.
const TRIES: usize = 100;

/// Reads a lane. Damage is no error.
pub(crate) fn scan(system: &dyn System, lane: &Path) -> io::Result<Scan> {
    for _ in 1..TRIES {
        let (scan, whole) = attempt(system, lane)?;
        if whole {
            return Ok(scan);
        }
    }
    Ok(attempt(system, lane)?.0)
}

/// Reads a lane, and whether all of its files stayed there while it was read.
fn attempt(system: &dyn System, lane: &Path) -> io::Result<(Scan, bool)> {
    let mut whole = true;
    let names = system.list(lane)?;
    let found = match system.open(&lane.join(cursor::NAME)) {
        Ok(file) => cursor::read(&*file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let (ledger, place) = found.map_or((Ledger::new(), None), |(l, place)| (l, Some(place)));
    let mut segments: Vec<Segment> = names.iter().filter_map(|name| Segment::named(name)).collect();
    segments.sort_by_key(|segment| (segment.first, segment.salt));
    let mut strays = Vec::new();
    segments.dedup_by(|other, kept| {
        let same = other.first == kept.first;
        if same {
            if !begins(system, lane, kept) {
                std::mem::swap(other, kept);
            }
            strays.push(other.clone());
        }
        same
    });
    let mut waiting = Waiting::default();
    let mut next_number = ledger.highest() + 1;
    // What is missing before the first segment is missing from it.
    let first = segments.first().map_or(u64::MAX, |segment| segment.first);
    let mut expected = ledger.head().min(first);
    for index in 0..segments.len() {
        let following = segments.get(index + 1).map(|segment| segment.first);
        let segment = &mut segments[index];
        let file = match system.open(&segment.path(lane)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                whole = false;
                continue;
            }
            other => other?,
        };
        let length = file.len()?;
        let numbers = expected..following.unwrap_or(MAX_NUMBER + 1);
        let walk = Walk { file: &*file, ledger: &ledger, verify: following.is_none() };
        let (walked, next) = walk.segment(segment, 0, length, numbers, &mut waiting);
        (segment.end, segment.missing) = (walked.end, walked.missing);
        if following.is_none() {
            next_number = next_number.max(next).max(segment.first);
            segment.missing += count(&ledger, next, next_number);
        }
        expected = following.unwrap_or(next_number).max(expected);
    }
    Ok((Scan { ledger, place, segments, strays, waiting, next_number }, whole))
}

/// Whether a segment has a record.
fn begins(system: &dyn System, lane: &Path, segment: &Segment) -> bool {
    let Ok(file) = system.open(&segment.path(lane)) else { return false };
    let numbers = segment.first..MAX_NUMBER + 1;
    let length = file.len().unwrap_or(0);
    segment::next(&*file, segment.salt, 0, length, numbers).is_some()
}

/// How many of these numbers are not done with.
pub(crate) fn count(ledger: &Ledger, start: u64, end: u64) -> u64 {
    ledger.undone(start, end).iter().map(|(first, last)| last - first + 1).sum()
}

/// A way through a segment's records.
pub(crate) struct Walk<'a> {
    pub(crate) file: &'a dyn File,
    pub(crate) ledger: &'a Ledger,
    /// Look at the bodies, too, and stop behind the last whole one: as for the last segment, whose
    /// end may be torn.
    pub(crate) verify: bool,
}

impl Walk<'_> {
    /// Counts the records from an offset on, whose numbers are in a range. Returns the segment with
    /// its end and what is missing from it, and the number to be expected next.
    pub(crate) fn segment(
        &self,
        segment: &Segment,
        mut offset: u64,
        length: u64,
        numbers: std::ops::Range<u64>,
        waiting: &mut Waiting,
    ) -> (Segment, u64) {
        let mut seen = *waiting;
        let mut expected = numbers.start;
        let mut walked = Segment { end: offset, missing: 0, ..*segment };
        let mut kept = (walked.clone(), expected);
        let wanted = |expected: u64| expected.max(segment.first)..numbers.end;
        while let Some(found) =
            segment::next(self.file, segment.salt, offset, length, wanted(expected))
        {
            let number = found.head.number;
            walked.missing += count(self.ledger, expected, number);
            if !self.ledger.is_done(number) {
                seen.records += 1;
                seen.bytes += found.head.frame_bytes();
                seen.oldest = seen.oldest.or(Some(found.head));
            }
            seen.newest = Some(found.head);
            (offset, expected) = (found.end(), number + 1);
            walked.end = offset;
            if !self.verify || record::read(self.file, &found.head, found.offset).is_some() {
                kept = (walked.clone(), expected);
                *waiting = seen;
            }
        }
        let (mut walked, expected) = kept;
        if !self.verify {
            walked.end = length;
            walked.missing += count(self.ledger, expected, numbers.end);
        }
        (walked, expected)
    }
}
