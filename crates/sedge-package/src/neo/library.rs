//! The compiled library, as far as it can be judged without running it: ELF headers.
//!
//! Layout: System V ABI, chapter 4 (object files) and 5 (program headers).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How far into a library the names of its functions are looked for.
const MAX_LIBRARY_BYTES: u64 = 64 << 20;
/// Program headers that are looked at; compilers write about ten.
const MAX_HEADERS: u16 = 256;
const PT_LOAD: u32 = 1;

/// What the headers of a library tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Library {
    /// The processor, as Rust calls it (`x86_64`, `aarch64`, `arm`); `None` for others.
    pub(super) machine: Option<&'static str>,
    /// Where the last segment ends that is mapped into memory. In a file that is shorter, code
    /// that reaches for the rest ends the process.
    pub(super) mapped_bytes: u64,
}

impl Library {
    /// Reads the headers; `None` for what is no library of a little-endian machine.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut head = [0; 64];
        // A 32-bit header is shorter, but no library is.
        file.read_exact(&mut head).ok()?;
        let wide = match head.get(..6)? {
            [0x7f, b'E', b'L', b'F', 1, 1] => false,
            [0x7f, b'E', b'L', b'F', 2, 1] => true,
            _ => return None,
        };
        let machine = match number(&head, 18, 2)? {
            40 => Some("arm"),
            62 => Some("x86_64"),
            183 => Some("aarch64"),
            _ => None,
        };
        let (table, size, count) = match wide {
            true => (number(&head, 32, 8)?, number(&head, 54, 2)?, number(&head, 56, 2)?),
            false => (number(&head, 28, 4)?, number(&head, 42, 2)?, number(&head, 44, 2)?),
        };
        let count = count.min(u64::from(MAX_HEADERS));
        let mut headers = vec![0; usize::try_from(size.checked_mul(count)?).ok()?];
        file.seek(SeekFrom::Start(table)).ok()?;
        file.read_exact(&mut headers).ok()?;
        let end = |header: &[u8]| {
            let (offset, length) = match wide {
                true => (number(header, 8, 8)?, number(header, 32, 8)?),
                false => (number(header, 4, 4)?, number(header, 16, 4)?),
            };
            let mapped = number(header, 0, 4)? == u64::from(PT_LOAD);
            mapped.then(|| offset.saturating_add(length))
        };
        let size = usize::try_from(size).ok().filter(|&size| size > 0)?;
        let mapped_bytes = headers.chunks_exact(size).filter_map(end).max().unwrap_or(0);
        Some(Self { machine, mapped_bytes })
    }
}

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// True when a library has the functions of compiled decision trees.
pub(super) fn has_trees(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_LIBRARY_BYTES).read_to_end(&mut bytes));
    let has = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
    // The name of the second changed in treelite 1.0.
    read.is_ok()
        && has(b"\0get_num_feature\0")
        && (has(b"\0get_num_output_group\0") || has(b"\0get_num_class\0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn testdata(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/neo").join(name)
    }

    #[test]
    fn headers_tell_the_machine_and_how_much_is_mapped() {
        let path = testdata("three_inputs/compiled.so");
        let library = Library::read(&path).unwrap();
        assert_eq!(library.machine, Some("x86_64"));
        let bytes = std::fs::metadata(&path).unwrap().len();
        assert!((1..=bytes).contains(&library.mapped_bytes), "{library:?} {bytes}");
    }

    #[test]
    fn every_cut_and_every_flipped_byte_of_the_headers_is_survived() {
        let bytes = std::fs::read(testdata("three_inputs/compiled.so")).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cut.so");
        for length in 0..130 {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(Library::read(&path), None, "{length}");
        }
        for at in 0..128 {
            let mut flipped = bytes[..4096].to_vec();
            flipped[at] ^= 0xff;
            std::fs::write(&path, &flipped).unwrap();
            let _ = Library::read(&path);
        }
    }
}
