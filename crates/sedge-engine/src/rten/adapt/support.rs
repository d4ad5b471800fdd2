//! What rten computes as ONNX has it, and what is refused because it does not.

use sedge_graph::{Attribute, Graph, Node};
use sedge_tensor::DType;

use super::types::is_small;
use super::{dtype, rank};
use super::{pad, resize};
use crate::LoadError;

/// ONNX operators that rten 0.27 has (without its features for random numbers and transforms).
pub(crate) const OPERATORS: [&str; 137] = [
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Attention",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Concat",
    "ConcatFromSequence",
    "ConstantOfShape",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "Cos",
    "Cosh",
    "CumSum",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "DynamicQuantizeLinear",
    "Einsum",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "EyeLike",
    "Flatten",
    "Floor",
    "GRU",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "GridSample",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "If",
    "InstanceNormalization",
    "IsInf",
    "IsNaN",
    "LSTM",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "Loop",
    "LpNormalization",
    "MatMul",
    "MatMulInteger",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "NonZero",
    "Not",
    "OneHot",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "QuantizeLinear",
    "RMSNormalization",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Resize",
    "ReverseSequence",
    "RotaryEmbedding",
    "Round",
    "ScatterElements",
    "ScatterND",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Size",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Split",
    "SplitToSequence",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Swish",
    "Tan",
    "Tanh",
    "Tile",
    "TopK",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Where",
    "Xor",
];

/// Operators that rten has for 8-bit integers too.
const FOR_BYTES: [&str; 23] = [
    "Cast",
    "CastLike",
    "Concat",
    "ConvInteger",
    "DequantizeLinear",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "If",
    "Loop",
    "MatMulInteger",
    "Pad",
    "QuantizeLinear",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Operators that rten has for floats only, where ONNX allows integers.
const FOR_FLOATS: [&str; 8] = [
    "Einsum",
    "Gemm",
    "MatMul",
    "PRelu",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMean",
];

/// A form of an operator that is refused.
pub(crate) struct Limit {
    /// The operators it is about.
    pub(crate) operators: &'static [&'static str],
    /// What is lacking, in words.
    pub(crate) what: &'static str,
    holds: fn(&Graph, &Node) -> bool,
}

const WINDOWS: &[&str] = &["Conv", "ConvInteger", "ConvTranspose", "MaxPool", "AveragePool"];

/// The forms that are refused, each where rten fails at the first run or answers wrongly.
pub(crate) const LIMITS: &[Limit] = &[
    Limit {
        operators: WINDOWS,
        what: "windows of three and more dimensions are not supported",
        holds: |graph, node| {
            node.ints("kernel_shape").is_some_and(|kernel| kernel.len() > 2)
                || node.input(0).and_then(|x| rank(graph, x)).is_some_and(|rank| rank > 4)
        },
    },
    Limit {
        operators: WINDOWS,
        what: "the shape of its kernel is not known",
        holds: |_, node| node.ints("kernel_shape").is_none(),
    },
    Limit {
        operators: WINDOWS,
        what: "auto_pad = SAME_LOWER and output_shape need a picture of known size",
        holds: |_, node| {
            node.string("auto_pad") == Some("SAME_LOWER")
                || node.attributes.contains_key("output_shape")
        },
    },
    Limit {
        operators: &["ConvInteger"],
        what: "padding needs a picture of known size",
        holds: |_, node| {
            node.string("auto_pad") == Some("SAME_UPPER")
                || node.ints("pads").is_some_and(|pads| pads.iter().any(|&amount| amount != 0))
        },
    },
    Limit {
        operators: &["MaxPool", "AveragePool", "LpPool"],
        what: "dilated windows are not supported",
        holds: |_, node| {
            node.ints("dilations").is_some_and(|list| list.iter().any(|&step| step != 1))
        },
    },
    Limit {
        operators: &["MaxPool"],
        what: "the places of the greatest elements are not supported",
        holds: |_, node| node.outputs.len() > 1,
    },
    Limit {
        operators: &["LayerNormalization"],
        what: "mean and deviation as results are not supported",
        holds: |_, node| node.outputs.len() > 1,
    },
    Limit {
        operators: &["Resize"],
        what: "resizing other than by the nearest or linearly needs a picture of known size \
            and floats",
        holds: |graph, node| !resize::is_plain(graph, node),
    },
    Limit {
        operators: &["Resize"],
        what: "a picture without pixels cannot be resized",
        holds: |graph, node| {
            let shape = node.input(0).and_then(|id| graph.value(id).shape.as_ref());
            shape.is_some_and(|dims| dims.iter().any(|dim| dim.fixed() == Some(0)))
        },
    },
    Limit {
        operators: &["GridSample"],
        what: "only linear sampling with zeros around is supported",
        holds: |_, node| {
            !matches!(node.string("mode"), None | Some("linear" | "bilinear"))
                || !matches!(node.string("padding_mode"), None | Some("zeros"))
        },
    },
    Limit {
        operators: &["Pad"],
        what: "mirrored borders need constant pads, and axes a known number of dimensions",
        holds: |graph, node| {
            let constant = matches!(node.string("mode"), None | Some("constant"));
            node.input(3).is_some() || (!constant && !pad::is_of_last_two(graph, node))
        },
    },
    Limit {
        operators: &["LSTM", "GRU"],
        what: "lengths of sequences are not supported",
        holds: |_, node| node.input(4).is_some(),
    },
    Limit {
        operators: &["LSTM", "GRU"],
        what: "other activations than the usual, clipping and batches first are not supported",
        holds: |_, node| {
            node.float("clip").is_some_and(|clip| clip != 0.0)
                || node.int("layout") == Some(1)
                || matches!(node.attributes.get("activations"), Some(Attribute::Strings(names))
                    if !usual_activations(&node.op, names))
        },
    },
    Limit {
        operators: &["LSTM"],
        what: "peepholes and coupled gates are not supported",
        holds: |_, node| node.input(7).is_some() || node.int("input_forget") == Some(1),
    },
    Limit {
        operators: &["GRU"],
        what: "linear_before_reset = 0 is not supported",
        holds: |_, node| node.int("linear_before_reset").unwrap_or(0) == 0,
    },
    Limit {
        operators: &FOR_FLOATS,
        what: "integers are not supported",
        holds: |graph, node| matches!(dtype(graph, node.input(0)), Some(DType::I32 | DType::I64)),
    },
    Limit {
        operators: &["QuantizeLinear", "DequantizeLinear"],
        what: "blocks and 16-bit integers need constant scales and known sizes",
        holds: |graph, node| {
            let wide = |operand| {
                matches!(dtype(graph, node.input(operand)), Some(DType::I16 | DType::U16))
            };
            node.int("block_size").is_some_and(|size| size != 0) || wide(2)
        },
    },
];

fn usual_activations(op: &str, names: &[String]) -> bool {
    let usual: &[&str] =
        if op == "LSTM" { &["Sigmoid", "Tanh", "Tanh"] } else { &["Sigmoid", "Tanh"] };
    names.len().is_multiple_of(usual.len())
        && names.iter().zip(usual.iter().cycle()).all(|(name, usual)| name == usual)
}

/// Why the embedded engine refuses a node, when it does.
pub(super) fn check(graph: &Graph, node: &Node) -> Result<(), LoadError> {
    let Some(reason) = refusal(graph, node) else { return Ok(()) };
    Err(refused(graph, node, reason))
}

fn refusal(graph: &Graph, node: &Node) -> Option<&'static str> {
    if !node.domain.is_empty() || !OPERATORS.contains(&node.op.as_str()) {
        return Some("it has no such operator");
    }
    let bytes = node.inputs.iter().any(|&id| is_small(dtype(graph, id)));
    if bytes && !FOR_BYTES.contains(&node.op.as_str()) {
        return Some("8-bit integers are not supported");
    }
    let limit =
        |limit: &&Limit| limit.operators.contains(&node.op.as_str()) && (limit.holds)(graph, node);
    LIMITS.iter().find(limit).map(|limit| limit.what)
}

/// The error about a node, which says where it is.
pub(crate) fn refused(graph: &Graph, node: &Node, reason: &str) -> LoadError {
    let result = node.outputs.iter().flatten().next().map(|&id| graph.value(id).name.as_str());
    let place = match (node.name.as_str(), result) {
        ("", None) => String::new(),
        ("", Some(result)) => format!(" that makes '{result}'"),
        (name, _) => format!(" at node '{name}'"),
    };
    let operator = match node.domain.as_str() {
        "" => node.op.clone(),
        domain => format!("{domain}.{}", node.op),
    };
    LoadError::Operator { operator, place, reason: reason.to_owned() }
}
