//! Moves bytes instead of floats: pushes DequantizeLinear below operators that only move elements,
//! and takes out quantise nodes that undo a dequantise.
//!
//! Exporters put a pair around every operator, and the layout pass leaves transposes between
//! dequantise and operator. Afterwards every operator that computes has its dequantise nodes right
//! before it.

use std::collections::HashMap;

use sedge_graph::{Graph, Node, ValueId, passes};

use super::affine;

/// A real value as the dequantisation of bytes, by a node's parameters.
#[derive(Clone)]
struct View {
    bytes: ValueId,
    dequantize: Node,
}

/// Rewrites a sorted graph whose element types and shapes are inferred.
pub(crate) fn sink_dequantize(graph: &mut Graph) {
    let mut views: HashMap<ValueId, View> = HashMap::new();
    for node in std::mem::take(&mut graph.nodes) {
        if node.is("DequantizeLinear") && affine::of_node(graph, &node).is_some() {
            if let (Some(bytes), Some(real)) = (node.input(0), node.output(0)) {
                views.insert(real, View { bytes, dequantize: node.clone() });
            }
            graph.nodes.push(node);
        } else if let Some(bytes) = undone(graph, &node, &views) {
            graph.nodes.push(Node {
                op: "Identity".into(),
                inputs: vec![Some(bytes)],
                outputs: node.outputs,
                ..Node::default()
            });
        } else if let Some((moved, view, real)) = moved(graph, &node, &views) {
            graph.nodes.push(moved);
            let dequantize = Node {
                inputs: std::iter::once(Some(view.bytes))
                    .chain(view.dequantize.inputs[1..].iter().copied())
                    .collect(),
                outputs: vec![Some(real)],
                ..view.dequantize.clone()
            };
            graph.nodes.push(dequantize.clone());
            views.insert(real, View { bytes: view.bytes, dequantize });
        } else {
            graph.nodes.push(node);
        }
    }
    passes::clean(graph);
}

/// The bytes that a quantise node restores unchanged.
fn undone(graph: &Graph, node: &Node, views: &HashMap<ValueId, View>) -> Option<ValueId> {
    if !node.is("QuantizeLinear") {
        return None;
    }
    let view = views.get(&node.input(0)?)?;
    let same = affine::of_node(graph, node)? == affine::of_node(graph, &view.dequantize)?;
    same.then_some(view.bytes)
}

/// The node moved before the dequantisation of its operands.
fn moved(
    graph: &mut Graph,
    node: &Node,
    views: &HashMap<ValueId, View>,
) -> Option<(Node, View, ValueId)> {
    let one = matches!(
        node.op.as_str(),
        "Transpose" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Identity" | "MaxPool"
    );
    let all = node.op == "Concat";
    if !node.domain.is_empty() || !(one || all) || node.outputs.len() != 1 {
        return None;
    }
    let first = views.get(&node.input(0)?)?.clone();
    let meaning = affine::of_node(graph, &first.dequantize)?;
    let mut inputs = node.inputs.clone();
    let operands = if all { inputs.len() } else { 1 };
    for input in &mut inputs[..operands] {
        let view = views.get(input.as_ref()?)?;
        if affine::of_node(graph, &view.dequantize)? != meaning {
            return None;
        }
        *input = Some(view.bytes);
    }
    let real = node.output(0)?;
    let was = graph.value(real).clone();
    let bytes = graph.add_value(sedge_graph::Value {
        name: format!("{}/bytes", was.name),
        dtype: graph.value(first.bytes).dtype,
        shape: was.shape,
        ..Default::default()
    });
    let moved = Node { inputs, outputs: vec![Some(bytes)], ..node.clone() };
    Some((moved, View { bytes, ..first }, real))
}
