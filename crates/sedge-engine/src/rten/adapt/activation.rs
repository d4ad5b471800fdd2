//! Functions of one element that rten lacks, or rounds off at the ends.

use sedge_graph::{Graph, Node, ValueId};
use sedge_tensor::{DType, Tensor};

use super::dtype;
use super::types::cast;

/// Definitions: the operators of the same names in the ONNX specification.
pub(super) fn rewrite(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let number = |name: &str, default: f32| node.float(name).unwrap_or(default);
    let is = |dtype_is: DType| dtype(graph, Some(x)) == Some(dtype_is);
    match node.op.as_str() {
        "Selu" => {
            // The defaults are those of the specification, in single precision.
            let (alpha, gamma) = (number("alpha", 1.673_263_2), number("gamma", 1.050_701));
            let elu = graph.node("Elu").input(x).attribute("alpha", alpha).output("elu");
            graph.node("Mul").named(&node.name).input(elu).scalar(gamma).output_to(y);
        }
        "Celu" => {
            let alpha = number("alpha", 1.0);
            let scaled = graph.node("Div").input(x).scalar(alpha).output("scaled");
            let elu = graph.node("Elu").input(scaled).attribute("alpha", 1.0f32).output("elu");
            graph.node("Mul").named(&node.name).input(elu).scalar(alpha).output_to(y);
        }
        "Mish" => {
            let softplus = softplus(graph, x);
            let tanh = graph.node("Tanh").input(softplus).output("tanh");
            graph.node("Mul").named(&node.name).input(x).input(tanh).output_to(y);
        }
        "Softplus" => {
            let softplus = softplus(graph, x);
            graph.node("Identity").named(&node.name).input(softplus).output_to(y);
        }
        "ThresholdedRelu" => {
            let alpha = number("alpha", 1.0);
            let above = graph.node("Greater").input(x).scalar(alpha).output("above");
            let choice = graph.node("Where").named(&node.name).input(above).input(x);
            choice.scalar(0.0).output_to(y);
        }
        "Shrink" => {
            let (limit, bias) = (number("lambd", 0.5), number("bias", 0.0));
            let below = graph.node("Less").input(x).scalar(-limit).output("below");
            let above = graph.node("Greater").input(x).scalar(limit).output("above");
            let raised = graph.node("Add").input(x).scalar(bias).output("raised");
            let lowered = graph.node("Sub").input(x).scalar(bias).output("lowered");
            let upper = graph.node("Where").input(above).input(lowered).scalar(0.0).output("upper");
            let choice = graph.node("Where").named(&node.name).input(below).input(raised);
            choice.input(upper).output_to(y);
        }
        // rten gives the sign bit of zero.
        "Sign" if is(DType::F32) => {
            let above = graph.node("Greater").input(x).scalar(0.0).output("above");
            let below = graph.node("Less").input(x).scalar(0.0).output("below");
            let (above, below) = (cast(graph, above, DType::F32), cast(graph, below, DType::F32));
            graph.node("Sub").named(&node.name).input(above).input(below).output_to(y);
        }
        "Relu" if is(DType::I32) => {
            let zero = Tensor::scalar(0i32);
            graph.node("Max").named(&node.name).input(x).constant(zero).output_to(y);
        }
        "IsInf" => {
            let wanted = |name: &str| node.int(name) != Some(0);
            let (op, end) = match (wanted("detect_negative"), wanted("detect_positive")) {
                (true, true) => return None,
                (false, true) => ("Equal", f32::INFINITY),
                (true, false) => ("Equal", f32::NEG_INFINITY),
                // Less than the least: never.
                (false, false) => ("Less", f32::NEG_INFINITY),
            };
            graph.node(op).named(&node.name).input(x).scalar(end).output_to(y);
        }
        _ => return None,
    }
    Some(())
}

/// `log(1 + exp(x))` as `max(x, 0) + log(1 + exp(-|x|))`, which does not overflow.
fn softplus(graph: &mut Graph, x: ValueId) -> ValueId {
    let size = graph.node("Abs").input(x).output("size");
    let falling = graph.node("Neg").input(size).output("falling");
    let rest = graph.node("Softplus").input(falling).output("rest");
    let ramp = graph.node("Relu").input(x).output("ramp");
    graph.node("Add").input(ramp).input(rest).output("softplus")
}
