//! Fused integer operators in float between dequantise and quantise.
//!
//! Definitions: `QLinearConv` and `QLinearMatMul` of ONNX, and the contributed operators of
//! onnxruntime (`docs/ContribOperators.md`, domain `com.microsoft`).

use sedge_tensor::Tensor;

use crate::{Graph, Node, ValueId};

/// The operators that [`super::expand`] knows.
pub const FUSED_INTEGERS: [&str; 12] = [
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QLinearWhere",
];

pub(super) fn expand(graph: &mut Graph, node: &Node) -> Option<()> {
    match node.op.as_str() {
        "QLinearConv" => conv(graph, node),
        "QLinearMatMul" => {
            let a = dequantize(graph, node, 0)?;
            let b = dequantize(graph, node, 3)?;
            let y = graph.node("MatMul").named(&node.name).input(a).input(b).output("product");
            quantize(graph, node, y, 6)
        }
        "QLinearAdd" | "QLinearMul" => {
            let a = dequantize(graph, node, 0)?;
            let b = dequantize(graph, node, 3)?;
            let y =
                graph.node(&node.op[7..]).named(&node.name).input(a).input(b).output("combined");
            quantize(graph, node, y, 6)
        }
        "QLinearConcat" => concat(graph, node),
        "QLinearWhere" => {
            let (a, b) = (dequantize(graph, node, 1)?, dequantize(graph, node, 4)?);
            let choice = graph.node("Where").named(&node.name).input(node.input(0)?);
            let y = choice.input(a).input(b).output("chosen");
            quantize(graph, node, y, 7)
        }
        "QGemm" => gemm(graph, node),
        "QLinearSigmoid"
        | "QLinearLeakyRelu"
        | "QLinearSoftmax"
        | "QLinearGlobalAveragePool"
        | "QLinearAveragePool" => {
            // Channels last is an onnxruntime-internal spelling; exporters do not write it.
            if node.int("channels_last") == Some(1) {
                return None;
            }
            let x = dequantize(graph, node, 0)?;
            let mut inner = graph.node(&node.op[7..]).named(&node.name).input(x);
            for (name, value) in &node.attributes {
                if !matches!(name.as_str(), "channels_last" | "opset") {
                    inner = inner.attribute(name, value.clone());
                }
            }
            let y = inner.output("result");
            quantize(graph, node, y, 3)
        }
        _ => None,
    }
}

/// `DequantizeLinear` over the operand triple (value, scale, zero point) at `index`.
fn dequantize(graph: &mut Graph, node: &Node, index: usize) -> Option<ValueId> {
    let (value, scale) = (node.input(index)?, node.input(index + 1)?);
    let zero = node.input(index + 2);
    Some(graph.node("DequantizeLinear").input(value).input(scale).optional(zero).output("real"))
}

/// `QuantizeLinear` with the (scale, zero point) pair at `index`, into the node's result.
fn quantize(graph: &mut Graph, node: &Node, real: ValueId, index: usize) -> Option<()> {
    let (scale, zero, output) = (node.input(index)?, node.input(index + 1), node.output(0)?);
    graph.node("QuantizeLinear").input(real).input(scale).optional(zero).output_to(output);
    Some(())
}

fn conv(graph: &mut Graph, node: &Node) -> Option<()> {
    let x = dequantize(graph, node, 0)?;
    let (weight, scale) = (node.input(3)?, node.input(4)?);
    let per_channel = |node: crate::NodeBuilder<'_>| node.attribute("axis", 0).output("real");
    let w = per_channel(
        graph.node("DequantizeLinear").input(weight).input(scale).optional(node.input(5)),
    );
    let mut inner = vec![Some(x), Some(w)];
    if let Some(bias) = node.input(8) {
        inner.push(Some(dequantize_bias(graph, node, bias, scale)?));
    }
    let mut conv = graph.node("Conv").named(&node.name);
    for operand in inner {
        conv = conv.optional(operand);
    }
    for (name, value) in &node.attributes {
        conv = conv.attribute(name, value.clone());
    }
    let y = conv.output("convolved");
    quantize(graph, node, y, 6)
}

/// A bias, which counts steps of input scale times weight scale.
fn dequantize_bias(
    graph: &mut Graph,
    node: &Node,
    bias: ValueId,
    scale: ValueId,
) -> Option<ValueId> {
    let product = match (graph.constant(node.input(1)), graph.constant(Some(scale))) {
        (Some(a), Some(b)) => {
            let (a, b) = (a.to_f32()?, b.to_f32()?);
            let step = b.iter().map(|b| a.first().map(|a| a * b)).collect::<Option<Vec<f32>>>()?;
            let step = if step.len() == 1 { Tensor::scalar(step[0]) } else { Tensor::vector(step) };
            graph.add_constant("bias_scale", step)
        }
        _ => graph.node("Mul").input(node.input(1)?).input(scale).output("bias_scale"),
    };
    let real = graph.node("DequantizeLinear").input(bias).input(product);
    Some(real.attribute("axis", 0).output("real"))
}

/// Operands: two triples, a bias or none, and the result's pair, without which it is real.
fn gemm(graph: &mut Graph, node: &Node) -> Option<()> {
    let turned = node.int("transB") == Some(1);
    let a = dequantize(graph, node, 0)?;
    let (weight, scale) = (node.input(3)?, node.input(4)?);
    let b = graph.node("DequantizeLinear").input(weight).input(scale).optional(node.input(5));
    let b = b.attribute("axis", i64::from(!turned)).output("real");
    let bias = match node.input(6) {
        Some(bias) => Some(dequantize_bias(graph, node, bias, scale)?),
        None => None,
    };
    let mut inner = graph.node("Gemm").named(&node.name).input(a).input(b).optional(bias);
    for name in ["transA", "transB"] {
        if let Some(turned) = node.int(name) {
            inner = inner.attribute(name, turned);
        }
    }
    // The bias counts steps that alpha scales too.
    if let Some(alpha) = node.float("alpha").filter(|&alpha| alpha != 1.0) {
        inner = inner.attribute("alpha", alpha).attribute("beta", alpha);
    }
    if node.input(7).is_none() {
        inner.output_to(node.output(0)?);
        return Some(());
    }
    let y = inner.output("product");
    quantize(graph, node, y, 7)
}

/// Operands: result scale, result zero point, then triples.
fn concat(graph: &mut Graph, node: &Node) -> Option<()> {
    let (triples, rest) = node.inputs.get(2..)?.as_chunks::<3>();
    if !rest.is_empty() {
        return None;
    }
    let parts: Vec<ValueId> =
        (0..triples.len()).map(|i| dequantize(graph, node, 2 + 3 * i)).collect::<Option<_>>()?;
    let mut joined = graph.node("Concat").named(&node.name).attribute("axis", node.int("axis")?);
    for part in parts {
        joined = joined.input(part);
    }
    let y = joined.output("joined");
    quantize(graph, node, y, 0)
}
