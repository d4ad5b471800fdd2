//! NumPy archives of named arrays, as golden cases and Chainer have them.
//!
//! Source: NumPy's `numpy.lib.format` (versions 1 to 3), little endian, C order.

use std::io::{self, Cursor, Read};

use bytes::Bytes;
use sedge_tensor::{DType, Tensor};

/// Most bytes that the arrays of an archive may have.
const MAX_BYTES: u64 = 2 << 30;

/// NumPy's names of element types.
const TYPES: [(&str, DType); 12] = [
    ("|b1", DType::Bool),
    ("|u1", DType::U8),
    ("|i1", DType::I8),
    ("<u2", DType::U16),
    ("<i2", DType::I16),
    ("<u4", DType::U32),
    ("<i4", DType::I32),
    ("<u8", DType::U64),
    ("<i8", DType::I64),
    ("<f2", DType::F16),
    ("<f4", DType::F32),
    ("<f8", DType::F64),
];

/// NumPy's name of an element type; it has none for strings of any length and for bfloat16.
pub fn type_name(dtype: DType) -> Option<&'static str> {
    TYPES.iter().find(|(_, known)| *known == dtype).map(|(name, _)| *name)
}

/// Reads the arrays of an `.npz` archive, in its order. Those that are not compressed share its
/// bytes.
///
/// # Errors
/// What is wrong with the archive or one of its arrays.
pub fn read(bytes: &Bytes) -> Result<Vec<(String, Tensor)>, String> {
    let mut archive =
        zip::ZipArchive::new(Cursor::new(bytes.clone())).map_err(|error| error.to_string())?;
    let mut arrays = Vec::new();
    let mut room = MAX_BYTES;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        let wrong = |problem: String| format!("'{name}': {problem}");
        let content = content(bytes, entry, room).map_err(wrong)?;
        room = room.saturating_sub(content.len() as u64);
        let array = parse_npy(&content).map_err(wrong)?;
        arrays.push((name.trim_end_matches(".npy").to_owned(), array));
    }
    Ok(arrays)
}

/// What one file of the archive holds: a slice of it where nothing was compressed. Either way it is
/// read to its end, which checks its sum.
fn content(
    archive: &Bytes,
    mut entry: zip::read::ZipFile<'_, Cursor<Bytes>>,
    room: u64,
) -> Result<Bytes, String> {
    let text = |error: io::Error| error.to_string();
    let slice = || {
        let start = usize::try_from(entry.data_start()?).ok()?;
        let end = start.checked_add(usize::try_from(entry.size()).ok()?)?;
        (end <= archive.len()).then(|| archive.slice(start..end))
    };
    let stored = entry.compression() == zip::CompressionMethod::Stored;
    if let Some(slice) = if stored { slice() } else { None } {
        io::copy(&mut entry, &mut io::sink()).map_err(text)?;
        return Ok(slice);
    }
    let mut content = Vec::new();
    entry.by_ref().take(room.saturating_add(1)).read_to_end(&mut content).map_err(text)?;
    match content.len() as u64 > room {
        true => Err(format!("the arrays have more than {} MiB", MAX_BYTES >> 20)),
        false => Ok(content.into()),
    }
}

/// Parses one `.npy` array; its elements share the bytes.
///
/// # Errors
/// What is wrong with the array, as the end of a sentence that begins with its name.
pub fn parse_npy(bytes: &Bytes) -> Result<Tensor, String> {
    let not = || "is no NumPy array".to_owned();
    if bytes.get(..6) != Some(b"\x93NUMPY") {
        return Err(not());
    }
    let (start, length) = match (bytes.get(6), bytes.get(8..12)) {
        (Some(1), Some(&[a, b, ..])) => (10, usize::from(u16::from_le_bytes([a, b]))),
        (Some(2 | 3), Some(&[a, b, c, d])) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => return Err(not()),
    };
    let end = length.checked_add(start).filter(|&end| end <= bytes.len()).ok_or_else(not)?;
    let header = String::from_utf8_lossy(&bytes[start..end]).into_owned();
    if header.contains("'fortran_order': True") {
        return Err("is in Fortran order, which is not read".into());
    }
    let field = |key: &str, open: char, close: char| {
        let rest = header.split(&format!("'{key}':")).nth(1)?.trim_start().strip_prefix(open)?;
        rest.split(close).next().map(str::to_owned)
    };
    let descr = field("descr", '\'', '\'').ok_or_else(not)?;
    let known = TYPES.iter().find(|(name, _)| *name == descr);
    let (_, dtype) =
        known.ok_or_else(|| format!("has the element type {descr}, which is not read"))?;
    let dims = field("shape", '(', ')').ok_or_else(not)?;
    let dims = dims.split(',').map(str::trim).filter(|dim| !dim.is_empty());
    let shape: Vec<usize> =
        dims.map(|dim| dim.parse().map_err(|_| not())).collect::<Result<_, _>>()?;
    Tensor::from_bytes(*dtype, shape, bytes.slice(end..)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Bytes {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes.into()
    }

    #[test]
    fn arrays_are_read_and_broken_ones_refused() {
        let header = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1), }\n";
        let tensor = parse_npy(&npy(header, &[1, 0, 2, 0])).unwrap();
        assert_eq!((tensor.shape(), tensor.to_i64()), (&[2, 1][..], Some(vec![1, 2])));
        assert!(parse_npy(&npy(header, &[1, 0])).is_err());
        assert!(parse_npy(&npy("{'descr': '>i2'", &[])).is_err());
        assert!(parse_npy(&Bytes::from_static(b"\x93NUMPY\x01\x00\xff\xff")).is_err());
    }
}
