//! CRC-32C (Castagnoli), eight bytes at a time, and the masked form in which TensorFlow stores it
//! (`tsl/lib/hash/crc32c.h`).

const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[n][b]`: the remainder of byte `b` with `n` zero bytes behind it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let low = remainder & 1;
            remainder = remainder >> 1 ^ if low == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = remainder;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// True when `stored` is the checksum of `bytes`. Fuzzing goes on where it is wrong: it would not
/// find out how to make it right.
pub(super) fn fits(bytes: &[u8], stored: u32) -> bool {
    masked(bytes) == stored || cfg!(fuzzing)
}

/// The checksum of `bytes`, masked.
pub(super) fn masked(bytes: &[u8]) -> u32 {
    checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut remainder = !0u32;
    let (blocks, rest) = bytes.as_chunks::<8>();
    for block in blocks {
        let low = remainder.to_le_bytes();
        let mut next = 0;
        for (at, byte) in block.iter().enumerate() {
            let byte = if at < 4 { byte ^ low[at] } else { *byte };
            next ^= TABLES[7 - at][usize::from(byte)];
        }
        remainder = next;
    }
    for byte in rest {
        let index = usize::from(remainder as u8 ^ byte);
        remainder = remainder >> 8 ^ TABLES[0][index];
    }
    !remainder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_rfc_3720() {
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(checksum(&ascending), 0x46dd_794e);
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
    }
}
