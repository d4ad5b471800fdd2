//! Every operator of the format, and what is done with it.

use super::builder::Op;
use super::reason::Reason::{
    self, Complex, Control, Marker, Random, Recurrent, StableHlo, Unwritten, Volumes, Words,
};
use super::{
    Refusal, conv, detection, diagonal, elementwise, gather, integers, matrix, mediapipe, pool,
    quantize, reduce, resize, scatter, shape, slice, suppress, variables,
};

/// Translates one operator.
pub(super) type Build = fn(&mut Op<'_, '_>) -> Result<(), Refusal>;

/// What is done with an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Imported, in every element type that TensorFlow Lite itself has for it.
    Plain,
    /// Imported, also where its tensors are quantised to 8 bits.
    Quantized,
    /// Refused by name.
    Refused(Reason),
}

/// Every built-in operator by its name in the schema, then the custom ones that are imported.
pub fn operators() -> impl Iterator<Item = (&'static str, Support)> {
    let custom = CUSTOM.iter().map(|&(name, _)| (name, Support::Plain));
    TABLE.iter().map(|(name, entry)| (*name, entry.support())).chain(custom)
}

/// Names of every operator that is translated, as messages and the schema have them.
pub fn supported_operators() -> impl Iterator<Item = &'static str> {
    operators().filter(|(_, support)| !matches!(support, Support::Refused(_))).map(|(name, _)| name)
}

/// Name of a built-in operator by its code.
pub(super) fn name(code: usize) -> Option<&'static str> {
    TABLE.get(code).map(|(name, _)| *name)
}

/// What translates the custom operator of this name.
pub(super) fn custom_builder(name: &str) -> Option<Build> {
    CUSTOM.iter().find(|(known, _)| *known == name).map(|&(_, build)| build)
}

/// What translates the built-in operator of this name.
pub(super) fn builder(name: &str) -> Option<Build> {
    match TABLE.iter().find(|(known, _)| *known == name)?.1 {
        Plain(build) | Quantized(build) => Some(build),
        Inlined | Refused(_) => None,
    }
}

/// Why the operator of this name is refused, when it is a built-in one.
pub(super) fn reason(name: &str) -> Option<Reason> {
    match TABLE.iter().find(|(known, _)| *known == name)?.1 {
        Refused(reason) => Some(reason),
        _ => None,
    }
}

enum Entry {
    Plain(Build),
    Quantized(Build),
    /// The subgraph that it calls stands in its place.
    Inlined,
    Refused(Reason),
}

use Entry::{Inlined, Plain, Quantized, Refused};

impl Entry {
    fn support(&self) -> Support {
        match self {
            Plain(_) | Inlined => Support::Plain,
            Quantized(_) => Support::Quantized,
            Refused(reason) => Support::Refused(*reason),
        }
    }
}

/// Operators named by a string. Those of TensorFlow itself (`Flex...`) are here as far as they are
/// one operator of ONNX, without attributes.
const CUSTOM: [(&str, Build); 8] = [
    (detection::NAME, detection::post_process),
    ("Convolution2DTransposeBias", mediapipe::transpose_conv_bias),
    ("MaxPoolingWithArgmax2D", mediapipe::max_pool_with_argmax),
    ("MaxUnpooling2D", mediapipe::max_unpool),
    ("FlexErf", |op| elementwise::unary(op, "Erf")),
    ("FlexSelu", |op| elementwise::unary(op, "Selu")),
    ("FlexSoftplus", |op| elementwise::unary(op, "Softplus")),
    ("FlexSoftsign", |op| elementwise::unary(op, "Softsign")),
];

/// `BuiltinOperator` of the schema, by code.
const TABLE: [(&str, Entry); 210] = [
    ("ADD", Quantized(|op| elementwise::arithmetic(op, "Add"))),
    ("AVERAGE_POOL_2D", Quantized(pool::average_pool_2d)),
    ("CONCATENATION", Quantized(shape::concatenation)),
    ("CONV_2D", Quantized(conv::conv_2d)),
    ("DEPTHWISE_CONV_2D", Quantized(conv::depthwise_conv_2d)),
    ("DEPTH_TO_SPACE", Quantized(|op| shape::depth_and_space(op, "DepthToSpace"))),
    ("DEQUANTIZE", Quantized(quantize::dequantize)),
    ("EMBEDDING_LOOKUP", Quantized(gather::embedding_lookup)),
    ("FLOOR", Plain(|op| elementwise::unary(op, "Floor"))),
    ("FULLY_CONNECTED", Quantized(matrix::fully_connected)),
    ("HASHTABLE_LOOKUP", Refused(Words)),
    ("L2_NORMALIZATION", Quantized(elementwise::l2_normalization)),
    ("L2_POOL_2D", Plain(pool::l2_pool_2d)),
    ("LOCAL_RESPONSE_NORMALIZATION", Plain(pool::local_response_normalization)),
    ("LOGISTIC", Quantized(|op| elementwise::unary(op, "Sigmoid"))),
    ("LSH_PROJECTION", Refused(Words)),
    ("LSTM", Refused(Recurrent)),
    ("MAX_POOL_2D", Quantized(pool::max_pool_2d)),
    ("MUL", Quantized(|op| elementwise::arithmetic(op, "Mul"))),
    ("RELU", Quantized(|op| elementwise::unary(op, "Relu"))),
    ("RELU_N1_TO_1", Quantized(|op| elementwise::clip(op, -1.0, 1.0))),
    ("RELU6", Quantized(|op| elementwise::clip(op, 0.0, 6.0))),
    ("RESHAPE", Quantized(shape::reshape)),
    ("RESIZE_BILINEAR", Quantized(resize::bilinear)),
    ("RNN", Refused(Recurrent)),
    ("SOFTMAX", Quantized(elementwise::softmax)),
    ("SPACE_TO_DEPTH", Quantized(|op| shape::depth_and_space(op, "SpaceToDepth"))),
    ("SVDF", Refused(Recurrent)),
    ("TANH", Quantized(|op| elementwise::unary(op, "Tanh"))),
    ("CONCAT_EMBEDDINGS", Refused(Words)),
    ("SKIP_GRAM", Refused(Words)),
    ("CALL", Refused(Control)),
    ("CUSTOM", Refused(Marker)),
    ("EMBEDDING_LOOKUP_SPARSE", Refused(Words)),
    ("PAD", Quantized(resize::pad)),
    ("UNIDIRECTIONAL_SEQUENCE_RNN", Refused(Recurrent)),
    ("GATHER", Quantized(gather::gather)),
    ("BATCH_TO_SPACE_ND", Quantized(resize::batch_to_space)),
    ("SPACE_TO_BATCH_ND", Quantized(resize::space_to_batch)),
    ("TRANSPOSE", Quantized(shape::transpose)),
    ("MEAN", Quantized(reduce::mean)),
    ("SUB", Quantized(|op| elementwise::arithmetic(op, "Sub"))),
    ("DIV", Quantized(|op| elementwise::arithmetic(op, "Div"))),
    ("SQUEEZE", Quantized(shape::squeeze)),
    ("UNIDIRECTIONAL_SEQUENCE_LSTM", Refused(Recurrent)),
    ("STRIDED_SLICE", Quantized(slice::strided_slice)),
    ("BIDIRECTIONAL_SEQUENCE_RNN", Refused(Recurrent)),
    ("EXP", Quantized(|op| elementwise::unary(op, "Exp"))),
    ("TOPK_V2", Quantized(reduce::top_k)),
    ("SPLIT", Quantized(shape::split_even)),
    ("LOG_SOFTMAX", Quantized(elementwise::log_softmax)),
    ("DELEGATE", Refused(Marker)),
    ("BIDIRECTIONAL_SEQUENCE_LSTM", Refused(Recurrent)),
    ("CAST", Plain(elementwise::cast)),
    ("PRELU", Quantized(|op| elementwise::binary(op, "PRelu"))),
    ("MAXIMUM", Quantized(|op| elementwise::binary(op, "Max"))),
    ("ARG_MAX", Quantized(|op| reduce::arg(op, "ArgMax"))),
    ("MINIMUM", Quantized(|op| elementwise::binary(op, "Min"))),
    ("LESS", Quantized(|op| elementwise::binary(op, "Less"))),
    ("NEG", Plain(|op| elementwise::unary(op, "Neg"))),
    ("PADV2", Quantized(resize::pad)),
    ("GREATER", Quantized(|op| elementwise::binary(op, "Greater"))),
    ("GREATER_EQUAL", Quantized(|op| elementwise::binary(op, "GreaterOrEqual"))),
    ("LESS_EQUAL", Quantized(|op| elementwise::binary(op, "LessOrEqual"))),
    ("SELECT", Quantized(elementwise::select)),
    ("SLICE", Quantized(slice::slice)),
    ("SIN", Plain(|op| elementwise::unary(op, "Sin"))),
    ("TRANSPOSE_CONV", Quantized(conv::transpose_conv)),
    ("SPARSE_TO_DENSE", Plain(scatter::sparse_to_dense)),
    ("TILE", Quantized(shape::tile)),
    ("EXPAND_DIMS", Quantized(shape::expand_dims)),
    ("EQUAL", Quantized(|op| elementwise::binary(op, "Equal"))),
    ("NOT_EQUAL", Quantized(elementwise::not_equal)),
    ("LOG", Quantized(|op| elementwise::unary(op, "Log"))),
    ("SUM", Quantized(|op| reduce::reduce(op, "ReduceSum"))),
    ("SQRT", Quantized(|op| elementwise::unary(op, "Sqrt"))),
    ("RSQRT", Quantized(elementwise::rsqrt)),
    ("SHAPE", Plain(shape::shape)),
    ("POW", Plain(|op| elementwise::binary(op, "Pow"))),
    ("ARG_MIN", Quantized(|op| reduce::arg(op, "ArgMin"))),
    ("FAKE_QUANT", Plain(elementwise::fake_quantize)),
    ("REDUCE_PROD", Quantized(|op| reduce::reduce(op, "ReduceProd"))),
    ("REDUCE_MAX", Quantized(|op| reduce::extreme(op, "ReduceMax"))),
    ("PACK", Quantized(shape::pack)),
    ("LOGICAL_OR", Plain(|op| elementwise::binary(op, "Or"))),
    ("ONE_HOT", Plain(shape::one_hot)),
    ("LOGICAL_AND", Plain(|op| elementwise::binary(op, "And"))),
    ("LOGICAL_NOT", Plain(|op| elementwise::unary(op, "Not"))),
    ("UNPACK", Quantized(shape::unpack)),
    ("REDUCE_MIN", Quantized(|op| reduce::extreme(op, "ReduceMin"))),
    ("FLOOR_DIV", Plain(integers::floor_div)),
    ("REDUCE_ANY", Plain(|op| reduce::logical(op, "ReduceMax"))),
    ("SQUARE", Plain(elementwise::square)),
    ("ZEROS_LIKE", Plain(shape::zeros_like)),
    ("FILL", Plain(shape::fill)),
    ("FLOOR_MOD", Plain(integers::floor_mod)),
    ("RANGE", Plain(shape::range)),
    ("RESIZE_NEAREST_NEIGHBOR", Quantized(resize::nearest)),
    ("LEAKY_RELU", Quantized(elementwise::leaky_relu)),
    ("SQUARED_DIFFERENCE", Quantized(elementwise::squared_difference)),
    ("MIRROR_PAD", Quantized(resize::mirror_pad)),
    ("ABS", Quantized(|op| elementwise::unary(op, "Abs"))),
    ("SPLIT_V", Quantized(shape::split_sizes)),
    ("UNIQUE", Refused(Unwritten)),
    ("CEIL", Plain(|op| elementwise::unary(op, "Ceil"))),
    ("REVERSE_V2", Quantized(shape::reverse)),
    ("ADD_N", Plain(elementwise::add_n)),
    ("GATHER_ND", Quantized(gather::gather_nd)),
    ("COS", Plain(|op| elementwise::unary(op, "Cos"))),
    ("WHERE", Plain(elementwise::positions)),
    ("RANK", Plain(shape::rank)),
    ("ELU", Quantized(|op| elementwise::unary(op, "Elu"))),
    ("REVERSE_SEQUENCE", Quantized(gather::reverse_sequence)),
    ("MATRIX_DIAG", Plain(diagonal::matrix_diag)),
    ("QUANTIZE", Quantized(quantize::quantize)),
    ("MATRIX_SET_DIAG", Plain(diagonal::matrix_set_diag)),
    ("ROUND", Plain(|op| elementwise::unary(op, "Round"))),
    ("HARD_SWISH", Quantized(|op| elementwise::unary(op, "HardSwish"))),
    ("IF", Refused(Control)),
    ("WHILE", Refused(Control)),
    ("NON_MAX_SUPPRESSION_V4", Plain(suppress::non_max_suppression)),
    ("NON_MAX_SUPPRESSION_V5", Plain(suppress::non_max_suppression)),
    ("SCATTER_ND", Quantized(scatter::scatter_nd)),
    ("SELECT_V2", Quantized(elementwise::select)),
    ("DENSIFY", Quantized(shape::identity)),
    ("SEGMENT_SUM", Plain(scatter::segment_sum)),
    ("BATCH_MATMUL", Quantized(matrix::batch_matmul)),
    ("PLACEHOLDER_FOR_GREATER_OP_CODES", Refused(Marker)),
    ("CUMSUM", Plain(reduce::cumsum)),
    ("CALL_ONCE", Inlined),
    ("BROADCAST_TO", Quantized(shape::broadcast_to)),
    ("RFFT2D", Refused(Complex)),
    ("CONV_3D", Refused(Volumes)),
    ("IMAG", Refused(Complex)),
    ("REAL", Refused(Complex)),
    ("COMPLEX_ABS", Refused(Complex)),
    ("HASHTABLE", Refused(Words)),
    ("HASHTABLE_FIND", Refused(Words)),
    ("HASHTABLE_IMPORT", Refused(Words)),
    ("HASHTABLE_SIZE", Refused(Words)),
    ("REDUCE_ALL", Plain(|op| reduce::logical(op, "ReduceMin"))),
    ("CONV_3D_TRANSPOSE", Refused(Volumes)),
    ("VAR_HANDLE", Plain(variables::handle)),
    ("READ_VARIABLE", Plain(variables::read)),
    ("ASSIGN_VARIABLE", Plain(variables::assign)),
    ("BROADCAST_ARGS", Plain(shape::broadcast_args)),
    ("RANDOM_STANDARD_NORMAL", Refused(Random)),
    ("BUCKETIZE", Plain(elementwise::bucketize)),
    ("RANDOM_UNIFORM", Refused(Random)),
    ("MULTINOMIAL", Refused(Random)),
    ("GELU", Quantized(elementwise::gelu)),
    ("DYNAMIC_UPDATE_SLICE", Quantized(scatter::dynamic_update_slice)),
    ("RELU_0_TO_1", Quantized(|op| elementwise::clip(op, 0.0, 1.0))),
    ("UNSORTED_SEGMENT_PROD", Plain(|op| scatter::segments(op, "mul"))),
    ("UNSORTED_SEGMENT_MAX", Plain(|op| scatter::segments(op, "max"))),
    ("UNSORTED_SEGMENT_SUM", Plain(|op| scatter::segments(op, "add"))),
    ("ATAN2", Plain(elementwise::atan2)),
    ("UNSORTED_SEGMENT_MIN", Plain(|op| scatter::segments(op, "min"))),
    ("SIGN", Plain(|op| elementwise::unary(op, "Sign"))),
    ("BITCAST", Refused(Unwritten)),
    ("BITWISE_XOR", Refused(Unwritten)),
    ("RIGHT_SHIFT", Plain(integers::right_shift)),
    ("STABLEHLO_LOGISTIC", Refused(StableHlo)),
    ("STABLEHLO_ADD", Refused(StableHlo)),
    ("STABLEHLO_DIVIDE", Refused(StableHlo)),
    ("STABLEHLO_MULTIPLY", Refused(StableHlo)),
    ("STABLEHLO_MAXIMUM", Refused(StableHlo)),
    ("STABLEHLO_RESHAPE", Refused(StableHlo)),
    ("STABLEHLO_CLAMP", Refused(StableHlo)),
    ("STABLEHLO_CONCATENATE", Refused(StableHlo)),
    ("STABLEHLO_BROADCAST_IN_DIM", Refused(StableHlo)),
    ("STABLEHLO_CONVOLUTION", Refused(StableHlo)),
    ("STABLEHLO_SLICE", Refused(StableHlo)),
    ("STABLEHLO_CUSTOM_CALL", Refused(StableHlo)),
    ("STABLEHLO_REDUCE", Refused(StableHlo)),
    ("STABLEHLO_ABS", Refused(StableHlo)),
    ("STABLEHLO_AND", Refused(StableHlo)),
    ("STABLEHLO_COSINE", Refused(StableHlo)),
    ("STABLEHLO_EXPONENTIAL", Refused(StableHlo)),
    ("STABLEHLO_FLOOR", Refused(StableHlo)),
    ("STABLEHLO_LOG", Refused(StableHlo)),
    ("STABLEHLO_MINIMUM", Refused(StableHlo)),
    ("STABLEHLO_NEGATE", Refused(StableHlo)),
    ("STABLEHLO_OR", Refused(StableHlo)),
    ("STABLEHLO_POWER", Refused(StableHlo)),
    ("STABLEHLO_REMAINDER", Refused(StableHlo)),
    ("STABLEHLO_RSQRT", Refused(StableHlo)),
    ("STABLEHLO_SELECT", Refused(StableHlo)),
    ("STABLEHLO_SUBTRACT", Refused(StableHlo)),
    ("STABLEHLO_TANH", Refused(StableHlo)),
    ("STABLEHLO_SCATTER", Refused(StableHlo)),
    ("STABLEHLO_COMPARE", Refused(StableHlo)),
    ("STABLEHLO_CONVERT", Refused(StableHlo)),
    ("STABLEHLO_DYNAMIC_SLICE", Refused(StableHlo)),
    ("STABLEHLO_DYNAMIC_UPDATE_SLICE", Refused(StableHlo)),
    ("STABLEHLO_PAD", Refused(StableHlo)),
    ("STABLEHLO_IOTA", Refused(StableHlo)),
    ("STABLEHLO_DOT_GENERAL", Refused(StableHlo)),
    ("STABLEHLO_REDUCE_WINDOW", Refused(StableHlo)),
    ("STABLEHLO_SORT", Refused(StableHlo)),
    ("STABLEHLO_WHILE", Refused(Control)),
    ("STABLEHLO_GATHER", Refused(StableHlo)),
    ("STABLEHLO_TRANSPOSE", Refused(StableHlo)),
    ("DILATE", Refused(Unwritten)),
    ("STABLEHLO_RNG_BIT_GENERATOR", Refused(Random)),
    ("REDUCE_WINDOW", Refused(Unwritten)),
    ("STABLEHLO_COMPOSITE", Inlined),
    ("STABLEHLO_SHIFT_LEFT", Refused(StableHlo)),
    ("STABLEHLO_CBRT", Refused(StableHlo)),
    ("STABLEHLO_CASE", Refused(Control)),
];
