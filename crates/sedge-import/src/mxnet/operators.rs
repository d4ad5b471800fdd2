//! Which operator is translated by what.

use super::builder::Op;
use super::{
    Refusal, activation, convolution, detection, elementwise, indexing, join, matrix, normalize,
    pool, reduce, regions, resize, shape, slice, sort,
};

/// Translates one operator.
pub(super) type Build = fn(&mut Op<'_, '_>) -> Result<(), Refusal>;

/// The names of every operator that is translated, those of one operator together.
pub fn operator_names() -> impl Iterator<Item = &'static [&'static str]> {
    OPERATORS.iter().map(|(names, _)| *names)
}

/// What translates the operator of this name.
pub(super) fn builder(name: &str) -> Option<Build> {
    let find = |name: &str| {
        let found = OPERATORS.iter().find(|(names, _)| names.contains(&name));
        found.map(|(_, build)| *build)
    };
    // Operators lost and got the prefix of experiments from version to version.
    find(name)
        .or_else(|| find(name.strip_prefix("_contrib_")?))
        .or_else(|| find(&format!("_contrib_{name}")))
}

/// True for the normalisation by stored statistics, under any of its names.
pub(super) fn is_batch_normalization(name: &str) -> bool {
    BATCH_NORMALIZATION.contains(&name)
}

/// The operand from which on an operator reads nothing but weights.
pub(super) fn first_weight(name: &str) -> usize {
    match name {
        "Convolution" | "Convolution_v1" | "Deconvolution" | "FullyConnected" | "Embedding"
        | "LeakyReLU" | "InstanceNorm" | "LayerNorm" | "GroupNorm" => 1,
        name if is_batch_normalization(name) => 1,
        _ => usize::MAX,
    }
}

/// True for an operator that makes more results than it shows: MXNet numbers those it shows.
pub(super) fn has_hidden_results(name: &str) -> bool {
    matches!(
        name.trim_start_matches("_contrib_"),
        "box_nms" | "box_non_maximum_suppression" | "sort"
    )
}

const BATCH_NORMALIZATION: &[&str] =
    &["BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "_contrib_SyncBatchNorm"];

const OPERATORS: &[(&[&str], Build)] = &[
    (&["Convolution", "Convolution_v1"], convolution::convolution),
    (&["Deconvolution"], convolution::deconvolution),
    (&["FullyConnected"], matrix::fully_connected),
    (&["dot"], matrix::dot),
    (&["batch_dot", "linalg_gemm2", "_linalg_gemm2"], matrix::batch_dot),
    (&["Pooling", "Pooling_v1"], pool::pooling),
    (&["_contrib_AdaptiveAvgPooling2D"], pool::adaptive),
    (BATCH_NORMALIZATION, normalize::batch),
    (&["InstanceNorm"], normalize::instance),
    (&["LayerNorm"], normalize::layer),
    (&["GroupNorm"], normalize::group),
    (&["L2Normalization"], normalize::l2),
    (&["LRN"], normalize::local_response),
    (&["Activation"], activation::activation),
    (&["LeakyReLU"], activation::leaky_relu),
    (&["relu"], |op| elementwise::unary(op, "Relu")),
    (&["sigmoid"], |op| elementwise::unary(op, "Sigmoid")),
    (&["hard_sigmoid"], activation::hard_sigmoid),
    (&["softsign"], |op| elementwise::unary(op, "Softsign")),
    (&["softmax"], |op| activation::softmax(op, "Softmax", 1.0)),
    (&["softmin"], |op| activation::softmax(op, "Softmax", -1.0)),
    (&["log_softmax"], |op| activation::softmax(op, "LogSoftmax", 1.0)),
    (&["SoftmaxOutput", "Softmax"], activation::softmax_output),
    (&["SoftmaxActivation"], activation::softmax_activation),
    (&["LogisticRegressionOutput"], |op| elementwise::unary(op, "Sigmoid")),
    (
        &[
            "_copy",
            "identity",
            "BlockGrad",
            "stop_gradient",
            "Dropout",
            "MakeLoss",
            "make_loss",
            "LinearRegressionOutput",
            "MAERegressionOutput",
            "SVMOutput",
            "IdentityAttachKLSparseReg",
            "_CrossDeviceCopy",
            "_identity_with_attr_like_rhs",
        ],
        elementwise::identity,
    ),
    (&["Cast", "cast", "amp_cast"], elementwise::cast),
    (
        &["elemwise_add", "_Plus", "_plus", "_add", "_grad_add", "broadcast_add", "broadcast_plus"],
        |op| elementwise::binary(op, "Add"),
    ),
    (&["elemwise_sub", "_Minus", "_minus", "_sub", "broadcast_sub", "broadcast_minus"], |op| {
        elementwise::binary(op, "Sub")
    }),
    (&["elemwise_mul", "_Mul", "_mul", "broadcast_mul"], |op| elementwise::binary(op, "Mul")),
    (&["elemwise_div", "_Div", "_div", "broadcast_div"], |op| elementwise::binary(op, "Div")),
    (&["_Power", "_power", "broadcast_power"], |op| elementwise::binary(op, "Pow")),
    (&["_Maximum", "_maximum", "broadcast_maximum"], |op| elementwise::binary(op, "Max")),
    (&["_Minimum", "_minimum", "broadcast_minimum"], |op| elementwise::binary(op, "Min")),
    (&["_mod", "broadcast_mod"], elementwise::modulo),
    (&["_hypot", "broadcast_hypot"], elementwise::hypotenuse),
    (&["_equal", "broadcast_equal"], |op| elementwise::compare(op, "Equal", false)),
    (&["_not_equal", "broadcast_not_equal"], |op| elementwise::compare(op, "Equal", true)),
    (&["_greater", "broadcast_greater"], |op| elementwise::compare(op, "Greater", false)),
    (&["_greater_equal", "broadcast_greater_equal"], |op| {
        elementwise::compare(op, "GreaterOrEqual", false)
    }),
    (&["_lesser", "broadcast_lesser"], |op| elementwise::compare(op, "Less", false)),
    (&["_lesser_equal", "broadcast_lesser_equal"], |op| {
        elementwise::compare(op, "LessOrEqual", false)
    }),
    (&["_logical_and", "broadcast_logical_and"], |op| elementwise::logical(op, "And")),
    (&["_logical_or", "broadcast_logical_or"], |op| elementwise::logical(op, "Or")),
    (&["_logical_xor", "broadcast_logical_xor"], |op| elementwise::logical(op, "Xor")),
    (&["logical_not"], elementwise::logical_not),
    (&["_plus_scalar", "_PlusScalar"], |op| elementwise::scalar(op, "Add", false)),
    (&["_minus_scalar", "_MinusScalar"], |op| elementwise::scalar(op, "Sub", false)),
    (&["_rminus_scalar", "_RMinusScalar"], |op| elementwise::scalar(op, "Sub", true)),
    (&["_mul_scalar", "_MulScalar"], |op| elementwise::scalar(op, "Mul", false)),
    (&["_div_scalar", "_DivScalar"], |op| elementwise::scalar(op, "Div", false)),
    (&["_rdiv_scalar", "_RDivScalar"], |op| elementwise::scalar(op, "Div", true)),
    (&["_power_scalar", "_PowerScalar"], |op| elementwise::scalar(op, "Pow", false)),
    (&["_rpower_scalar", "_RPowerScalar"], |op| elementwise::scalar(op, "Pow", true)),
    (&["_maximum_scalar", "_MaximumScalar"], |op| elementwise::scalar(op, "Max", false)),
    (&["_minimum_scalar", "_MinimumScalar"], |op| elementwise::scalar(op, "Min", false)),
    (&["_mod_scalar"], |op| elementwise::scalar_modulo(op, false)),
    (&["_rmod_scalar"], |op| elementwise::scalar_modulo(op, true)),
    (&["_equal_scalar"], |op| elementwise::compare_scalar(op, "Equal", false)),
    (&["_not_equal_scalar"], |op| elementwise::compare_scalar(op, "Equal", true)),
    (&["_greater_scalar"], |op| elementwise::compare_scalar(op, "Greater", false)),
    (&["_greater_equal_scalar"], |op| elementwise::compare_scalar(op, "GreaterOrEqual", false)),
    (&["_lesser_scalar"], |op| elementwise::compare_scalar(op, "Less", false)),
    (&["_lesser_equal_scalar"], |op| elementwise::compare_scalar(op, "LessOrEqual", false)),
    (&["add_n", "ElementWiseSum"], |op| elementwise::sum(op)),
    (&["abs"], |op| elementwise::unary(op, "Abs")),
    (&["sign"], |op| elementwise::unary(op, "Sign")),
    (&["negative"], |op| elementwise::unary(op, "Neg")),
    (&["reciprocal"], |op| elementwise::unary(op, "Reciprocal")),
    (&["exp"], |op| elementwise::unary(op, "Exp")),
    (&["log"], |op| elementwise::unary(op, "Log")),
    (&["log2"], |op| elementwise::logarithm(op, std::f32::consts::LN_2)),
    (&["log10"], |op| elementwise::logarithm(op, std::f32::consts::LN_10)),
    (&["log1p"], elementwise::log_plus_one),
    (&["expm1"], elementwise::exp_minus_one),
    (&["sqrt"], |op| elementwise::unary(op, "Sqrt")),
    (&["rsqrt"], elementwise::inverse_root),
    (&["square"], elementwise::square),
    (&["sin"], |op| elementwise::unary(op, "Sin")),
    (&["cos"], |op| elementwise::unary(op, "Cos")),
    (&["tan"], |op| elementwise::unary(op, "Tan")),
    (&["tanh"], |op| elementwise::unary(op, "Tanh")),
    (&["arctan"], |op| elementwise::unary(op, "Atan")),
    (&["erf"], |op| elementwise::unary(op, "Erf")),
    (&["floor"], |op| elementwise::unary(op, "Floor")),
    (&["ceil"], |op| elementwise::unary(op, "Ceil")),
    (&["round"], elementwise::round),
    (&["trunc", "fix"], elementwise::truncate),
    (&["clip"], elementwise::clip),
    (&["smooth_l1"], elementwise::smooth_l1),
    (&["where"], elementwise::select),
    (&["zeros_like", "_zeros_like"], |op| shape::filled_like(op, 0.0)),
    (&["ones_like", "_ones_like"], |op| shape::filled_like(op, 1.0)),
    (&["_zeros"], |op| shape::filled(op, Some(0.0))),
    (&["_ones"], |op| shape::filled(op, Some(1.0))),
    (&["_full"], |op| shape::filled(op, None)),
    (&["_arange"], shape::arange),
    (&["_contrib_arange_like"], shape::arange_like),
    (&["shape_array"], shape::shape_array),
    (&["size_array"], shape::size_array),
    (&["Reshape", "reshape"], shape::reshape),
    (&["reshape_like"], shape::reshape_like),
    (&["Flatten", "flatten"], shape::flatten),
    (&["expand_dims"], shape::expand_dims),
    (&["squeeze"], shape::squeeze),
    (&["transpose"], shape::transpose),
    (&["SwapAxis", "swapaxes"], shape::swap_axes),
    (&["broadcast_to"], shape::broadcast_to),
    (&["broadcast_axis", "broadcast_axes"], shape::broadcast_axis),
    (&["broadcast_like"], shape::broadcast_like),
    (&["depth_to_space"], |op| shape::blocks(op, "DepthToSpace")),
    (&["space_to_depth"], |op| shape::blocks(op, "SpaceToDepth")),
    (&["Concat", "concat"], join::concat),
    (&["stack"], join::stack),
    (&["tile"], join::tile),
    (&["repeat"], join::repeat),
    (&["Pad", "pad"], join::pad),
    (&["SliceChannel", "split"], slice::channels),
    (&["_split_v2"], slice::split),
    (&["slice", "crop"], slice::slice),
    (&["slice_axis"], slice::axis),
    (&["slice_like"], slice::like),
    (&["Crop"], slice::crop),
    (&["flip", "reverse"], slice::reverse),
    (&["sum", "sum_axis"], |op| reduce::reduce(op, "ReduceSum")),
    (&["mean"], |op| reduce::reduce(op, "ReduceMean")),
    (&["prod"], |op| reduce::reduce(op, "ReduceProd")),
    (&["max", "max_axis"], |op| reduce::reduce(op, "ReduceMax")),
    (&["min", "min_axis"], |op| reduce::reduce(op, "ReduceMin")),
    (&["norm"], reduce::norm),
    (&["argmax"], |op| reduce::position(op, "ArgMax")),
    (&["argmin"], |op| reduce::position(op, "ArgMin")),
    (&["argmax_channel"], |op| reduce::position(op, "ArgMax")),
    (&["topk"], sort::topk),
    (&["sort"], sort::sort),
    (&["argsort"], sort::argsort),
    (&["Embedding"], indexing::embedding),
    (&["take"], indexing::take),
    (&["pick", "batch_take"], indexing::pick),
    (&["gather_nd"], indexing::gather_nd),
    (&["one_hot"], indexing::one_hot),
    (&["UpSampling"], resize::up_sampling),
    (&["_contrib_BilinearResize2D"], resize::bilinear),
    (&["ROIPooling"], regions::pooling),
    (&["_contrib_ROIAlign"], regions::align),
    (&["_contrib_MultiBoxPrior"], detection::prior),
    (&["_contrib_MultiBoxDetection"], detection::multi_box),
    (&["_contrib_box_nms", "_contrib_box_non_maximum_suppression"], detection::box_nms),
    (&["_contrib_box_decode"], detection::box_decode),
    (&["_contrib_box_iou"], detection::box_iou),
];
