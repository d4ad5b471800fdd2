//! Looking at a spool without opening it: nothing is locked and nothing is written, so that another
//! process may go on with it meanwhile.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::SpoolError;
use crate::clock::Clock;
use crate::cursor;
use crate::kinds::{Id, LaneStatus, Priority};
use crate::record::{self, Head, MAX_NUMBER};
use crate::scan::{Scan, scan};
use crate::segment::{self, Found};
use crate::spool::LOCK;
use crate::state::{counters, lanes_in};
use crate::system::{Disk, File, System};

/// A spool's files, read beside whoever has it open.
#[derive(Debug)]
pub struct Inspection {
    disk: Disk,
    directory: PathBuf,
    lanes: Vec<(String, Priority, PathBuf, Scan)>,
}

/// A record that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Its number.
    pub id: Id,
    /// When it was appended, by a wall clock that may have been wrong.
    pub appended: SystemTime,
    /// How long ago that is.
    pub age: Duration,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// Headers and body; `None` if they are damaged.
    pub content: Option<(Vec<u8>, Vec<u8>)>,
}

/// Bytes of a file that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// What was found when every checksum was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whole records, settled ones that still lie there among them.
    pub records: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is wrong.
    pub damages: Vec<Damage>,
}

impl Inspection {
    /// Reads what waits in a spool's directory.
    pub fn open(directory: &Path) -> Result<Self, SpoolError> {
        let disk = Disk::new();
        let mut lanes = Vec::new();
        for (name, priority, path) in lanes_in(&disk, directory)? {
            let scanned = scan(&disk, &path).map_err(SpoolError::io("read", &path))?;
            lanes.push((name, priority, path, scanned));
        }
        Ok(Self { disk, directory: directory.to_owned(), lanes })
    }

    /// The process that has the spool open; `None` if none has.
    pub fn holder(&self) -> Option<String> {
        let path = self.directory.join(LOCK);
        // Opened to read alone, so that a spool of somebody else can be looked at.
        let file = std::fs::File::open(&path).ok()?;
        file.try_lock_shared().err()?;
        let pid = std::fs::read_to_string(&path).unwrap_or_default();
        Some(pid.trim().to_owned())
    }

    /// What waits, and what came and went, as in [`Status`](crate::Status). What is handed out is
    /// not known.
    pub fn lanes(&self) -> Vec<LaneStatus> {
        let (clock, now) = (self.clock(), self.disk.now());
        let status = |(name, priority, _, scan): &(String, Priority, PathBuf, Scan)| LaneStatus {
            destination: name.clone(),
            priority: *priority,
            records: scan.waiting.records,
            bytes: scan.waiting.bytes,
            in_flight: 0,
            oldest: scan.waiting.oldest.map(|head| clock.age(&head, now)),
            counters: counters(&scan.ledger, scan.next_number, scan.waiting.records),
        };
        self.lanes.iter().map(status).collect()
    }

    fn clock(&self) -> Clock {
        let newest = self.lanes.iter().filter_map(|(.., scan)| scan.waiting.newest);
        Clock::new(newest.max_by_key(|head| head.order), self.disk.now())
    }

    /// Calls for each record that waits for a destination, in the order they are handed out, until
    /// told to stop by `false`.
    pub fn records(
        &self,
        destination: &str,
        mut each: impl FnMut(Peek) -> bool,
    ) -> Result<(), SpoolError> {
        let (clock, now) = (self.clock(), self.disk.now());
        for (name, priority, path, scan) in &self.lanes {
            if name != destination {
                continue;
            }
            let done = self.walk(path, scan, |file, found, _| {
                let Head { number, .. } = found.head;
                scan.ledger.is_done(number)
                    || each(Peek {
                        id: Id { priority: *priority, number },
                        appended: SystemTime::UNIX_EPOCH
                            + Duration::from_millis(found.head.wall_ms),
                        age: clock.age(&found.head, now),
                        body_bytes: found.head.body_bytes.into(),
                        content: record::read(file, &found.head, found.offset),
                    })
            })?;
            if !done {
                break;
            }
        }
        Ok(())
    }

    /// Checks every checksum there is. A torn end, which opening cuts off, is no damage.
    pub fn verify(&self) -> Result<Verdict, SpoolError> {
        let mut verdict = Verdict::default();
        for (_, _, lane, scan) in &self.lanes {
            let path = lane.join(cursor::NAME);
            match self.disk.open(&path) {
                // A ledger that is just being written passes for damage only once.
                Ok(file) if (0..3).all(|_| cursor::is_damaged(&*file)) => {
                    let what = "the cursor's half is no ledger".to_owned();
                    verdict.damages.push(Damage { path, offset: 0, what });
                }
                _ => {}
            }
            let mut damages = Vec::new();
            self.walk(lane, scan, |file, found, (path, before)| {
                let mut damaged =
                    |offset, what| damages.push(Damage { path: path.to_owned(), offset, what });
                if before < found.offset {
                    damaged(before, format!("{} bytes are no record", found.offset - before));
                }
                match record::read(file, &found.head, found.offset) {
                    Some(_) => verdict.records += 1,
                    None => {
                        damaged(found.offset, format!("record {} is damaged", found.head.number));
                    }
                }
                verdict.bytes += found.head.frame_bytes();
                true
            })?;
            verdict.damages.append(&mut damages);
        }
        Ok(verdict)
    }

    /// Calls for each record of a lane with its segment's path and where the one before ended, until
    /// told to stop; returns whether it was not.
    fn walk(
        &self,
        lane: &Path,
        scan: &Scan,
        mut each: impl FnMut(&dyn File, &Found, (&Path, u64)) -> bool,
    ) -> Result<bool, SpoolError> {
        for (index, segment) in scan.segments.iter().enumerate() {
            let following = scan.segments.get(index + 1).map(|segment| segment.first);
            let path = segment.path(lane);
            let file = match self.disk.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(SpoolError::io("read", &path))?,
            };
            let (mut offset, mut expected) = (0, segment.first);
            let numbers = |expected| expected..following.unwrap_or(MAX_NUMBER + 1);
            while let Some(found) =
                segment::next(&*file, segment.salt, offset, segment.end, numbers(expected))
            {
                if !each(&*file, &found, (&path, offset)) {
                    return Ok(false);
                }
                (offset, expected) = (found.end(), found.head.number + 1);
            }
        }
        Ok(true)
    }
}
