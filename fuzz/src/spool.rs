//! What a spool finds on its disk: a cursor and two segments of one destination. Whatever they hold,
//! the spool opens, hands out what is whole, and takes and hands out what is new.

use std::fs;
use std::path::Path;

use sedge_spool::{Counters, Entry, Inspection, Options, Priority, Settled, Spool, Sync};

use crate::Target;

/// See the module.
pub const TARGET: Target = Target { name: "spool", max_peak_bytes: 2 << 20, body };

const DESTINATION: &str = "mqtt";
/// Names of segments say the number of the first record and the salt of the checksums.
const SALT: u32 = 0x5c0f_fee5;
/// Number of the second segment's first record.
const SECOND: u64 = 4;
/// A half of a cursor's file, of which an input says the beginning.
const HALF_BYTES: usize = 16 << 10;
const HEAD_BYTES: usize = 56;
const LEDGER_BYTES: usize = 88;
const NOTE_BYTES: usize = 32;
/// Has the checksums put right, without which next to nothing would be read that is not as it was.
const MEND: u8 = 1;
const MOST_HANDED_OUT: usize = 64;

/// The parts of an input: how it is used, then the cursor's halves and the segments, the lengths of
/// all but the last before them.
struct Input {
    mends: bool,
    halves: [Vec<u8>; 2],
    segments: [Vec<u8>; 2],
}

impl Input {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (flags, mut rest) = bytes.split_first()?;
        let mut part = || -> Option<Vec<u8>> {
            let (length, behind) = rest.split_first_chunk()?;
            let (part, behind) = behind.split_at_checked(u16::from_le_bytes(*length).into())?;
            rest = behind;
            Some(part.to_vec())
        };
        let (halves, first) = ([part()?, part()?], part()?);
        Some(Self { mends: flags & MEND != 0, halves, segments: [first, rest.to_vec()] })
    }

    fn encode(&self) -> Vec<u8> {
        let [first, last] = &self.segments;
        let mut bytes = vec![if self.mends { MEND } else { 0 }];
        for part in self.halves.iter().chain([first]) {
            bytes.extend((part.len() as u16).to_le_bytes());
            bytes.extend(part);
        }
        bytes.extend(last);
        bytes
    }

    fn mend(&mut self) {
        self.halves.iter_mut().for_each(|half| mend_half(half));
        self.segments.iter_mut().for_each(|segment| mend_segment(segment));
    }

    /// The files of a spool's directory.
    fn write(&self, directory: &Path) -> std::io::Result<()> {
        let lane = directory.join(DESTINATION).join("normal");
        fs::create_dir_all(&lane)?;
        let mut cursor = vec![0; 2 * HALF_BYTES];
        for (half, bytes) in cursor.chunks_mut(HALF_BYTES).zip(&self.halves) {
            let length = bytes.len().min(HALF_BYTES);
            half[..length].copy_from_slice(&bytes[..length]);
        }
        if self.halves.iter().any(|half| !half.is_empty()) {
            fs::write(lane.join("cursor"), cursor)?;
        }
        for (first, bytes) in [1, SECOND].into_iter().zip(&self.segments) {
            if !bytes.is_empty() {
                fs::write(lane.join(format!("{first:020}-{SALT:08x}.v1")), bytes)?;
            }
        }
        Ok(())
    }
}

fn mend_segment(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(record) = bytes.get_mut(at..).filter(|rest| rest.len() >= HEAD_BYTES) {
        let length = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| record[at + i])) as usize;
        let content = record.get(HEAD_BYTES..HEAD_BYTES + length(12) + length(16));
        let Some(content) = content.filter(|_| record.starts_with(b"SPR1")) else {
            at += 1;
            continue;
        };
        let (next, checksum) = (at + HEAD_BYTES + content.len(), crc32fast::hash(content));
        record[8..12].copy_from_slice(&checksum.to_le_bytes());
        let mut head = crc32fast::Hasher::new();
        head.update(&SALT.to_le_bytes());
        head.update(&(at as u64).to_le_bytes());
        head.update(&record[8..HEAD_BYTES]);
        record[4..8].copy_from_slice(&head.finalize().to_le_bytes());
        at = next;
    }
}

fn mend_half(bytes: &mut [u8]) {
    let Some(ranges) = bytes.get(LEDGER_BYTES - 8..LEDGER_BYTES).and_then(|it| it.first_chunk())
    else {
        return;
    };
    let Ok(ranges) = usize::try_from(u64::from_le_bytes(*ranges)) else { return };
    let length = ranges.saturating_mul(16).saturating_add(LEDGER_BYTES);
    let Some((ledger, notes)) = bytes.split_at_mut_checked(length) else { return };
    let put_right = |part: &mut [u8]| {
        let checksum = crc32fast::hash(&part[4..]);
        part[..4].copy_from_slice(&checksum.to_le_bytes());
    };
    put_right(ledger);
    notes.chunks_exact_mut(NOTE_BYTES).for_each(put_right);
}

fn options() -> Options {
    Options { max_bytes: 64 << 10, segment_bytes: 4 << 10, sync: Sync::Never, ..Options::default() }
}

fn body(bytes: &[u8]) {
    let Some(mut input) = Input::parse(bytes) else { return };
    if input.mends {
        input.mend();
    }
    let Ok(directory) = tempfile::tempdir() else { return };
    let directory = directory.path();
    if input.write(directory).is_err() {
        return;
    }
    look(directory);
    let spool = Spool::open(directory, options()).expect("damage keeps no spool from being opened");
    // What has right checksums and is not true nobody wrote; it has only to be survived.
    let sums = |spool: &Spool| {
        for lane in spool.status().lanes {
            assert!(input.mends || lane.counters.appended == ended(&lane.counters) + lane.records);
        }
    };
    sums(&spool);
    let Ok(consumer) = spool.consumer(DESTINATION) else { return };
    let mut handed_out = 0;
    while let Ok(Some(record)) = consumer.try_next() {
        handed_out += 1;
        let settled = [Settled::Delivered, Settled::Refused, Settled::Discarded];
        let _ = consumer.settle(record.id, settled[handed_out % 3]);
        if handed_out == MOST_HANDED_OUT {
            return;
        }
    }
    let (headers, body) = (&b"new"[..], &b"record"[..]);
    let entry = Entry { destination: DESTINATION, priority: Priority::Normal, headers, body };
    let appended = spool.append(&entry).expect("there is room for it");
    // So many nobody appends, and what is behind is not read.
    if appended.number > 1 << 61 {
        return;
    }
    sums(&spool);
    drop((consumer, spool));
    look(directory);
    let spool = Spool::open(directory, options()).expect("what was opened once opens again");
    sums(&spool);
    let consumer = spool.consumer(DESTINATION).expect("nobody else consumes");
    // What was settled may come again where the cursor cannot be gone on with.
    let mut again = std::iter::from_fn(|| consumer.try_next().expect("what is whole is read"));
    assert!(again.any(|record| record.headers == headers && record.body == body), "it is gone");
}

fn ended(counters: &Counters) -> u64 {
    let Counters { delivered, refused, discarded, dropped_by_size, dropped_by_age, lost, .. } =
        *counters;
    delivered + refused + discarded + dropped_by_size + dropped_by_age + lost
}

/// As the command line does beside a running server.
fn look(directory: &Path) {
    let Ok(inspection) = Inspection::open(directory) else { return };
    let _ = (inspection.holder(), inspection.lanes(), inspection.verify());
    let mut seen = 0;
    let _ = inspection.records(DESTINATION, |_| {
        seen += 1;
        seen < MOST_HANDED_OUT
    });
}

/// A spool as it is written, and what happens to one: settled here and there, cut, with a hole.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for settled in 0..4_u64 {
        let Some(whole) = written(settled) else { continue };
        let mut add = |name: &str, change: &dyn Fn(&mut Input)| {
            let mut input = Input {
                mends: false,
                halves: whole.halves.clone(),
                segments: whole.segments.clone(),
            };
            input.mend();
            change(&mut input);
            seeds.push((format!("{name}-{settled}"), input.encode()));
            input.mends = true;
            seeds.push((format!("{name}-{settled}-mended"), input.encode()));
        };
        add("whole", &|_| {});
        add("torn", &|input| input.segments[1].truncate(100));
        add("hole", &|input| input.segments[0][60..130].fill(0));
        add("no-cursor", &|input| input.halves = [Vec::new(), Vec::new()]);
        add("no-first", &|input| input.segments[0].clear());
    }
    seeds
}

/// Six records in two segments, of which some in the middle were settled.
fn written(settled: u64) -> Option<Input> {
    let directory = tempfile::tempdir().ok()?;
    let of_three = 3 * (HEAD_BYTES as u64 + 8);
    let options = Options { segment_bytes: of_three, ..options() };
    let spool = Spool::open(directory.path(), options).ok()?;
    for body in [b"one234", b"two456", b"three7", b"four89", b"five01", b"six234"] {
        let (destination, priority, headers) = (DESTINATION, Priority::Normal, &b"ab"[..]);
        spool.append(&Entry { destination, priority, headers, body }).ok()?;
    }
    let consumer = spool.consumer(DESTINATION).ok()?;
    while let Ok(Some(record)) = consumer.try_next() {
        if (2..2 + settled).contains(&record.id.number) {
            consumer.settle(record.id, Settled::Delivered).ok()?;
        }
    }
    drop((consumer, spool));
    let lane = directory.path().join(DESTINATION).join("normal");
    let mut files: Vec<_> = fs::read_dir(lane).ok()?.flatten().map(|file| file.path()).collect();
    files.sort();
    let mut read = files.iter().filter_map(|path| fs::read(path).ok());
    let segments = [read.next()?, read.next()?];
    let cursor = read.next()?;
    let halves = [&cursor[..HALF_BYTES], &cursor[HALF_BYTES..]].map(|half| {
        let used = half.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        // A ledger may end in zeros.
        half[..used.max(LEDGER_BYTES.min(used * LEDGER_BYTES))].to_vec()
    });
    Some(Input { mends: false, halves, segments })
}
