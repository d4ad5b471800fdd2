//! Which operator is translated by what.

use super::builder::Op;
use super::{
    Refusal, conv, detection, elementwise, matrix, pool, quantize, reduce, resize, schema, shape,
    slice,
};

/// Translates one operator.
pub(super) type Build = fn(&mut Op<'_, '_>) -> Result<(), Refusal>;

/// Names of every operator that is translated, as messages and the schema have them.
pub fn supported_operators() -> impl Iterator<Item = &'static str> {
    let known = schema::OPERATORS.iter().copied().filter(|name| builder(name).is_some());
    known.chain(std::iter::once(detection::NAME))
}

/// What translates the custom operator of this name.
pub(super) fn custom_builder(name: &str) -> Option<Build> {
    (name == detection::NAME).then_some(detection::post_process)
}

/// What translates the built-in operator of this name.
pub(super) fn builder(name: &str) -> Option<Build> {
    Some(match name {
        "CONV_2D" => conv::conv_2d,
        "DEPTHWISE_CONV_2D" => conv::depthwise_conv_2d,
        "TRANSPOSE_CONV" => conv::transpose_conv,
        "FULLY_CONNECTED" => matrix::fully_connected,
        "BATCH_MATMUL" => matrix::batch_matmul,

        "AVERAGE_POOL_2D" => pool::average_pool_2d,
        "MAX_POOL_2D" => pool::max_pool_2d,
        "L2_POOL_2D" => pool::l2_pool_2d,
        "LOCAL_RESPONSE_NORMALIZATION" => pool::local_response_normalization,

        "ADD" => |op| elementwise::arithmetic(op, "Add"),
        "SUB" => |op| elementwise::arithmetic(op, "Sub"),
        "MUL" => |op| elementwise::arithmetic(op, "Mul"),
        "DIV" => |op| elementwise::arithmetic(op, "Div"),
        "ADD_N" => elementwise::add_n,
        "MAXIMUM" => |op| elementwise::binary(op, "Max"),
        "MINIMUM" => |op| elementwise::binary(op, "Min"),
        "POW" => |op| elementwise::binary(op, "Pow"),
        "SQUARED_DIFFERENCE" => elementwise::squared_difference,
        "FLOOR_DIV" => elementwise::floor_div,
        "FLOOR_MOD" => elementwise::floor_mod,
        "EQUAL" => |op| elementwise::binary(op, "Equal"),
        "NOT_EQUAL" => elementwise::not_equal,
        "LESS" => |op| elementwise::binary(op, "Less"),
        "LESS_EQUAL" => |op| elementwise::binary(op, "LessOrEqual"),
        "GREATER" => |op| elementwise::binary(op, "Greater"),
        "GREATER_EQUAL" => |op| elementwise::binary(op, "GreaterOrEqual"),
        "LOGICAL_AND" => |op| elementwise::binary(op, "And"),
        "LOGICAL_OR" => |op| elementwise::binary(op, "Or"),
        "LOGICAL_NOT" => |op| elementwise::unary(op, "Not"),
        "SELECT" | "SELECT_V2" => elementwise::select,
        "WHERE" => elementwise::positions,

        "NEG" => |op| elementwise::unary(op, "Neg"),
        "ABS" => |op| elementwise::unary(op, "Abs"),
        "SIGN" => |op| elementwise::unary(op, "Sign"),
        "SQRT" => |op| elementwise::unary(op, "Sqrt"),
        "RSQRT" => elementwise::rsqrt,
        "SQUARE" => elementwise::square,
        "EXP" => |op| elementwise::unary(op, "Exp"),
        "LOG" => |op| elementwise::unary(op, "Log"),
        "SIN" => |op| elementwise::unary(op, "Sin"),
        "COS" => |op| elementwise::unary(op, "Cos"),
        "FLOOR" => |op| elementwise::unary(op, "Floor"),
        "CEIL" => |op| elementwise::unary(op, "Ceil"),
        "ROUND" => |op| elementwise::unary(op, "Round"),
        "LOGISTIC" => |op| elementwise::unary(op, "Sigmoid"),
        "TANH" => |op| elementwise::unary(op, "Tanh"),
        "RELU" => |op| elementwise::unary(op, "Relu"),
        "RELU6" => |op| elementwise::clip(op, 0.0, 6.0),
        "RELU_N1_TO_1" => |op| elementwise::clip(op, -1.0, 1.0),
        "RELU_0_TO_1" => |op| elementwise::clip(op, 0.0, 1.0),
        "LEAKY_RELU" => elementwise::leaky_relu,
        "PRELU" => |op| elementwise::binary(op, "PRelu"),
        "ELU" => |op| elementwise::unary(op, "Elu"),
        "GELU" => elementwise::gelu,
        "HARD_SWISH" => |op| elementwise::unary(op, "HardSwish"),
        "SOFTMAX" => elementwise::softmax,
        "LOG_SOFTMAX" => elementwise::log_softmax,
        "L2_NORMALIZATION" => elementwise::l2_normalization,
        "CAST" => elementwise::cast,

        "MEAN" => reduce::mean,
        "SUM" => |op| reduce::reduce(op, "ReduceSum"),
        "REDUCE_PROD" => |op| reduce::reduce(op, "ReduceProd"),
        "REDUCE_MAX" => |op| reduce::extreme(op, "ReduceMax"),
        "REDUCE_MIN" => |op| reduce::extreme(op, "ReduceMin"),
        "REDUCE_ANY" => |op| reduce::logical(op, "ReduceMax"),
        "REDUCE_ALL" => |op| reduce::logical(op, "ReduceMin"),
        "ARG_MAX" => |op| reduce::arg(op, "ArgMax"),
        "ARG_MIN" => |op| reduce::arg(op, "ArgMin"),
        "TOPK_V2" => reduce::top_k,
        "CUMSUM" => reduce::cumsum,

        "RESHAPE" => shape::reshape,
        "SQUEEZE" => shape::squeeze,
        "EXPAND_DIMS" => shape::expand_dims,
        "TRANSPOSE" => shape::transpose,
        "SHAPE" => shape::shape,
        "RANK" => shape::rank,
        "CONCATENATION" => shape::concatenation,
        "PACK" => shape::pack,
        "UNPACK" => shape::unpack,
        "SPLIT" => shape::split_even,
        "SPLIT_V" => shape::split_sizes,
        "TILE" => shape::tile,
        "BROADCAST_TO" => shape::broadcast_to,
        "FILL" => shape::fill,
        "ZEROS_LIKE" => shape::zeros_like,
        "RANGE" => shape::range,
        "ONE_HOT" => shape::one_hot,
        "REVERSE_V2" => shape::reverse,
        "GATHER" => shape::gather,
        "GATHER_ND" => shape::gather_nd,
        "SPACE_TO_DEPTH" => |op| shape::depth_and_space(op, "SpaceToDepth"),
        "DEPTH_TO_SPACE" => |op| shape::depth_and_space(op, "DepthToSpace"),
        "SLICE" => slice::slice,
        "STRIDED_SLICE" => slice::strided_slice,

        "RESIZE_BILINEAR" => resize::bilinear,
        "RESIZE_NEAREST_NEIGHBOR" => resize::nearest,
        "PAD" | "PADV2" => resize::pad,
        "MIRROR_PAD" => resize::mirror_pad,
        "SPACE_TO_BATCH_ND" => resize::space_to_batch,
        "BATCH_TO_SPACE_ND" => resize::batch_to_space,

        "QUANTIZE" => quantize::quantize,
        "DEQUANTIZE" => quantize::dequantize,
        _ => return None,
    })
}
