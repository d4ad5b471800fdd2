//! Operators of the domain `com.microsoft` that onnxruntime's optimiser writes, in ONNX's own.
//!
//! Definitions: onnxruntime, `docs/ContribOperators.md`.

use sedge_graph::{Attribute, Graph, Node};

pub(super) fn rewrite(graph: &mut Graph, node: &Node) -> Option<()> {
    if node.domain != "com.microsoft" {
        return None;
    }
    let (x, y) = (node.input(0)?, node.output(0)?);
    match node.op.as_str() {
        "Gelu" => graph.node("Gelu").named(&node.name).input(x).output_to(y),
        "BiasGelu" => {
            let sum = graph.node("Add").input(x).input(node.input(1)?).output("sum");
            graph.node("Gelu").named(&node.name).input(sum).output_to(y);
        }
        "QuickGelu" => {
            let alpha = node.float("alpha").unwrap_or(1.702);
            let scaled = graph.node("Mul").input(x).scalar(alpha).output("scaled");
            let gate = graph.node("Sigmoid").input(scaled).output("gate");
            graph.node("Mul").named(&node.name).input(x).input(gate).output_to(y);
        }
        "FusedConv" => return fused_convolution(graph, node),
        _ => return None,
    }
    Some(())
}

fn fused_convolution(graph: &mut Graph, node: &Node) -> Option<()> {
    let y = node.output(0)?;
    let activation = node.string("activation").unwrap_or_default().to_owned();
    let parameters: &[f32] = match node.attributes.get("activation_params") {
        Some(Attribute::Floats(parameters)) => parameters,
        _ => &[],
    };
    // A fourth operand is added before the activation; nobody but the optimiser writes it.
    if node.inputs.len() > 3 {
        return None;
    }
    let names: &[&str] = match activation.as_str() {
        "" | "Relu" | "Sigmoid" | "Tanh" => &[],
        "LeakyRelu" => &["alpha"],
        "HardSigmoid" => &["alpha", "beta"],
        "Clip" if parameters.len() == 2 => &[],
        _ => return None,
    };
    let mut convolution = graph.node("Conv").named(&node.name);
    for &operand in &node.inputs {
        convolution = convolution.optional(operand);
    }
    for (name, value) in &node.attributes {
        if !name.starts_with("activation") {
            convolution = convolution.attribute(name, value.clone());
        }
    }
    if activation.is_empty() {
        convolution.output_to(y);
        return Some(());
    }
    let convolved = convolution.output("convolved");
    let mut after = graph.node(&activation).input(convolved);
    for (name, &value) in names.iter().zip(parameters) {
        after = after.attribute(name, value);
    }
    if activation == "Clip" {
        after = after.scalar(parameters[0]).scalar(parameters[1]);
    }
    after.output_to(y);
    Some(())
}
