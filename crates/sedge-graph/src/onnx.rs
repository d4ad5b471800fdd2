//! ONNX files: reading any operator set from 7 on into the pinned one, and writing it out.

mod functions;
mod proto;
mod read;
mod tensor;
mod upgrade;
mod write;

pub use read::{ReadError, read, read_with};
pub use tensor::ReadSibling;
pub use write::{SideFile, WriteOptions, write, write_to, write_with};

use sedge_tensor::DType;

/// `TensorProto.DataType` numbers (onnx.proto of ONNX 1.17).
const DATA_TYPES: [(i32, DType); 14] = [
    (1, DType::F32),
    (2, DType::U8),
    (3, DType::I8),
    (4, DType::U16),
    (5, DType::I16),
    (6, DType::I32),
    (7, DType::I64),
    (8, DType::String),
    (9, DType::Bool),
    (10, DType::F16),
    (11, DType::F64),
    (12, DType::U32),
    (13, DType::U64),
    (16, DType::Bf16),
];

/// The element type behind a `TensorProto.DataType` number.
pub fn dtype_of(number: i64) -> Option<DType> {
    DATA_TYPES.iter().find(|(n, _)| i64::from(*n) == number).map(|(_, dtype)| *dtype)
}

/// The `TensorProto.DataType` number of an element type, as `Cast` wants it.
pub fn dtype_number(dtype: DType) -> i64 {
    DATA_TYPES.iter().find(|(_, d)| *d == dtype).map_or(0, |(n, _)| i64::from(*n))
}
