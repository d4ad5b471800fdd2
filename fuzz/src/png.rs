//! PNG checksums, put right: a changed byte would otherwise never get past the first of them.

use flate2::Crc;

const SIGNATURE: usize = 8;
/// Length, type and checksum of a chunk.
const AROUND: usize = 12;

/// The same file with the checksum of every chunk that is whole; `None` for other bytes.
pub(crate) fn with_checksums(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"\x89PNG") {
        return None;
    }
    let mut mended = bytes.to_vec();
    let mut at = SIGNATURE;
    while let Some(&[a, b, c, d]) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(chunk) = mended.get_mut(at..at.saturating_add(length).saturating_add(AROUND))
        else {
            break;
        };
        let mut sum = Crc::new();
        sum.update(&chunk[4..8 + length]);
        chunk[8 + length..].copy_from_slice(&sum.sum().to_be_bytes());
        at += length + AROUND;
    }
    Some(mended)
}
