//! Rewrites a graph for what rten 0.27 lacks or computes otherwise than ONNX, each into operators
//! and types that it has; refuses by name what cannot be rewritten.
//!
//! Element types: it computes in `f32`, `i32`, `i8` and `u8`. Other floats become `f32`, other
//! integers and booleans `i32`; what a request brings and wants is converted at the border.

mod activation;
mod argument;
mod contributed;
mod integers;
mod normalize;
mod pad;
mod resize;
mod support;
mod types;
mod windows;

use std::collections::HashSet;

use sedge_graph::{Attribute, Dim, Graph, Node, ValueId, shapes};
use sedge_tensor::{DType, Tensor};

use crate::LoadError;

#[cfg(feature = "native")]
pub(crate) use support::{LIMITS, OPERATORS};

/// Operators that are written in others because rten has nothing of that name.
#[cfg(feature = "native")]
pub(crate) const REWRITTEN: [&str; 16] = [
    "BiasGelu",
    "Celu",
    "FusedConv",
    "Gelu",
    "GlobalLpPool",
    "GroupNormalization",
    "Hardmax",
    "LRN",
    "LpPool",
    "MeanVarianceNormalization",
    "Mish",
    "QuickGelu",
    "Selu",
    "Shrink",
    "SpaceToDepth",
    "ThresholdedRelu",
];

/// Elements of a constant that a body gets its own copy of.
const MOST_COPIED: usize = 16;

/// The graph in rten's operators and types.
pub(super) fn adapt(graph: &mut Graph) -> Result<(), LoadError> {
    rewrite_each(graph, contributed::rewrite);
    adapt_types_and_nodes(graph)
}

fn adapt_types_and_nodes(graph: &mut Graph) -> Result<(), LoadError> {
    shapes::infer(graph);
    rewrite_each(graph, types::rewrite_quantization);
    types::narrow(graph);
    let mut read: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    read.extend(graph.consumers().into_keys());
    for mut node in std::mem::take(&mut graph.nodes) {
        adapt_bodies(graph, &mut node)?;
        let (before, node_name) = (graph.nodes.len(), node.name.clone());
        if node.domain.is_empty() {
            drop_unread_results(&read, &mut node);
            windows::spell_out(graph, &mut node);
            spell_out(graph, &mut node);
        }
        if !node.domain.is_empty() || rewrite(graph, &node).is_none() {
            graph.nodes.push(node);
        }
        graph.nodes[before..].iter().try_for_each(|node| support::check(graph, node))?;
        name_all(graph, before, &node_name);
    }
    Ok(())
}

/// Lets a rule replace nodes; one that answers `None` has added nothing.
fn rewrite_each(graph: &mut Graph, rule: fn(&mut Graph, &Node) -> Option<()>) {
    for node in std::mem::take(&mut graph.nodes) {
        if rule(graph, &node).is_none() {
            graph.nodes.push(node);
        }
    }
}

/// Writes the node in other operators; `None` when rten takes it as it is, or not at all.
fn rewrite(graph: &mut Graph, node: &Node) -> Option<()> {
    match node.op.as_str() {
        "Cast" => types::to_bool(graph, node),
        "ArgMax" | "ArgMin" => argument::first(graph, node),
        "Hardmax" => argument::hardmax(graph, node),
        "ConvInteger" => integers::convolution(graph, node),
        "MatMulInteger" => integers::product(graph, node),
        "LRN" => normalize::local_response(graph, node),
        "GroupNormalization" => normalize::groups(graph, node),
        "MeanVarianceNormalization" => normalize::mean_variance(graph, node),
        "LpPool" => normalize::power_pool(graph, node),
        "GlobalLpPool" => normalize::global_power_pool(graph, node),
        "SpaceToDepth" => windows::space_to_depth(graph, node),
        "Pad" => pad::mirror(graph, node),
        "Resize" => resize::by_matrices(graph, node).or_else(|| types::through_wider(graph, node)),
        "MatMul" => vector_product(graph, node),
        op if op.starts_with("Reduce") && node.int("noop_with_empty_axes") == Some(1) => {
            reduce_nothing(graph, node).or_else(|| types::through_wider(graph, node))
        }
        _ => activation::rewrite(graph, node).or_else(|| types::through_wider(graph, node)),
    }
}

/// Writes down what ONNX lets a node leave to be inferred and rten does not infer.
fn spell_out(graph: &mut Graph, node: &mut Node) {
    let _ = match node.op.as_str() {
        "Pad" => pad::all_axes(graph, node),
        "Resize" => resize::all_axes(graph, node),
        // ONNX's default; rten has another.
        "QuantizeLinear" | "DequantizeLinear" => {
            node.attributes.entry("axis".into()).or_insert(Attribute::Int(1));
            integers::scalar_parameters(graph, node)
        }
        "ConvInteger" | "MatMulInteger" => integers::scalar_zeros(graph, node),
        "Slice" if node.input(3).is_none() => slice_axes(graph, node),
        "Pow" => float_exponent(graph, node),
        "LSTM" | "GRU" => drop_full_lengths(graph, node),
        _ => None,
    };
}

/// Names the nodes that came of one, for messages at run time.
fn name_all(graph: &mut Graph, from: usize, name: &str) {
    for index in from..graph.nodes.len() {
        let node = &graph.nodes[index];
        if node.name.is_empty() {
            let result = node.output(0).map(|id| graph.value(id).name.clone());
            let name = if name.is_empty() { result.unwrap_or_default() } else { name.to_owned() };
            graph.nodes[index].name = name;
        }
    }
}

/// Results that nothing reads are not asked for.
fn drop_unread_results(read: &HashSet<ValueId>, node: &mut Node) {
    let optional = matches!(node.op.as_str(), "MaxPool" | "LayerNormalization");
    if optional && !node.outputs.iter().skip(1).flatten().any(|id| read.contains(id)) {
        node.outputs.truncate(1);
    }
}

/// Bodies of control flow, with what they see of the graph around them.
fn adapt_bodies(graph: &Graph, node: &mut Node) -> Result<(), LoadError> {
    for attribute in node.attributes.values_mut() {
        let Attribute::Graph(body) = attribute else { continue };
        let made: HashSet<ValueId> =
            body.nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()).collect();
        let seen: Vec<(ValueId, ValueId)> = body
            .values()
            .filter(|(id, value)| {
                value.constant.is_none() && !made.contains(id) && !body.inputs.contains(id)
            })
            .filter_map(|(id, value)| Some((id, graph.find(&value.name)?)))
            .collect();
        for (inner, outer) in seen {
            let outer = graph.value(outer);
            let value = body.value_mut(inner);
            (value.dtype, value.shape) = (outer.dtype, outer.shape.clone());
            // Sizes, scales and the like are read by the rewrites.
            let small = |tensor: &&Tensor| tensor.len() <= MOST_COPIED;
            value.constant = outer.constant.as_ref().filter(small).cloned();
        }
        rewrite_each(body, contributed::rewrite);
        adapt_types_and_nodes(body)?;
    }
    Ok(())
}

fn slice_axes(graph: &mut Graph, node: &mut Node) -> Option<()> {
    let count = graph.value(node.input(1)?).fixed_shape()?.first().copied()?;
    let axes: Vec<i64> = (0..count as i64).collect();
    let axes = graph.add_constant("slice_axes", Tensor::vector(axes));
    node.inputs.resize(node.inputs.len().max(4), None);
    node.inputs[3] = Some(axes);
    Some(())
}

/// rten raises floats to floats and integers to integers only.
fn float_exponent(graph: &mut Graph, node: &mut Node) -> Option<()> {
    let exponent = node.input(1)?;
    let is_float = dtype(graph, node.input(0)) == Some(DType::F32);
    if is_float && dtype(graph, Some(exponent)) != Some(DType::F32) {
        node.inputs[1] = Some(types::cast(graph, exponent, DType::F32));
    }
    Some(())
}

/// rten runs every sequence to its end; lengths that say so are left out.
fn drop_full_lengths(graph: &Graph, node: &mut Node) -> Option<()> {
    let lengths = graph.constant_ints(node.input(4))?;
    let steps = graph.value(node.input(0)?).shape.as_ref()?.first()?.fixed()?;
    if lengths.iter().all(|&length| usize::try_from(length) == Ok(steps)) {
        node.inputs[4] = None;
    }
    Some(())
}

/// A matrix times a vector; rten keeps the axis that ONNX drops.
fn vector_product(graph: &mut Graph, node: &Node) -> Option<()> {
    let (a, b, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
    if rank(graph, b)? != 1 || rank(graph, a)? < 2 {
        return None;
    }
    let column = graph.node("Unsqueeze").input(b).ints(&[1]).output("column");
    let product = graph.node("MatMul").named(&node.name).input(a).input(column).output("product");
    graph.node("Squeeze").input(product).ints(&[-1]).output_to(y);
    Some(())
}

/// A reduction over no axes is its function of each element.
fn reduce_nothing(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    if node.input(1).is_some() && !graph.constant_ints(node.input(1))?.is_empty() {
        return None;
    }
    let node = match node.op.as_str() {
        "ReduceL1" | "ReduceL2" => graph.node("Abs").input(x),
        "ReduceLogSum" => graph.node("Log").input(x),
        "ReduceSumSquare" => graph.node("Mul").input(x).input(x),
        _ => graph.node("Identity").input(x),
    };
    node.output_to(y);
    Some(())
}

fn dtype(graph: &Graph, id: Option<ValueId>) -> Option<DType> {
    graph.value(id?).dtype
}

fn rank(graph: &Graph, id: ValueId) -> Option<usize> {
    Some(graph.value(id).shape.as_ref()?.len())
}

fn fixed(dim: &Dim) -> Option<i64> {
    dim.fixed().map(|n| n as i64)
}

/// An axis counted from the front.
fn wrap(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}
