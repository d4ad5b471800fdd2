//! What the integers of inputs and outputs mean, which ONNX says only through the nodes beside them.

use std::collections::HashMap;

use sedge_graph::{Graph, Node, ValueId};
use sedge_tensor::{DType, Quantization};

/// Operators that hand integers on as they are.
const CARRIERS: [&str; 8] = [
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Identity",
    "MaxPool",
    "GlobalMaxPool",
];

/// Metadata key, with the name of an input or output behind it, under which a file that Sedge
/// converted says scale and zero point where no node does: integers that are spelled out.
pub const QUANTIZATION: &str = "sedge.quantization.";

/// The text of one scale and zero point.
pub fn quantization_text(quantization: &Quantization) -> Option<String> {
    match (quantization.scale.as_slice(), quantization.zero_point.as_slice()) {
        (&[scale], &[zero]) => Some(format!("{scale} {zero}")),
        _ => None,
    }
}

fn stated(text: &str) -> Option<Quantization> {
    let (scale, zero) = text.split_once(' ')?;
    let (scale, zero): (f32, i64) = (scale.parse().ok()?, zero.parse().ok()?);
    let sound = scale.is_finite() && scale > 0.0 && i32::try_from(zero).is_ok();
    sound.then(|| Quantization { scale: vec![scale], zero_point: vec![zero], axis: 0 })
}

/// States scale and zero point of every integer input that is dequantised first, of every output
/// that is quantised last, and of those that the metadata names.
pub(super) fn state(graph: &mut Graph) {
    let of_metadata = |&id: &ValueId| {
        let value = graph.value(id);
        let integer = value.dtype.is_some_and(DType::is_integer);
        let text = graph.metadata.get(&format!("{QUANTIZATION}{}", value.name))?;
        integer.then(|| Some((id, stated(text)?)))?
    };
    let named = graph.inputs.iter().chain(&graph.outputs).filter_map(of_metadata);
    for (id, quantization) in named.collect::<Vec<_>>() {
        graph.value_mut(id).quantization = Some(quantization);
    }
    graph.metadata.retain(|key, _| !key.starts_with(QUANTIZATION));
    let (producers, consumers) = (graph.producers(), graph.consumers());
    let output = |&id: &ValueId| Some((id, of_output(graph, &producers, id)?));
    let input = |&id: &ValueId| Some((id, of_input(graph, &consumers, id)?));
    let mut found: Vec<_> = graph.outputs.iter().filter_map(output).collect();
    found.extend(graph.inputs.iter().filter_map(input));
    for (id, quantization) in found {
        graph.value_mut(id).quantization.get_or_insert(quantization);
    }
}

fn of_output(
    graph: &Graph,
    producers: &HashMap<ValueId, usize>,
    mut id: ValueId,
) -> Option<Quantization> {
    // No longer than the graph, should it carry in a circle.
    for _ in 0..graph.nodes.len() {
        let node = graph.nodes.get(*producers.get(&id)?)?;
        if !CARRIERS.contains(&node.op.as_str()) {
            return parameters(graph, node, result_scale(&node.op)?);
        }
        id = node.input(0)?;
    }
    None
}

/// Which operand is the scale of the result, the zero point being the next one.
fn result_scale(op: &str) -> Option<usize> {
    Some(match op {
        "QuantizeLinear" => 1,
        "QLinearConcat" => 0,
        "QLinearConv" | "QLinearMatMul" | "QLinearAdd" | "QLinearMul" => 6,
        "QGemm" | "QLinearWhere" => 7,
        "QLinearSigmoid"
        | "QLinearLeakyRelu"
        | "QLinearSoftmax"
        | "QLinearAveragePool"
        | "QLinearGlobalAveragePool" => 3,
        _ => return None,
    })
}

fn of_input(
    graph: &Graph,
    consumers: &HashMap<ValueId, Vec<(usize, usize)>>,
    id: ValueId,
) -> Option<Quantization> {
    let &(node, operand) = consumers.get(&id)?.first()?;
    let node = &graph.nodes[node];
    let scale = match node.op.as_str() {
        "DequantizeLinear" | "QLinearConv" | "QLinearMatMul" if operand == 0 => 1,
        _ => return None,
    };
    parameters(graph, node, scale)
}

/// One scale and one zero point, both constant.
fn parameters(graph: &Graph, node: &Node, scale: usize) -> Option<Quantization> {
    let constant = |index| graph.constant(node.input(index)).filter(|tensor| tensor.len() == 1);
    let zero_point = match node.input(scale + 1) {
        Some(_) => constant(scale + 1)?.to_i64()?,
        None => vec![0],
    };
    let scale = constant(scale)?.to_f32()?.into_owned();
    Some(Quantization { scale, zero_point, axis: 0 })
}

#[cfg(test)]
mod tests {
    use sedge_graph::Value;
    use sedge_tensor::Tensor;

    use super::*;

    #[test]
    fn integers_mean_what_the_nodes_beside_them_say() {
        let mut graph = Graph::new("g");
        let x = graph.add_value(Value { name: "x".into(), ..Value::default() });
        graph.inputs.push(x);
        let real = graph
            .node("DequantizeLinear")
            .input(x)
            .scalar(0.5)
            .constant(Tensor::scalar(128u8))
            .output("real");
        let stored = graph.node("QuantizeLinear").input(real).scalar(0.25).output("stored");
        let y = graph.node("Reshape").input(stored).ints(&[-1]).output("y");
        let z = graph.node("Relu").input(real).output("z");
        graph.outputs.extend([y, z]);
        state(&mut graph);
        let of = |id| graph.value(id).quantization.as_ref().map(|q| (q.scale[0], q.zero_point[0]));
        assert_eq!([of(x), of(y), of(z)], [Some((0.5, 128)), Some((0.25, 0)), None]);
    }
}
