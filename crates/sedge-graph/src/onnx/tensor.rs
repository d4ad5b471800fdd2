//! Tensors of a model file: typed and raw data, numbers of four bits, data in files beside it.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use sedge_tensor::{DType, Tensor, element_count};

use super::{ReadError, dtype_of, proto};

/// Gives the content of a file beside the model, by its path relative to it.
pub type ReadSibling<'a> = &'a dyn Fn(&str) -> io::Result<Bytes>;

/// Reads tensors, and each file beside the model once.
pub(super) struct Tensors<'a> {
    sibling: ReadSibling<'a>,
    files: HashMap<String, Bytes>,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(sibling: ReadSibling<'a>) -> Self {
        Self { sibling, files: HashMap::new() }
    }

    pub(super) fn read(&mut self, mut source: proto::Tensor) -> Result<Tensor, ReadError> {
        let name = std::mem::take(&mut source.name);
        self.tensor(source).map_err(|problem| ReadError::Tensor { name, problem })
    }

    fn tensor(&mut self, mut source: proto::Tensor) -> Result<Tensor, String> {
        let number = source.data_type;
        let dtype = four_bits(number)
            .or_else(|| dtype_of(number.into()))
            .ok_or_else(|| format!("element type {number} is not supported"))?;
        let dim = |&n: &i64| usize::try_from(n).map_err(|_| format!("dimension {n} is negative"));
        let shape: Vec<usize> = source.dims.iter().map(dim).collect::<Result<_, _>>()?;
        let count = element_count(&shape)
            .ok_or_else(|| format!("shape {shape:?} has more elements than can be addressed"))?;
        if source.data_location == 1 || !source.external_data.is_empty() {
            let bytes = match (four_bits(number), dtype.size()) {
                (Some(_), _) => Some(count.div_ceil(2)),
                (None, size) => size.and_then(|size| count.checked_mul(size)),
            };
            let bytes = bytes.ok_or("only numbers can be in another file")?;
            source.raw_data = Some(self.external(&source.external_data, bytes)?);
        }
        let narrow = |bits: fn(i32) -> Vec<u8>| -> Vec<u8> {
            source.int32_data.iter().copied().flat_map(bits).collect()
        };
        if let Some(dtype) = four_bits(number) {
            let packed = source.raw_data.unwrap_or_else(|| narrow(|x| vec![x as u8]).into());
            let bytes = unpack(&packed, dtype, count);
            return Tensor::from_bytes(dtype, shape, bytes.into()).map_err(|e| e.to_string());
        }
        let bytes: Bytes = match source.raw_data {
            Some(raw) if dtype != DType::String => raw,
            _ => match dtype {
                DType::F32 => Tensor::vector(source.float_data).shared_bytes(),
                DType::F64 => Tensor::vector(source.double_data).shared_bytes(),
                DType::I64 => Tensor::vector(source.int64_data).shared_bytes(),
                DType::I32 => Tensor::vector(source.int32_data).shared_bytes(),
                DType::U64 => Tensor::vector(source.uint64_data).shared_bytes(),
                DType::U32 => {
                    let narrow = source.uint64_data.iter().map(|&x| x as u32).collect();
                    Tensor::vector::<u32>(narrow).shared_bytes()
                }
                DType::U8 | DType::I8 | DType::Bool => narrow(|x| vec![x as u8]).into(),
                DType::U16 | DType::I16 | DType::F16 | DType::Bf16 => {
                    narrow(|x| (x as u16).to_le_bytes().to_vec()).into()
                }
                DType::String => {
                    return Tensor::from_strings(shape, source.string_data)
                        .map_err(|e| e.to_string());
                }
            },
        };
        Tensor::from_bytes(dtype, shape, bytes).map_err(|e| e.to_string())
    }

    /// `expected` bytes of a file beside the model: ONNX, "ExternalData.md".
    fn external(
        &mut self,
        entries: &[proto::StringEntry],
        expected: usize,
    ) -> Result<Bytes, String> {
        let entry = |key: &str| {
            entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
        };
        let number = |key: &str| match entry(key).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => {
                let number = text.parse::<usize>();
                number.map(Some).map_err(|_| format!("its {key} '{text}' is no number"))
            }
        };
        let location = entry("location").ok_or("its data is in another file that is not named")?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        if let Some(length) = length.filter(|&length| length != expected) {
            return Err(format!("it needs {expected} bytes, but has {length} in '{location}'"));
        }
        let file = self.file(location)?;
        let end = offset.checked_add(expected).filter(|&end| end <= file.len());
        let end = end.ok_or_else(|| {
            let size = file.len();
            format!(
                "'{location}' of {size} bytes has no {expected} bytes at {offset}. \
                Hint: copy the file again, it may be incomplete"
            )
        })?;
        Ok(file.slice(offset..end))
    }

    fn file(&mut self, location: &str) -> Result<Bytes, String> {
        if let Some(file) = self.files.get(location) {
            return Ok(file.clone());
        }
        // Exporters write both spellings.
        let path = location.strip_prefix("./").unwrap_or(location);
        let file = (self.sibling)(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!(
                "its data is in '{location}', which is not beside the model. \
                 Hint: copy that file into the model's directory"
            ),
            _ => format!("its data is in '{location}': {error}"),
        })?;
        self.files.insert(location.to_owned(), file.clone());
        Ok(file)
    }
}

/// The 8-bit type that holds the numbers of a 4-bit one (`UINT4`, `INT4`).
pub(super) fn four_bits(data_type: i32) -> Option<DType> {
    match data_type {
        21 => Some(DType::U8),
        22 => Some(DType::I8),
        _ => None,
    }
}

/// Two numbers a byte, the lower half first.
fn unpack(packed: &[u8], dtype: DType, count: usize) -> Vec<u8> {
    let halves = packed.iter().flat_map(|&byte| [byte & 0xf, byte >> 4]);
    let extended = |half: u8| match dtype {
        DType::I8 => ((half << 4) as i8 >> 4) as u8,
        _ => half,
    };
    halves.take(count).map(extended).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: proto::Tensor) -> Result<Tensor, String> {
        let sibling = |name: &str| match name {
            "weights.bin" => Ok(Bytes::from_static(&[0, 0, 0, 0, 1, 2, 3, 4, 5])),
            "../secret" => Err(io::Error::new(io::ErrorKind::PermissionDenied, "outside")),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        Tensors::new(&sibling).read(source).map_err(|error| error.to_string())
    }

    fn four_bit(data_type: i32, packed: &[u8]) -> proto::Tensor {
        proto::Tensor {
            name: "small".into(),
            dims: vec![3],
            data_type,
            raw_data: Some(packed.to_vec().into()),
            ..proto::Tensor::default()
        }
    }

    #[test]
    fn numbers_of_4_bits_are_read_into_8() {
        // Two a byte, the lower half first; the last half is padding.
        let signed = read(four_bit(22, &[0x8f, 0x07])).unwrap();
        assert_eq!((signed.dtype(), signed.to_i64()), (DType::I8, Some(vec![-1, -8, 7])));
        let unsigned = read(four_bit(21, &[0x8f, 0x07])).unwrap();
        assert_eq!((unsigned.dtype(), unsigned.to_i64()), (DType::U8, Some(vec![15, 8, 7])));
        assert!(read(four_bit(22, &[0x8f])).is_err());
    }

    fn outside(entries: &[(&str, &str)]) -> proto::Tensor {
        let entry = |&(key, value): &(&str, &str)| proto::StringEntry {
            key: key.into(),
            value: value.into(),
        };
        proto::Tensor {
            name: "w".into(),
            dims: vec![2],
            data_type: 5,
            data_location: 1,
            external_data: entries.iter().map(entry).collect(),
            ..proto::Tensor::default()
        }
    }

    #[test]
    fn data_beside_the_model_is_found_by_offset_and_length() {
        for entries in [
            &[("location", "weights.bin"), ("offset", "4"), ("length", "4")][..],
            &[("location", "./weights.bin"), ("offset", "4")],
        ] {
            let tensor = read(outside(entries)).unwrap();
            assert_eq!(tensor.to_i64(), Some(vec![0x0201, 0x0403]));
        }
    }

    #[test]
    fn data_that_is_not_beside_the_model_is_named() {
        for (entries, words) in [
            (&[("location", "no.bin")][..], "'no.bin', which is not beside the model"),
            (&[("location", "../secret")], "'../secret': outside"),
            (&[("offset", "4")], "another file that is not named"),
            (&[("location", "weights.bin"), ("offset", "6")], "has no 4 bytes at 6"),
            (&[("location", "weights.bin"), ("offset", "18446744073709551615")], "has no 4 bytes"),
            (&[("location", "weights.bin"), ("offset", "-1")], "offset '-1' is no number"),
            (&[("location", "weights.bin"), ("length", "9")], "needs 4 bytes, but has 9"),
        ] {
            let error = read(outside(entries)).unwrap_err();
            assert!(error.contains("tensor 'w'") && error.contains(words), "{error}");
        }
    }
}
