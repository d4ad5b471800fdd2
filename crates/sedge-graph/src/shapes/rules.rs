//! One rule per family of operators.

use sedge_tensor::DType;

use super::Inferred;
use super::operands::Operands;
use crate::{Attribute, Dim, Graph, Node, SEDGE_DOMAIN, onnx};

/// What a node's results are, as far as its operands tell.
pub(super) fn infer(graph: &Graph, node: &Node) -> Vec<Inferred> {
    let first = Operands { graph, node };
    if node.domain == SEDGE_DOMAIN {
        return own(node, &first);
    }
    if !node.domain.is_empty() {
        return Vec::new();
    }
    let dtype = first.dtype(0);
    let one = |dtype, shape| vec![Inferred { dtype, shape }];
    match node.op.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "PRelu" | "Sum" | "Mean" | "Min"
        | "Max" => one(dtype, first.broadcast(0)),
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" => {
            one(Some(DType::Bool), first.broadcast(0))
        }
        "Where" => one(first.dtype(1), first.broadcast(0)),
        "Not" | "IsNaN" | "IsInf" => one(Some(DType::Bool), first.shape(0)),
        "Conv" => one(dtype, first.conv()),
        "ConvInteger" => one(Some(DType::I32), first.conv()),
        "ConvTranspose" => one(dtype, first.conv_transpose()),
        "MaxPool" | "AveragePool" | "LpPool" => one(dtype, first.pool()),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => {
            let ones = |mut shape: Vec<Dim>| {
                shape.iter_mut().skip(2).for_each(|dim| *dim = Dim::Fixed(1));
                shape
            };
            one(dtype, first.shape(0).map(ones))
        }
        "Gemm" => one(dtype, first.gemm()),
        "MatMul" => one(dtype, first.matmul()),
        "MatMulInteger" => one(Some(DType::I32), first.matmul()),
        "Reshape" => one(dtype, first.reshape()),
        "Flatten" => one(dtype, first.flatten()),
        "Transpose" => one(dtype, first.transpose()),
        "Squeeze" => one(dtype, first.squeeze()),
        "Unsqueeze" => one(dtype, first.unsqueeze()),
        "Concat" => one(dtype, first.concat()),
        "Split" => first.split().into_iter().map(|shape| Inferred { dtype, shape }).collect(),
        "Slice" => one(dtype, first.slice()),
        "Gather" => one(dtype, first.gather()),
        "Pad" => one(dtype, first.pad()),
        "Expand" => one(dtype, first.expand()),
        "Tile" => one(dtype, first.tile()),
        "Resize" => one(dtype, first.resize()),
        "ArgMax" | "ArgMin" => {
            one(Some(DType::I64), first.reduce_axes(&[node.int("axis").unwrap_or(0)]))
        }
        "TopK" => {
            let shape = first.top_k();
            vec![
                Inferred { dtype, shape: shape.clone() },
                Inferred { dtype: Some(DType::I64), shape },
            ]
        }
        "Cast" => one(node.int("to").and_then(onnx::dtype_of), first.shape(0)),
        "QuantizeLinear" => one(first.dtype(2).or(Some(DType::U8)), first.shape(0)),
        "DequantizeLinear" => one(first.dtype(1), first.shape(0)),
        "DynamicQuantizeLinear" => vec![
            Inferred { dtype: Some(DType::U8), shape: first.shape(0) },
            Inferred { dtype: Some(DType::F32), shape: Some(Vec::new()) },
            Inferred { dtype: Some(DType::U8), shape: Some(Vec::new()) },
        ],
        "Shape" => one(Some(DType::I64), first.shape(0).map(|shape| vec![Dim::Fixed(shape.len())])),
        "Size" => one(Some(DType::I64), Some(Vec::new())),
        "ConstantOfShape" => one(first.fill_dtype(), first.dims_of_constant(0)),
        "NonMaxSuppression" => one(Some(DType::I64), Some(vec![Dim::Unknown, Dim::Fixed(3)])),
        "NonZero" => {
            let rank = first.shape(0).map_or(Dim::Unknown, |shape| Dim::Fixed(shape.len()));
            one(Some(DType::I64), Some(vec![rank, Dim::Unknown]))
        }
        "DepthToSpace" => one(dtype, first.blocks(true)),
        "SpaceToDepth" => one(dtype, first.blocks(false)),
        "GatherElements" => one(dtype, first.shape(1)),
        "CastLike" => one(first.dtype(1), first.shape(0)),
        "OneHot" => one(first.dtype(2), None),
        "MaxRoiPool" => one(dtype, first.regions()),
        "Einsum" => one(dtype, first.einsum()),
        "GatherND" | "Range" | "GridSample" | "RoiAlign" | "Compress" => one(dtype, None),
        "LSTM" | "GRU" | "RNN" => {
            node.outputs.iter().map(|_| Inferred { dtype, shape: None }).collect()
        }
        "If" => branch(node),
        op if op.starts_with("Reduce") => one(dtype, first.reduce()),
        op if SAME_AS_FIRST.contains(&op) => one(dtype, first.shape(0)),
        _ => Vec::new(),
    }
}

/// Operators whose first result looks like their first operand.
const SAME_AS_FIRST: [&str; 54] = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "Hardmax",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "LRN",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "ReverseSequence",
    "RMSNormalization",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
];

/// The element types of a condition's results, which both branches agree on.
fn branch(node: &Node) -> Vec<Inferred> {
    let Some(Attribute::Graph(body)) = node.attributes.get("then_branch") else {
        return Vec::new();
    };
    let result = |&id| Inferred { dtype: body.value(id).dtype, shape: None };
    body.outputs.iter().map(result).collect()
}

/// Sedge's own operators.
fn own(node: &Node, operands: &Operands<'_>) -> Vec<Inferred> {
    let float = |shape| vec![Inferred { dtype: Some(DType::F32), shape }];
    match node.op.as_str() {
        "DetectionPostProcess" => detection_post_process(node),
        "BoxNms" => float(operands.shape(0)),
        crate::passes::CHOOSE => {
            vec![Inferred { dtype: operands.dtype(1), shape: operands.either(1, 2) }]
        }
        "MultiBoxDetection" => float(operands.shape(0).and_then(|shape| match shape.as_slice() {
            [batch, _, rows] => Some(vec![batch.clone(), rows.clone(), Dim::Fixed(6)]),
            _ => None,
        })),
        _ => Vec::new(),
    }
}

fn detection_post_process(node: &Node) -> Vec<Inferred> {
    let rows = node.int("max_detections").and_then(|n| usize::try_from(n).ok());
    let rows = rows.map_or(Dim::Unknown, Dim::Fixed);
    let one = Dim::Fixed(1);
    let float = |shape| Inferred { dtype: Some(DType::F32), shape: Some(shape) };
    vec![
        float(vec![one.clone(), rows.clone(), Dim::Fixed(4)]),
        float(vec![one.clone(), rows.clone()]),
        float(vec![one.clone(), rows]),
        float(vec![one]),
    ]
}
