/// The orientation tag (274, TIFF 6.0) of an EXIF block: 1 to 8, and 1 when there is none.
///
/// Looks only into the first directory (the picture's own, not the thumbnail's), whose entry count
/// bounds the work; whatever is broken counts as absent, since a damaged note is no reason to
/// refuse the picture.
pub(super) fn orientation(block: &[u8]) -> u8 {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    read(tiff).filter(|value| matches!(value, 1..=8)).map_or(1, |value| value as u8)
}

fn read(tiff: &[u8]) -> Option<u32> {
    const ORIENTATION: u16 = 274;
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    let big_endian = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let u16_at = |offset: usize| {
        let bytes: [u8; 2] = tiff.get(offset..offset.checked_add(2)?)?.try_into().ok()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |offset: usize| {
        let bytes: [u8; 4] = tiff.get(offset..offset.checked_add(4)?)?.try_into().ok()?;
        Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let directory = usize::try_from(u32_at(4)?).ok()?;
    for index in 0..usize::from(u16_at(directory)?) {
        let entry = directory.checked_add(2 + index * 12)?;
        if u16_at(entry)? == ORIENTATION {
            return match (u16_at(entry + 2)?, u32_at(entry + 4)?) {
                (SHORT, 1) => u16_at(entry + 8).map(u32::from),
                (LONG, 1) => u32_at(entry + 8),
                _ => None,
            };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(big_endian: bool, tag: u16, kind: u16, value: u16) -> Vec<u8> {
        let two = |v: u16| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
        let four = |v: u32| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
        let mut out = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        out.extend(four(8));
        out.extend(two(1));
        out.extend(two(tag));
        out.extend(two(kind));
        out.extend(four(1));
        if kind == 4 {
            out.extend(four(value.into()));
        } else {
            out.extend(two(value));
        }
        out.extend([0, 0]);
        out
    }

    #[test]
    fn the_tag_is_found_in_both_byte_orders_and_types() {
        for big_endian in [false, true] {
            for kind in [3, 4] {
                let bytes = block(big_endian, 274, kind, 6);
                assert_eq!(orientation(&bytes), 6);
                assert_eq!(orientation(&[b"Exif\0\0", &bytes[..]].concat()), 6);
            }
            assert_eq!(orientation(&block(big_endian, 274, 3, 9)), 1);
            assert_eq!(orientation(&block(big_endian, 275, 3, 6)), 1);
            assert_eq!(orientation(&block(big_endian, 274, 7, 6)), 1);
        }
    }

    #[test]
    fn every_truncation_and_wild_offset_means_upright() {
        let bytes = block(false, 274, 3, 6);
        for end in 0..bytes.len() - 2 {
            assert_eq!(orientation(&bytes[..end.min(18)]), 1);
        }
        let mut wild = bytes;
        wild[4..8].fill(0xff);
        assert_eq!(orientation(&wild), 1);
    }
}
