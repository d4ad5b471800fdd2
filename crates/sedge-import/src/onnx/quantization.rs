//! What the integers of inputs and outputs mean, which ONNX says only through the nodes beside them.

use std::collections::HashMap;

use sedge_graph::{Graph, Node, ValueId};
use sedge_tensor::Quantization;

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

/// States scale and zero point of every integer input that is dequantised first, and of every
/// output that is quantised last.
pub(super) fn state(graph: &mut Graph) {
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
