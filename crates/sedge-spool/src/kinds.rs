//! What callers say and are told.

use std::fmt;
use std::time::{Duration, SystemTime};

/// How a spool is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most bytes of records that wait, with 56 bytes for each beside headers and body. The files
    /// take at most `segment_bytes` and 32 KiB more for each destination and priority, and the
    /// segments in which a record that is handed out lies.
    pub max_bytes: u64,
    /// Records older than this are dropped.
    pub max_age: Option<Duration>,
    /// What happens to a record for which there is no room.
    pub on_full: OnFull,
    /// When records are forced to the disk.
    pub sync: Sync,
    /// Bytes after which a new file is begun. A larger record has a file of its own.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_age: None,
            on_full: OnFull::DropOldest,
            sync: Sync::Every(Duration::from_secs(1)),
            segment_bytes: 1 << 20,
        }
    }
}

/// What happens to a record for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// The oldest records of the lowest priority are dropped, but none of a higher priority than the
    /// new one has, and none that is handed out.
    DropOldest,
    /// It is refused with [`SpoolError::Full`](crate::SpoolError::Full).
    Reject,
}

/// When records are forced to the disk. The end of the process alone loses nothing under any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before `append` returns: a loss of power loses none for which it did. Threads that append at
    /// the same time share a sync.
    Always,
    /// After this time at the latest: a loss of power loses what came since.
    Every(Duration),
    /// When the system does: a loss of power loses what it had not written, and the counters may be
    /// older than the records.
    Never,
}

/// Which records of a destination come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Dropped first, sent last.
    Low,
    /// Between the others.
    Normal,
    /// Sent first, dropped last.
    High,
}

impl Priority {
    /// All, the first to be sent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Its name in directories and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is to leave the device.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who sends it: the name of a consumer, and of a directory.
    pub destination: &'a str,
    /// What comes before what.
    pub priority: Priority,
    /// What the sender has to know; at most [`MAX_HEADERS_BYTES`](crate::MAX_HEADERS_BYTES).
    pub headers: &'a [u8],
    /// What is sent; at most [`MAX_BODY_BYTES`](crate::MAX_BODY_BYTES).
    pub body: &'a [u8],
}

/// A record's number among those of its destination and priority, which count from 1. After a loss
/// of power the numbers of what it took are used again: what has to be told apart beyond the device
/// needs a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Its priority.
    pub priority: Priority,
    /// Its number.
    pub number: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.priority, self.number)
    }
}

/// A record that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// To settle it by.
    pub id: Id,
    /// When it was appended, by a wall clock that may have been wrong.
    pub appended: SystemTime,
    /// How long ago that is, whatever was done to the wall clock.
    pub age: Duration,
    /// As they were appended.
    pub headers: Vec<u8>,
    /// As it was appended.
    pub body: Vec<u8>,
}

/// What became of a record that was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It arrived.
    Delivered,
    /// It never will: whoever should take it said so.
    Refused,
    /// Somebody decided that it is not needed.
    Discarded,
}

/// Records of a destination and priority that came and went since there is the spool. All that were
/// appended are waiting or counted by one of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Numbers given out.
    pub appended: u64,
    /// See [`Settled::Delivered`].
    pub delivered: u64,
    /// See [`Settled::Refused`].
    pub refused: u64,
    /// See [`Settled::Discarded`].
    pub discarded: u64,
    /// Dropped for newer ones, or for lack of space on the disk.
    pub dropped_by_size: u64,
    /// Dropped because they were too old.
    pub dropped_by_age: u64,
    /// Taken by damage to the files.
    pub lost: u64,
}

/// What waits for a destination with one priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// The destination.
    pub destination: String,
    /// The priority.
    pub priority: Priority,
    /// Records that wait or are handed out.
    pub records: u64,
    /// Their bytes, with 56 for each beside headers and body.
    pub bytes: u64,
    /// Those of them that are handed out.
    pub in_flight: u64,
    /// Age of the oldest.
    pub oldest: Option<Duration>,
    /// What came and went.
    pub counters: Counters,
}

/// What waits, and what came and went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// By destination, then the highest priority first.
    pub lanes: Vec<LaneStatus>,
    /// Bytes of all that waits.
    pub bytes: u64,
    /// The bound on them.
    pub max_bytes: u64,
    /// Why the last sync of [`Sync::Every`] failed, if it did: a loss of power may lose more than
    /// was said.
    pub sync_error: Option<String>,
}
