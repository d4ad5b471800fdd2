//! Constants as a `TensorProto` stores them.

use bytes::Bytes;
use half::f16;
use sedge_graph::Dim;
use sedge_tensor::{DType, Tensor, element_count};

use super::proto;

/// `DataType` numbers (`core/framework/types.proto`). Quantised types are their integers.
const DATA_TYPES: [(i32, DType); 16] = [
    (1, DType::F32),
    (2, DType::F64),
    (3, DType::I32),
    (4, DType::U8),
    (5, DType::I16),
    (6, DType::I8),
    (7, DType::String),
    (9, DType::I64),
    (10, DType::Bool),
    (11, DType::I8),
    (12, DType::U8),
    (14, DType::Bf16),
    (17, DType::U16),
    (19, DType::F16),
    (22, DType::U32),
    (23, DType::U64),
];

/// References to variables have the number of their element type and this.
const REFERENCE: i32 = 100;

/// Bytes that constants may grow to altogether where the file gives fewer elements than their
/// shape has: the last one fills the rest.
pub(super) const MAX_FILLED_BYTES: usize = 16 << 20;

/// The element type behind a `DataType` number.
pub(super) fn dtype_of(number: i32) -> Option<DType> {
    let number = if number > REFERENCE { number - REFERENCE } else { number };
    DATA_TYPES.iter().find(|(n, _)| *n == number).map(|(_, dtype)| *dtype)
}

/// A shape whose rank is known; sizes below zero are unknown.
pub(super) fn dims(shape: &proto::Shape) -> Option<Vec<Dim>> {
    let dim = |dim: &proto::Dimension| usize::try_from(dim.size).map_or(Dim::Unknown, Dim::Fixed);
    (!shape.unknown_rank).then(|| shape.dim.iter().map(dim).collect())
}

/// A shape of which everything is known.
pub(super) fn fixed(shape: Option<&proto::Shape>) -> Result<Vec<usize>, String> {
    let Some(shape) = shape else { return Ok(Vec::new()) };
    let dims = dims(shape).unwrap_or_else(|| vec![Dim::Unknown]);
    let sizes: Option<Vec<usize>> = dims.iter().map(Dim::fixed).collect();
    sizes.ok_or_else(|| "has a shape that is not known".to_owned())
}

/// Reads a constant; whole contents share the file's bytes. `budget` is what may still be filled
/// up.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that begins with its name.
pub(super) fn read(tensor: &proto::Tensor, budget: &mut usize) -> Result<Tensor, String> {
    let dtype = dtype_of(tensor.dtype)
        .ok_or_else(|| format!("has the element type {}, which is not supported", tensor.dtype))?;
    let shape = fixed(tensor.shape.as_ref())?;
    if dtype == DType::String {
        return strings(tensor, shape, budget);
    }
    if !tensor.content.is_empty() {
        let tensor = Tensor::from_bytes(dtype, shape, tensor.content.clone());
        return tensor.map_err(|error| format!("is damaged: {error}"));
    }
    let mut bytes = listed(tensor, dtype);
    let size = dtype.size().unwrap_or(1);
    let whole = element_count(&shape).and_then(|n| n.checked_mul(size));
    let whole = whole.ok_or_else(|| format!("has the shape {shape:?}, which is too large"))?;
    if bytes.len() > whole {
        return Err(format!("is damaged: it lists {} elements", bytes.len() / size));
    }
    let missing = whole - bytes.len();
    *budget = budget.checked_sub(missing).ok_or_else(|| {
        format!("has {whole} bytes, of which the file gives {}: that is too much", bytes.len())
    })?;
    // Nothing listed is zero; else the last element stands for all that follow.
    let last = bytes.len().checked_sub(size).map(|start| bytes[start..].to_vec());
    match last {
        None => bytes.resize(whole, 0),
        Some(last) if last.iter().all(|&byte| byte == 0) => bytes.resize(whole, 0),
        Some(last) => (0..missing / size).for_each(|_| bytes.extend_from_slice(&last)),
    }
    Tensor::from_bytes(dtype, shape, Bytes::from(bytes)).map_err(|error| error.to_string())
}

/// The elements that are listed one by one, as bytes.
fn listed(tensor: &proto::Tensor, dtype: DType) -> Vec<u8> {
    fn each<T: Copy, const N: usize>(list: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        list.iter().flat_map(|&x| bytes(x)).collect()
    }
    match dtype {
        DType::F32 => each(&tensor.floats, f32::to_le_bytes),
        DType::F64 => each(&tensor.doubles, f64::to_le_bytes),
        DType::I32 => each(&tensor.ints, i32::to_le_bytes),
        DType::I16 | DType::U16 => each(&tensor.ints, |x| (x as u16).to_le_bytes()),
        DType::I8 | DType::U8 => each(&tensor.ints, |x| [x as u8]),
        DType::I64 => each(&tensor.longs, i64::to_le_bytes),
        DType::U32 => each(&tensor.unsigned, u32::to_le_bytes),
        DType::U64 => each(&tensor.unsigned_longs, u64::to_le_bytes),
        DType::Bool => each(&tensor.bools, |x| [u8::from(x)]),
        DType::F16 | DType::Bf16 => {
            each(&tensor.halves, |bits| f16::from_bits(bits as u16).to_bits().to_le_bytes())
        }
        DType::String => Vec::new(),
    }
}

fn strings(
    tensor: &proto::Tensor,
    shape: Vec<usize>,
    budget: &mut usize,
) -> Result<Tensor, String> {
    let whole = element_count(&shape).unwrap_or(usize::MAX);
    let mut strings = tensor.strings.clone();
    let missing = whole.checked_sub(strings.len());
    let cost = missing.and_then(|n| n.checked_mul(size_of::<Bytes>()));
    *budget = cost
        .and_then(|cost| budget.checked_sub(cost))
        .ok_or_else(|| "is damaged: its strings do not fit its shape".to_owned())?;
    strings.resize(whole, strings.last().cloned().unwrap_or_default());
    Tensor::from_strings(shape, strings).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dims: &[i64]) -> Option<proto::Shape> {
        let dim = dims.iter().map(|&size| proto::Dimension { size }).collect();
        Some(proto::Shape { dim, unknown_rank: false })
    }

    fn tensor(dtype: i32, dims: &[i64]) -> proto::Tensor {
        proto::Tensor { dtype, shape: shape(dims), ..Default::default() }
    }

    fn read(tensor: &proto::Tensor) -> Result<Tensor, String> {
        super::read(tensor, &mut (1 << 10))
    }

    #[test]
    fn the_last_listed_element_fills_the_rest() {
        let some = proto::Tensor { floats: vec![1.0, 2.0], ..tensor(1, &[2, 2]) };
        let filled = read(&some).unwrap();
        assert_eq!(filled.to_f32().unwrap().as_ref(), [1.0, 2.0, 2.0, 2.0]);
        assert_eq!(read(&tensor(3, &[3])).unwrap().to_i64(), Some(vec![0; 3]));
        let half = proto::Tensor { halves: vec![0x3c00], ..tensor(19, &[]) };
        assert_eq!(read(&half).unwrap().to_f32().unwrap().as_ref(), [1.0]);
        let small = proto::Tensor { ints: vec![-1], ..tensor(6, &[2]) };
        assert_eq!(read(&small).unwrap().to_i64(), Some(vec![-1, -1]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let long = proto::Tensor { floats: vec![1.0; 3], ..tensor(1, &[2]) };
        assert_eq!(read(&long).unwrap_err(), "is damaged: it lists 3 elements");
        let content = proto::Tensor { content: Bytes::from_static(&[0; 5]), ..tensor(1, &[2]) };
        assert!(read(&content).unwrap_err().starts_with("is damaged: "));
        assert!(read(&tensor(1, &[1 << 40])).unwrap_err().ends_with("that is too much"));
        assert!(read(&tensor(1, &[i64::MAX, 4])).unwrap_err().ends_with("too large"));
        assert!(read(&tensor(8, &[])).unwrap_err().contains("element type 8"));
        assert!(read(&tensor(7, &[1 << 40])).unwrap_err().contains("strings"));
        assert!(read(&tensor(1, &[-1])).is_err());
    }
}
