//! NumPy archives of named tensors, as golden cases have them.
//!
//! Source: NumPy's `numpy.lib.format` (versions 1 to 3), little endian, C order.

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use bytes::Bytes;
use sedge_tensor::{DType, Tensor};

use crate::PackageError;

/// Largest file and entry that is read.
const MAX_BYTES: u64 = 1 << 30;

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

/// Reads the tensors of an `.npz` archive, in its order.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>, PackageError> {
    let refuse = |problem: String| PackageError::Archive { path: path.to_owned(), problem };
    let file =
        File::open(path).map_err(|error| PackageError::Read { path: path.to_owned(), error })?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| refuse(error.to_string()))?;
    let mut tensors = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| refuse(error.to_string()))?;
        let name = entry.name().map_err(|error| refuse(error.to_string()))?.into_owned();
        let mut bytes = Vec::new();
        let read = entry.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| refuse(format!("'{name}': {error}")))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(refuse(format!("'{name}' is larger than {} MiB", MAX_BYTES >> 20)));
        }
        let tensor =
            parse_npy(&bytes.into()).map_err(|problem| refuse(format!("'{name}': {problem}")))?;
        tensors.push((name.trim_end_matches(".npy").to_owned(), tensor));
    }
    Ok(tensors)
}

/// An `.npz` archive of tensors.
///
/// # Errors
/// Tensors of strings and of bfloat16, which NumPy has no element type for.
pub fn write_npz(tensors: &[(String, Tensor)]) -> Result<Vec<u8>, PackageError> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, tensor) in tensors {
        let refuse = |problem: String| PackageError::Value { key: name.clone(), problem };
        let written = archive
            .start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default())
            .map_err(|error| refuse(error.to_string()))
            .and_then(|()| header(tensor).map_err(refuse))
            .and_then(|header| {
                let all =
                    archive.write_all(&header).and_then(|()| archive.write_all(tensor.bytes()));
                all.map_err(|error| refuse(error.to_string()))
            });
        written?;
    }
    let refuse = |error: zip::result::ZipError| PackageError::Value {
        key: "npz".into(),
        problem: error.to_string(),
    };
    archive.finish().map(Cursor::into_inner).map_err(refuse)
}

/// What stands before an array's elements (version 1), padded so that they are aligned.
fn header(tensor: &Tensor) -> Result<Vec<u8>, String> {
    let dtype = TYPES.iter().find(|(_, dtype)| *dtype == tensor.dtype());
    let (descr, _) = dtype.ok_or_else(|| format!("{} has no form in NumPy", tensor.dtype()))?;
    let dims: String = tensor.shape().iter().map(|dim| format!("{dim},")).collect();
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let size = u16::try_from(length).map_err(|_| "has too many dimensions".to_owned())?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(size.to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).bytes());
    Ok(bytes)
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
    let header = bytes.get(start..start + length).ok_or_else(not)?;
    let header = String::from_utf8_lossy(header).into_owned();
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
    Tensor::from_bytes(*dtype, shape, bytes.slice(start + length..))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let tensors = vec![
            ("scores".to_owned(), Tensor::new([1, 3], vec![0.5f32, 0.25, 0.125]).unwrap()),
            ("count".to_owned(), Tensor::scalar(7i64)),
        ];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("case.npz");
        std::fs::write(&path, write_npz(&tensors).unwrap()).unwrap();
        assert_eq!(read_npz(&path).unwrap(), tensors);
        let strings = Tensor::from_strings([1], vec![Bytes::from_static(b"a")]).unwrap();
        assert!(write_npz(&[("text".to_owned(), strings)]).is_err());
    }

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
