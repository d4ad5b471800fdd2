//! A segment: a file of records one behind the other. Its name says the number of its first record
//! and the salt of its checksums, so that no damage to its bytes takes more than what it hits.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use crate::record::{HEAD_BYTES, Head, MAGIC, MAX_NUMBER};
use crate::system::File;

/// The ending of this format's names; another version of it would have another.
const ENDING: &str = ".v1";

/// How many bytes are looked through at a time for the next record behind damage.
const WINDOW_BYTES: usize = 64 << 10;

/// A segment of a lane.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Its first record's number.
    pub(crate) first: u64,
    pub(crate) salt: u32,
    /// Where its last whole record ends.
    pub(crate) end: u64,
    /// Numbers that should be in it, and are not; known ones only.
    pub(crate) missing: u64,
}

impl Segment {
    /// One to be written, of which no other ever had the name.
    pub(crate) fn new(first: u64) -> Self {
        // Hashers are seeded from the system's randomness.
        let salt = RandomState::new().hash_one(first) as u32;
        Self { first, salt, end: 0, missing: 0 }
    }

    /// The segment of a file's name; `None` if it is not one's.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (first, salt) = name.strip_suffix(ENDING)?.split_once('-')?;
        let digits = first.len() == 20 && first.bytes().all(|byte| byte.is_ascii_digit());
        let letters = salt.len() == 8 && salt.bytes().all(|byte| byte.is_ascii_hexdigit());
        let first =
            first.parse().ok().filter(|first| digits && (1..=MAX_NUMBER).contains(first))?;
        let salt = u32::from_str_radix(salt, 16).ok().filter(|_| letters)?;
        Some(Self { first, salt, end: 0, missing: 0 })
    }

    /// Whether a name is one of another version of this format.
    pub(crate) fn is_newer(name: &str) -> bool {
        let this = |(stem, _): (&str, &str)| Self::named(&format!("{stem}{ENDING}")).is_some();
        Self::named(name).is_none() && name.rsplit_once(".v").is_some_and(this)
    }

    pub(crate) fn path(&self, lane: &Path) -> PathBuf {
        lane.join(format!("{:020}-{:08x}{ENDING}", self.first, self.salt))
    }
}

/// A record's head and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) head: Head,
    pub(crate) offset: u64,
}

impl Found {
    /// Where the record ends.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.head.frame_bytes()
    }
}

/// The first record at an offset or behind it that lies before `end` as a whole and has a number in
/// a range. What lies between is damage.
pub(crate) fn next(
    file: &dyn File,
    salt: u32,
    mut offset: u64,
    end: u64,
    numbers: std::ops::Range<u64>,
) -> Option<Found> {
    let fits = |found: &Found| found.end() <= end && numbers.contains(&found.head.number);
    let mut head = [0; HEAD_BYTES];
    if offset + HEAD_BYTES as u64 > end {
        return None;
    }
    if file.read_at(&mut head, offset).is_ok()
        && let Some(head) = Head::decode(&head, salt, offset)
    {
        let found = Found { head, offset };
        if fits(&found) {
            return Some(found);
        }
    }
    let mut window = vec![0; WINDOW_BYTES];
    while offset + HEAD_BYTES as u64 <= end {
        let wanted = window.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        // What cannot be read is looked through as zeros are.
        window[..wanted].fill(0);
        let _ = file.read_at(&mut window[..wanted], offset);
        let starts = wanted.saturating_sub(HEAD_BYTES - 1);
        for at in 0..starts {
            if window[at..at + 4] == MAGIC
                && let Some(head) = Head::decode(&window[at..wanted], salt, offset + at as u64)
            {
                let found = Found { head, offset: offset + at as u64 };
                if fits(&found) {
                    return Some(found);
                }
            }
        }
        offset += starts as u64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_needed_to_read() {
        let segment = Segment::new(42);
        let path = segment.path(Path::new("lane"));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        let named = Segment::named(name).unwrap();
        assert_eq!((named.first, named.salt), (42, segment.salt));
        for wrong in ["cursor", "1-2.v1", "00000000000000000000-00000000.v1", ".v1", "-.v1"] {
            assert!(Segment::named(wrong).is_none(), "{wrong}");
        }
        let newer = name.replace(".v1", ".v2");
        assert!(Segment::named(&newer).is_none() && Segment::is_newer(&newer));
        assert!(!Segment::is_newer(name) && !Segment::is_newer("cursor"));
    }
}
