//! A record as bytes: a head of fixed size with a checksum of its own, then headers and body.
//!
//! The head's checksum covers the segment's salt and the record's offset, too: bytes that a record
//! carries, or that a file system brings back from a removed file, never pass for a record here.

use std::io;

use crc32fast::Hasher;

use crate::system::File;

/// Bytes of a record before its headers.
pub(crate) const HEAD_BYTES: usize = 56;

/// Most bytes of a record's headers.
pub const MAX_HEADERS_BYTES: usize = 64 << 10;

/// Most bytes of a record's body.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// Numbers, orders and generations above this are not gone on from, so that none overflows.
pub(crate) const MAX_NUMBER: u64 = 1 << 62;

/// The first bytes of each record.
pub(crate) const MAGIC: [u8; 4] = *b"SPR1";

/// What is known of a record without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) headers_bytes: u32,
    pub(crate) body_bytes: u32,
    /// Of headers and body.
    pub(crate) checksum: u32,
    /// Counts the records of a lane from 1.
    pub(crate) number: u64,
    /// Counts the records of the spool.
    pub(crate) order: u64,
    /// When it was written: since 1970, by a clock that may have been wrong.
    pub(crate) wall_ms: u64,
    /// When it was written, by the spool's own clock.
    pub(crate) clock_ms: u64,
}

impl Head {
    /// Bytes of the whole record.
    pub(crate) fn frame_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.headers_bytes) + u64::from(self.body_bytes)
    }

    fn encode(&self, salt: u32, offset: u64) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.headers_bytes.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.order.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.wall_ms.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.clock_ms.to_le_bytes());
        let checksum = head_checksum(&bytes, salt, offset);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The head that begins these bytes, which lie at an offset of a segment; `None` if none does.
    pub(crate) fn decode(bytes: &[u8], salt: u32, offset: u64) -> Option<Self> {
        let bytes: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        let (long, short) = (|at| long(bytes, at), |at| short(bytes, at));
        if bytes[..4] != MAGIC || short(4) != head_checksum(bytes, salt, offset) {
            return None;
        }
        let head = Self {
            checksum: short(8),
            headers_bytes: short(12),
            body_bytes: short(16),
            number: long(24),
            order: long(32),
            wall_ms: long(40),
            clock_ms: long(48),
        };
        let numbers = [head.number, head.order, head.wall_ms, head.clock_ms];
        let sound = head.headers_bytes as usize <= MAX_HEADERS_BYTES
            && head.body_bytes as usize <= MAX_BODY_BYTES
            && head.number > 0
            && numbers.iter().all(|&number| number <= 2 * MAX_NUMBER);
        sound.then_some(head)
    }
}

/// A number of four bytes, least significant first.
pub(crate) fn short(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().copied().map_or(0, u32::from_le_bytes)
}

/// A number of eight bytes, least significant first.
pub(crate) fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().copied().map_or(0, u64::from_le_bytes)
}

fn head_checksum(bytes: &[u8; HEAD_BYTES], salt: u32, offset: u64) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&bytes[8..]);
    hasher.finalize()
}

/// The checksum of a record's headers and body.
pub(crate) fn checksum(headers: &[u8], body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(headers);
    hasher.update(body);
    hasher.finalize()
}

/// A record as it is written at an offset of a segment.
pub(crate) fn frame(head: &Head, headers: &[u8], body: &[u8], salt: u32, offset: u64) -> Vec<u8> {
    [&head.encode(salt, offset)[..], headers, body].concat()
}

/// Headers and body of the record at an offset; `None` where they are not what was written.
pub(crate) fn read(file: &dyn File, head: &Head, offset: u64) -> Option<(Vec<u8>, Vec<u8>)> {
    let part = |bytes: u32, offset: u64| -> io::Result<Vec<u8>> {
        let mut part = vec![0; bytes as usize];
        match file.read_at(&mut part, offset)? {
            count if count == part.len() => Ok(part),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    // What a broken disk cannot read is as good as what it reads wrong.
    let start = offset + HEAD_BYTES as u64;
    let headers = part(head.headers_bytes, start).ok()?;
    let body = part(head.body_bytes, start + u64::from(head.headers_bytes)).ok()?;
    (checksum(&headers, &body) == head.checksum).then_some((headers, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_one_only_where_it_was_written() {
        let head = Head {
            headers_bytes: 3,
            body_bytes: 70_000,
            checksum: 0x1234_5678,
            number: 9,
            order: 12,
            wall_ms: 1_700_000_000_000,
            clock_ms: 1_700_000_000_001,
        };
        let bytes = head.encode(7, 4096);
        assert_eq!(Head::decode(&bytes, 7, 4096), Some(head));
        assert_eq!(Head::decode(&bytes, 8, 4096), None);
        assert_eq!(Head::decode(&bytes, 7, 4097), None);
        assert_eq!(Head::decode(&bytes[1..], 7, 4096), None);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The four bytes that are left free are covered, too.
            assert_eq!(Head::decode(&damaged, 7, 4096), None, "bit {bit}");
        }
    }
}
