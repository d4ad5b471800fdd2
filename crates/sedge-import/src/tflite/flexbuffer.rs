//! The options of custom operators: a FlexBuffers map of numbers.
//!
//! Format: <https://flatbuffers.dev/flatbuffers_internals/#flexbuffers>. Offsets count backwards
//! and every element says how many bytes it takes.

use std::collections::BTreeMap;

/// More entries than any operator has options.
const MAX_ENTRIES: u64 = 256;
const MAX_KEY: usize = 128;

/// Packed types, without the two bits of the width.
mod kind {
    pub(super) const INT: u8 = 1;
    pub(super) const UINT: u8 = 2;
    pub(super) const FLOAT: u8 = 3;
    pub(super) const INDIRECT_INT: u8 = 6;
    pub(super) const INDIRECT_UINT: u8 = 7;
    pub(super) const INDIRECT_FLOAT: u8 = 8;
    pub(super) const MAP: u8 = 9;
    pub(super) const BOOL: u8 = 26;
}

/// The numbers of a map; entries of other types are left out. `None` when the bytes are no map.
pub(super) fn numbers(bytes: &[u8]) -> Option<BTreeMap<String, f64>> {
    let [.., packed, width] = *bytes else { return None };
    let width = usize::from(width);
    let root = bytes.len().checked_sub(2 + width)?;
    if packed >> 2 != kind::MAP || !matches!(width, 1 | 2 | 4 | 8) {
        return None;
    }
    let values = back(bytes, root, width)?;
    let width = 1 << (packed & 3);
    let count = unsigned(bytes, values.checked_sub(width)?, width)?;
    if count > MAX_ENTRIES {
        return None;
    }
    let keys_width =
        usize::try_from(unsigned(bytes, values.checked_sub(2 * width)?, width)?).ok()?;
    let keys = back(bytes, values.checked_sub(3 * width)?, width)?;
    let count = count as usize;
    let types = values + count * width;
    let mut map = BTreeMap::new();
    for index in 0..count {
        let key = back(bytes, keys.checked_add(index.checked_mul(keys_width)?)?, keys_width)?;
        let key: Vec<u8> =
            bytes.get(key..)?.iter().copied().take(MAX_KEY).take_while(|&byte| byte != 0).collect();
        let packed = *bytes.get(types + index)?;
        if let Some(value) = number(bytes, values + index * width, width, packed) {
            map.insert(String::from_utf8_lossy(&key).into_owned(), value);
        }
    }
    Some(map)
}

/// Follows an offset stored at `at`, which counts backwards from there.
fn back(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    at.checked_sub(usize::try_from(unsigned(bytes, at, width)?).ok()?)
}

fn number(bytes: &[u8], at: usize, width: usize, packed: u8) -> Option<f64> {
    let own_width = 1 << (packed & 3);
    Some(match packed >> 2 {
        kind::INT => signed(bytes, at, width)? as f64,
        kind::UINT | kind::BOOL => unsigned(bytes, at, width)? as f64,
        kind::FLOAT => float(bytes, at, width)?,
        kind::INDIRECT_INT => signed(bytes, back(bytes, at, width)?, own_width)? as f64,
        kind::INDIRECT_UINT => unsigned(bytes, back(bytes, at, width)?, own_width)? as f64,
        kind::INDIRECT_FLOAT => float(bytes, back(bytes, at, width)?, own_width)?,
        _ => return None,
    })
}

fn unsigned(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.get(..width)?;
    let mut wide = [0; 8];
    wide.get_mut(..width)?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(wide))
}

fn signed(bytes: &[u8], at: usize, width: usize) -> Option<i64> {
    let unused = u32::try_from(8usize.checked_sub(width)?).ok()? * 8;
    let wide = unsigned(bytes, at, width)? as i64;
    Some(wide.checked_shl(unused)? >> unused)
}

fn float(bytes: &[u8], at: usize, width: usize) -> Option<f64> {
    let bits = unsigned(bytes, at, width)?;
    match width {
        4 => Some(f32::from_bits(bits as u32).into()),
        8 => Some(f64::from_bits(bits)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": 7, "b": -0.5}` with four-byte elements.
    fn sample() -> Vec<u8> {
        let mut bytes = b"a\0b\0".to_vec();
        bytes.extend([2, 5, 4]); // keys: count at 4, offsets back from 5 and 6
        bytes.push(0); // padding
        bytes.extend(3u32.to_le_bytes()); // at 8: keys are 3 bytes back, at 5
        bytes.extend(1u32.to_le_bytes()); // keys are one byte wide
        bytes.extend(2u32.to_le_bytes());
        bytes.extend(7u32.to_le_bytes()); // at 20
        bytes.extend((-0.5f32).to_le_bytes());
        bytes.extend([kind::INT << 2 | 2, kind::FLOAT << 2 | 2]);
        bytes.extend([10, kind::MAP << 2 | 2, 1]); // root at 30: ten bytes back
        bytes
    }

    #[test]
    fn a_map_of_numbers_is_read() {
        let map = numbers(&sample()).unwrap();
        assert_eq!(map.into_iter().collect::<Vec<_>>(), [("a".into(), 7.0), ("b".into(), -0.5)]);
    }

    #[test]
    fn damage_is_no_map_and_no_panic() {
        let good = sample();
        for at in 0..good.len() {
            for value in 0..=255 {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = numbers(&bytes);
            }
            let _ = numbers(&good[..at]);
        }
    }
}
