//! Numbers of the TensorFlow Lite schema, version 3.
//!
//! Source: `tensorflow/compiler/mlir/lite/schema/schema.fbs` of tensorflow/tensorflow (schema
//! version 3c). Field numbers count a table's fields from zero in the order of the schema; a
//! union takes two, its type first.

use sedge_tensor::DType;

/// The only schema version in use; older files predate the public releases.
pub(super) const VERSION: u32 = 3;

/// Fields of `Model`.
pub(super) mod model {
    pub(crate) const VERSION: usize = 0;
    pub(crate) const OPERATOR_CODES: usize = 1;
    pub(crate) const SUBGRAPHS: usize = 2;
    pub(crate) const DESCRIPTION: usize = 3;
    pub(crate) const BUFFERS: usize = 4;
    pub(crate) const METADATA: usize = 6;
    pub(crate) const SIGNATURES: usize = 7;
}

/// Fields of `SignatureDef`.
pub(super) mod signature {
    pub(crate) const KEY: usize = 2;
    pub(crate) const SUBGRAPH: usize = 4;
}

/// Fields of `OperatorCode`.
pub(super) mod operator_code {
    pub(crate) const DEPRECATED_BUILTIN_CODE: usize = 0;
    pub(crate) const CUSTOM_CODE: usize = 1;
    pub(crate) const BUILTIN_CODE: usize = 3;
}

/// Fields of `SubGraph`.
pub(super) mod subgraph {
    pub(crate) const TENSORS: usize = 0;
    pub(crate) const INPUTS: usize = 1;
    pub(crate) const OUTPUTS: usize = 2;
    pub(crate) const OPERATORS: usize = 3;
    pub(crate) const NAME: usize = 4;
}

/// Fields of `Tensor`.
pub(super) mod tensor {
    pub(crate) const SHAPE: usize = 0;
    pub(crate) const TYPE: usize = 1;
    pub(crate) const BUFFER: usize = 2;
    pub(crate) const NAME: usize = 3;
    pub(crate) const QUANTIZATION: usize = 4;
    pub(crate) const IS_VARIABLE: usize = 5;
    pub(crate) const SPARSITY: usize = 6;
    pub(crate) const SHAPE_SIGNATURE: usize = 7;
    pub(crate) const HAS_RANK: usize = 8;
}

/// Fields of `QuantizationParameters`.
pub(super) mod quantization {
    pub(crate) const SCALE: usize = 2;
    pub(crate) const ZERO_POINT: usize = 3;
    pub(crate) const DETAILS_TYPE: usize = 4;
    pub(crate) const QUANTIZED_DIMENSION: usize = 6;
}

/// Fields of `SparsityParameters`.
pub(super) mod sparsity {
    pub(crate) const TRAVERSAL_ORDER: usize = 0;
    pub(crate) const BLOCK_MAP: usize = 1;
    pub(crate) const DIMENSIONS: usize = 2;
}

/// Fields of `DimensionMetadata`; segments and indices are unions.
pub(super) mod dimension {
    pub(crate) const FORMAT: usize = 0;
    pub(crate) const DENSE: i8 = 0;
    pub(crate) const SIZE: usize = 1;
    pub(crate) const SEGMENTS: usize = 2;
    pub(crate) const INDICES: usize = 4;
}

/// Fields of `Operator`.
pub(super) mod operator {
    pub(crate) const OPCODE_INDEX: usize = 0;
    pub(crate) const INPUTS: usize = 1;
    pub(crate) const OUTPUTS: usize = 2;
    pub(crate) const BUILTIN_OPTIONS: usize = 4;
    pub(crate) const CUSTOM_OPTIONS: usize = 5;
    pub(crate) const LARGE_CUSTOM_OPTIONS_OFFSET: usize = 9;
    pub(crate) const LARGE_CUSTOM_OPTIONS_SIZE: usize = 10;
    pub(crate) const BUILTIN_OPTIONS_2: usize = 12;
}

/// Fields of `Buffer`.
pub(super) mod buffer {
    pub(crate) const DATA: usize = 0;
    pub(crate) const OFFSET: usize = 1;
    pub(crate) const SIZE: usize = 2;
}

/// Fields of `Metadata`.
pub(super) mod metadata {
    pub(crate) const NAME: usize = 0;
    pub(crate) const BUFFER: usize = 1;
}

/// `TensorType` of packed four-bit integers, which the graph holds as eight-bit ones.
pub(super) const INT4: i8 = 17;

/// Element type of a `TensorType`; `None` for complex numbers, resources and variants.
pub(super) fn dtype(tensor_type: i8) -> Option<DType> {
    Some(match tensor_type {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::I32,
        3 => DType::U8,
        4 => DType::I64,
        5 => DType::String,
        6 => DType::Bool,
        7 => DType::I16,
        9 | INT4 => DType::I8,
        10 => DType::F64,
        12 => DType::U64,
        15 => DType::U32,
        16 => DType::U16,
        18 => DType::Bf16,
        _ => return None,
    })
}

/// `BuiltinOperator` of operators that are named by a string.
pub(super) const CUSTOM: i32 = 32;

/// `Padding.SAME`; the other is `VALID`.
pub(super) const PADDING_SAME: i8 = 0;

/// `ActivationFunctionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    None,
    Relu,
    ReluN1To1,
    Relu6,
    Tanh,
    SignBit,
}

impl Activation {
    /// The activation of a number, `None` for numbers of newer schemas.
    pub(super) fn new(number: i8) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::Relu,
            2 => Self::ReluN1To1,
            3 => Self::Relu6,
            4 => Self::Tanh,
            5 => Self::SignBit,
            _ => return None,
        })
    }
}
