//! Parameter files: a list of arrays and their names.
//!
//! Source: `src/ndarray/ndarray.cc` of apache/mxnet 1.9.1, functions `NDArray::Save`, `NDArray::Load`
//! and `NDArray::LegacyLoad`.

use std::collections::HashMap;

use bytes::Bytes;
use sedge_tensor::Tensor;

use super::ndarray;

/// First word of a list of arrays.
const LIST: u64 = 0x112;

/// Elements that sparse arrays of one file may grow to beside what the file itself holds.
const MOST_GROWN: usize = 16 << 20;

/// True for the first bytes of a parameter file.
pub(crate) fn is_params(bytes: &[u8]) -> bool {
    bytes.starts_with(&LIST.to_le_bytes())
}

/// Why a parameter file cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParamsError {
    /// The file ends in the middle of something.
    #[error("it ends in the middle of {0}. Hint: copy it again, it is incomplete")]
    CutOff(&'static str),
    /// No list of arrays.
    #[error("it is no MXNet parameter file")]
    NotParams,
    /// A count that the file has no room for.
    #[error("it is damaged: it lists {count} {what} in {bytes} bytes")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there would be.
        count: u64,
        /// Bytes that are left for them.
        bytes: usize,
    },
    /// Names and arrays do not belong together.
    #[error("it is damaged: it has {names} names for {arrays} arrays")]
    Names {
        /// Number of names.
        names: u64,
        /// Number of arrays.
        arrays: u64,
    },
    /// A storage or element type that MXNet does not have.
    #[error("it is damaged: an array has the unknown {what} {number}")]
    Type {
        /// Which type.
        what: &'static str,
        /// Its number.
        number: i32,
    },
    /// A shape that is none.
    #[error("it is damaged: an array has an impossible shape")]
    Shape,
    /// Indices of a sparse array that lie outside it.
    #[error("it is damaged: a sparse array has entries outside its shape")]
    Sparse,
    /// Sparse arrays that are far larger than the file.
    #[error("its sparse arrays are too large when written out")]
    TooLarge,
}

/// The arrays of a file with their names as the file has them.
pub(super) fn read(bytes: &Bytes) -> Result<HashMap<String, Tensor>, ParamsError> {
    let mut reader = Reader { bytes: bytes.clone(), grown: MOST_GROWN };
    let tensors = arrays(&mut reader)?;
    let arrays = tensors.len() as u64;
    let names = reader.count("names", 8)?;
    // A list without names is an array of arrays, in which no weight can be found.
    if names != 0 && names != arrays {
        return Err(ParamsError::Names { names, arrays });
    }
    let mut named = HashMap::new();
    for tensor in tensors.into_iter().take(usize::try_from(names).unwrap_or(0)) {
        let length = reader.count("bytes of a name", 1)?;
        let name = reader.take(usize::try_from(length).unwrap_or(usize::MAX), "a name")?;
        if let Some(tensor) = tensor {
            named.insert(String::from_utf8_lossy(&name).into_owned(), tensor);
        }
    }
    Ok(named)
}

/// The arrays alone, `None` for those that were never filled.
fn arrays(reader: &mut Reader) -> Result<Vec<Option<Tensor>>, ParamsError> {
    if reader.bytes.len() < 8 || reader.u64("its header")? != LIST {
        return Err(ParamsError::NotParams);
    }
    reader.u64("its header")?;
    let count = reader.count("arrays", 4)?;
    (0..count).map(|_| ndarray::read(reader)).collect()
}

/// What is left of a file.
pub(super) struct Reader {
    pub(super) bytes: Bytes,
    /// Elements that sparse arrays may still grow to.
    pub(super) grown: usize,
}

impl Reader {
    pub(super) fn take(&mut self, length: usize, what: &'static str) -> Result<Bytes, ParamsError> {
        if length > self.bytes.len() {
            return Err(ParamsError::CutOff(what));
        }
        Ok(self.bytes.split_to(length))
    }

    fn word<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ParamsError> {
        let taken = self.take(N, what)?;
        let mut word = [0; N];
        word.copy_from_slice(&taken);
        Ok(word)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, ParamsError> {
        Ok(u32::from_le_bytes(self.word(what)?))
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, ParamsError> {
        Ok(i32::from_le_bytes(self.word(what)?))
    }

    pub(super) fn i64(&mut self, what: &'static str) -> Result<i64, ParamsError> {
        Ok(i64::from_le_bytes(self.word(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, ParamsError> {
        Ok(u64::from_le_bytes(self.word(what)?))
    }

    /// A number of things of at least `least` bytes each.
    fn count(&mut self, what: &'static str, least: u64) -> Result<u64, ParamsError> {
        let count = self.u64(what)?;
        let bytes = self.bytes.len();
        if count > bytes as u64 / least {
            return Err(ParamsError::Count { what, count, bytes });
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Bytes {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/mxnet_arrays/");
        std::fs::read(format!("{folder}{name}")).unwrap().into()
    }

    #[test]
    fn arrays_of_every_type_and_storage_are_read() {
        let arrays = read(&file("kinds.params")).unwrap();
        let numbers = |name: &str| arrays[name].to_f32().unwrap().into_owned();
        for dtype in ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"] {
            assert_eq!(numbers(&format!("arg:{dtype}")), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{dtype}");
        }
        let rows = [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 4.0, 5.0, 6.0];
        for name in ["arg:row_sparse", "aux:csr"] {
            assert_eq!(
                (arrays[name].shape(), numbers(name)),
                (&[4, 3][..], rows.to_vec()),
                "{name}"
            );
        }
    }

    #[test]
    fn numpy_shapes_have_scalars() {
        let arrays = read(&file("numpy_shapes.params")).unwrap();
        assert_eq!(arrays["scalar"].shape(), &[] as &[usize]);
        assert_eq!(arrays["scalar"].to_f32().unwrap()[..], [5.0]);
        assert_eq!(arrays["matrix"].shape(), [2, 3]);
    }

    #[test]
    fn the_oldest_arrays_are_read_and_have_no_names() {
        let bytes = file("legacy_ndarray.v0");
        assert!(read(&bytes).unwrap().is_empty());
        let arrays = arrays(&mut Reader { bytes, grown: 0 }).unwrap();
        assert_eq!(arrays.len(), 6);
        let numbers: Vec<f32> = (0..128u8).map(f32::from).collect();
        for array in arrays.into_iter().flatten() {
            assert_eq!(array.to_f32().unwrap()[..], numbers);
        }
    }

    #[test]
    fn sparse_arrays_that_grow_without_bound_are_refused() {
        let bytes = file("kinds.params");
        let refused = arrays(&mut Reader { bytes, grown: 20 });
        assert_eq!(refused.unwrap_err(), ParamsError::TooLarge);
    }
}
