//! NumPy archives of named tensors, as golden cases have them, as files.

use std::io::{Cursor, Write};
use std::path::Path;

use sedge_import::npz;
use sedge_tensor::Tensor;

use crate::PackageError;
use crate::directory::map;

/// Reads the tensors of an `.npz` archive, in its order.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>, PackageError> {
    npz::read(&map(path)?)
        .map_err(|problem| PackageError::Archive { path: path.to_owned(), problem })
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
    let descr = npz::type_name(tensor.dtype())
        .ok_or_else(|| format!("{} has no form in NumPy", tensor.dtype()))?;
    let dims: String = tensor.shape().iter().map(|dim| format!("{dim},")).collect();
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let size = u16::try_from(length).map_err(|_| "has too many dimensions".to_owned())?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(size.to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

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
}
