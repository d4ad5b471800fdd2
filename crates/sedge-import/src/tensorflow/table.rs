//! Sorted tables of keys and values in the form of LevelDB (`tsl/lib/io/table_format.txt`), which
//! TensorFlow keeps the index of saved variables in.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::checksum;

const FOOTER_BYTES: usize = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// Kind of compression and checksum behind every block.
const TRAILER_BYTES: usize = 5;
/// Keys are stored as differences to the one before, so that a small file could hold huge ones.
const MAX_KEY_BYTES: usize = 64 << 20;

/// Reads all entries of a table; values share its bytes.
///
/// # Errors
/// What is wrong with the table, as the end of a sentence that begins with its name.
pub(super) fn read(table: &Bytes) -> Result<BTreeMap<Vec<u8>, Bytes>, String> {
    let short = || "is cut off".to_owned();
    let start = table.len().checked_sub(FOOTER_BYTES).ok_or_else(short)?;
    let mut footer = table.slice(start..);
    let magic = footer.slice(FOOTER_BYTES - 8..);
    if u64::from_le_bytes(<[u8; 8]>::try_from(&magic[..]).unwrap_or_default()) != MAGIC {
        return Err("is no index of variables, or cut off".into());
    }
    // The block of what a table says about itself comes first; nothing is needed of it.
    handle(&mut footer).ok_or_else(short)?;
    let index = handle(&mut footer).ok_or_else(short)?;
    let mut room = MAX_KEY_BYTES;
    let mut entries = BTreeMap::new();
    for (_, mut place) in block(table, index, &mut room)? {
        let place = handle(&mut place).ok_or("has a damaged block")?;
        entries.extend(block(table, place, &mut room)?);
    }
    Ok(entries)
}

/// Offset and size of a block.
fn handle(bytes: &mut Bytes) -> Option<(usize, usize)> {
    Some((varint(bytes)?, varint(bytes)?))
}

fn varint(bytes: &mut Bytes) -> Option<usize> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.first()?;
        *bytes = bytes.slice(1..);
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

/// The entries of one block.
fn block(
    table: &Bytes,
    (offset, size): (usize, usize),
    room: &mut usize,
) -> Result<Vec<(Vec<u8>, Bytes)>, String> {
    let end = offset.checked_add(size).and_then(|end| end.checked_add(TRAILER_BYTES));
    let end = end.filter(|&end| end <= table.len()).ok_or("is cut off")?;
    let whole = table.slice(offset..end);
    let (body, sum) = (whole.slice(..size + 1), &whole[size + 1..]);
    let sum = u32::from_le_bytes(<[u8; 4]>::try_from(sum).unwrap_or_default());
    if !checksum::fits(&body, sum) {
        return Err("is damaged: a checksum is wrong".into());
    }
    if body[size] != 0 {
        return Err("has compressed blocks, which TensorFlow does not write".into());
    }
    let restarts = size.checked_sub(4).and_then(|at| {
        let count = u32::from_le_bytes(<[u8; 4]>::try_from(body.get(at..size)?).ok()?);
        at.checked_sub(usize::try_from(count).ok()?.checked_mul(4)?)
    });
    let mut rest = body.slice(..restarts.ok_or("has a damaged block")?);
    let (mut entries, mut key) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let (new, value) = entry(&mut rest, key).ok_or("has a damaged block")?;
        *room = room.checked_sub(new.len()).ok_or("has names that are too long")?;
        entries.push((new.clone(), value));
        key = new;
    }
    Ok(entries)
}

/// One entry: what its key shares with the one before, what is new in it, and the value.
fn entry(rest: &mut Bytes, mut key: Vec<u8>) -> Option<(Vec<u8>, Bytes)> {
    let (shared, new, length) = (varint(rest)?, varint(rest)?, varint(rest)?);
    let (new, end) = (new, new.checked_add(length)?);
    if shared > key.len() || end > rest.len() {
        return None;
    }
    key.truncate(shared);
    key.extend_from_slice(&rest[..new]);
    let value = rest.slice(new..end);
    *rest = rest.slice(end..);
    Some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of one block: `ab` is `1`, `ac` is `2`.
    fn table() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut write = |block: &[u8]| {
            let start = bytes.len();
            bytes.extend(block);
            bytes.push(0);
            let sum = checksum::masked(&bytes[start..]);
            bytes.extend(sum.to_le_bytes());
            (start as u8, block.len() as u8)
        };
        let entries = b"\x00\x02\x01ab1\x01\x01\x01c2\0\0\0\0\x01\0\0\0";
        let (offset, size) = write(entries);
        let (index, length) =
            write(&[&[0, 1, 2, b'z', offset, size][..], b"\0\0\0\0\x01\0\0\0"].concat());
        let mut footer = vec![0, 0, index, length];
        footer.resize(40, 0);
        footer.extend(MAGIC.to_le_bytes());
        bytes.extend(footer);
        bytes
    }

    #[test]
    fn keys_are_put_together() {
        let entries = read(&table().into()).unwrap();
        let entries: Vec<_> = entries.iter().map(|(k, v)| (&k[..], &v[..])).collect();
        assert_eq!(entries, [(&b"ab"[..], &b"1"[..]), (b"ac", b"2")]);
    }

    #[test]
    fn damage_is_told() {
        let sound = table();
        for length in 0..sound.len() {
            assert!(read(&sound[..length].to_vec().into()).is_err(), "{length}");
        }
        let mut damaged = sound.clone();
        damaged[4] ^= 1;
        assert_eq!(read(&damaged.into()).unwrap_err(), "is damaged: a checksum is wrong");
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] = damaged[at].wrapping_add(0x7f);
            let _ = read(&damaged.into());
        }
    }
}
