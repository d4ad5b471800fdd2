//! A lane's ledger on disk: a file of fixed size, so that a full disk never keeps anything from
//! being settled or dropped.
//!
//! The file has two halves. One begins with a whole ledger, and what is noted after is appended to
//! it; when it is full, the ledger is written at the beginning of the other half.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::ledger::{End, Ledger};
use crate::record::{MAX_NUMBER, long, short};
use crate::system::{File, System};

/// The file's name within a lane.
pub(crate) const NAME: &str = "cursor";

const HALF_BYTES: usize = 16 << 10;
const MAGIC: [u8; 4] = *b"SPC1";

/// A ledger without its ranges: checksum, magic, generation, salt, head, six counters, ranges.
const LEDGER_BYTES: usize = 88;
const RANGE_BYTES: usize = 16;
/// What is noted: checksum, how it ended, the ledger's salt, first, last.
const NOTE_BYTES: usize = 32;

/// Where the next note goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    generation: u64,
    /// What a loss of power leaves of older notes is told from the ledger's by it.
    salt: u64,
    half: usize,
    used: usize,
}

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: Arc<dyn File>,
    place: Place,
    /// Noted and not yet written.
    pending: Vec<(End, u64, u64)>,
    /// What is on disk cannot be gone on with: the whole ledger has to be written.
    stale: bool,
    /// Written since the last sync.
    dirty: bool,
}

impl Cursor {
    /// Goes on with the file that [`read`] found as it is, or makes one.
    pub(crate) fn open(
        system: &dyn System,
        lane: &Path,
        ledger: &Ledger,
        place: Option<Place>,
    ) -> io::Result<Self> {
        let file = system.create(&lane.join(NAME))?;
        if file.len()? < 2 * HALF_BYTES as u64 {
            // Zeros are written, so that every block is there from now on.
            let from = file.len()?;
            file.write_at(&vec![0; 2 * HALF_BYTES - from as usize], from)?;
        }
        let fresh = Place { generation: 0, salt: 0, half: 1, used: HALF_BYTES };
        let (place, stale) = (place.unwrap_or(fresh), place.is_none());
        let mut cursor = Self { file, place, pending: Vec::new(), stale, dirty: true };
        if stale {
            cursor.flush(ledger, false)?;
        }
        Ok(cursor)
    }

    /// Has a note written with the next flush.
    pub(crate) fn note(&mut self, end: End, first: u64, last: u64) {
        match self.pending.last_mut() {
            _ if self.stale => {}
            Some((same, _, before)) if *same == end && *before + 1 == first => *before = last,
            _ => self.pending.push((end, first, last)),
        }
    }

    /// Writes what was noted; after that it survives the end of the process. After an error all of
    /// it is written with the next flush.
    pub(crate) fn flush(&mut self, ledger: &Ledger, durable: bool) -> io::Result<()> {
        if self.pending.is_empty() && !self.stale {
            return Ok(());
        }
        let needed = self.pending.len() * NOTE_BYTES;
        let done = match self.stale || self.place.used + needed > HALF_BYTES {
            true => self.write_ledger(ledger, durable),
            false => self.write_notes(needed),
        };
        self.pending.clear();
        self.stale = done.is_err();
        self.dirty = true;
        done
    }

    fn write_notes(&mut self, needed: usize) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(needed);
        for &(end, first, last) in &self.pending {
            let mut note = [0; NOTE_BYTES];
            note[4..8].copy_from_slice(&(end as u32).to_le_bytes());
            note[8..16].copy_from_slice(&self.place.salt.to_le_bytes());
            note[16..24].copy_from_slice(&first.to_le_bytes());
            note[24..].copy_from_slice(&last.to_le_bytes());
            let checksum = crc32fast::hash(&note[4..]);
            note[..4].copy_from_slice(&checksum.to_le_bytes());
            bytes.extend(note);
        }
        let at = self.place.half * HALF_BYTES + self.place.used;
        self.file.write_at(&bytes, at as u64)?;
        self.place.used += needed;
        Ok(())
    }

    fn write_ledger(&mut self, ledger: &Ledger, durable: bool) -> io::Result<()> {
        if durable {
            // The half that is left must be whole before the other one is written over.
            self.file.sync()?;
        }
        let generation = self.place.generation + 1;
        let (head, counts, ranges) = ledger.parts();
        // More ranges there are only after damage; what does not fit is handed out again.
        let fits = (HALF_BYTES - LEDGER_BYTES) / RANGE_BYTES / 2;
        let ranges: Vec<(u64, u64)> = ranges.take(fits).collect();
        let mut bytes = vec![0; 4];
        bytes.extend(MAGIC);
        let salt = RandomState::new().hash_one(generation) >> 2;
        let numbers =
            [generation, salt, head].into_iter().chain(*counts).chain([ranges.len() as u64]);
        let ranges = ranges.into_iter().flat_map(|(first, last)| [first, last]);
        numbers.chain(ranges).for_each(|number| bytes.extend(number.to_le_bytes()));
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        let half = 1 - self.place.half;
        self.file.write_at(&bytes, (half * HALF_BYTES) as u64)?;
        self.place = Place { generation, salt, half, used: bytes.len() };
        Ok(())
    }

    /// Returns when what was flushed survives a loss of power.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// The file, if it was written to since this was last asked or it was synced.
    pub(crate) fn take_dirty(&mut self) -> Option<Arc<dyn File>> {
        std::mem::take(&mut self.dirty).then(|| Arc::clone(&self.file))
    }
}

/// The ledger in a file, and where it goes on; `None` where there is no whole one.
pub(crate) fn read(file: &dyn File) -> Option<(Ledger, Place)> {
    let mut bytes = vec![0; 2 * HALF_BYTES];
    let _ = file.read_at(&mut bytes, 0);
    let (first, second) = bytes.split_at(HALF_BYTES);
    [read_half(first, 0), read_half(second, 1)]
        .into_iter()
        .flatten()
        .max_by_key(|(_, place)| place.generation)
}

/// Whether a file has damage: a half that holds something else than a ledger and notes.
pub(crate) fn is_damaged(file: &dyn File) -> bool {
    let mut bytes = vec![0; 2 * HALF_BYTES];
    let read = file.read_at(&mut bytes, 0);
    let half =
        |half: &[u8], index| read_half(half, index).is_none() && half.iter().any(|&byte| byte != 0);
    read.is_err() || half(&bytes[..HALF_BYTES], 0) || half(&bytes[HALF_BYTES..], 1)
}

fn read_half(bytes: &[u8], half: usize) -> Option<(Ledger, Place)> {
    let ranges = usize::try_from(long(bytes, LEDGER_BYTES - 8)).ok()?;
    let length = ranges.checked_mul(RANGE_BYTES)?.checked_add(LEDGER_BYTES)?;
    let written = bytes.get(..length)?;
    if written[4..8] != MAGIC || short(written, 0) != crc32fast::hash(&written[4..]) {
        return None;
    }
    let numbers: Vec<u64> = (8..length).step_by(8).map(|at| long(written, at)).collect();
    let [generation, salt, head, counts @ .., _] = &numbers[..10] else { return None };
    if numbers.iter().any(|&number| number > MAX_NUMBER) {
        return None;
    }
    let ranges = numbers[10..].chunks_exact(2).map(|pair| (pair[0], pair[1]));
    let mut ledger = Ledger::of(*head, *counts.first_chunk()?, ranges);
    let mut place = Place { generation: *generation, salt: *salt, half, used: length };
    let mut notes = bytes[length..].chunks_exact(NOTE_BYTES);
    for note in notes.by_ref() {
        let (end, first, last) = (short(note, 4) as usize, long(note, 16), long(note, 24));
        let sound = short(note, 0) == crc32fast::hash(&note[4..])
            && long(note, 8) == place.salt
            && (1..=last).contains(&first)
            && last <= MAX_NUMBER;
        let end = End::ALL.get(end.wrapping_sub(1)).filter(|_| sound);
        let Some(&end) = end else { break };
        ledger.note(end, first, last);
        place.used += NOTE_BYTES;
    }
    // Later notes lie behind a hole. New ones would fill it, and these be read again with them.
    if notes.any(|note| long(note, 8) == place.salt) {
        place.used = HALF_BYTES;
    }
    Some((ledger, place))
}
