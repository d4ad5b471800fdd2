//! Places of the greatest and the least: ONNX takes the first of equals unless told otherwise,
//! rten the last.

use sedge_graph::{Graph, Node, ValueId};
use sedge_tensor::{DType, Tensor};

use super::types::cast;
use super::{dtype, fixed, rank, wrap};

pub(super) fn first(graph: &mut Graph, node: &Node) -> Option<()> {
    let (mut x, y) = (node.input(0)?, node.output(0)?);
    let axis = node.int("axis").unwrap_or(0);
    let keeps = node.int("keepdims").unwrap_or(1);
    if matches!(dtype(graph, Some(x)), Some(DType::U8 | DType::I8)) {
        x = cast(graph, x, DType::F32);
    }
    if node.int("select_last_index") == Some(1) {
        let last = graph.node(&node.op).named(&node.name).input(x);
        last.attribute("axis", axis).attribute("keepdims", keeps).output_to(y);
        return Some(());
    }
    let place = place(graph, &node.op, x, axis, keeps);
    graph.node("Identity").named(&node.name).input(place).output_to(y);
    Some(())
}

/// The first place of the extreme: the last in reverse order, counted from the end.
fn place(graph: &mut Graph, op: &str, x: ValueId, axis: i64, keeps: i64) -> ValueId {
    let reversed = graph
        .node("Slice")
        .input(x)
        .ints(&[-1])
        .ints(&[i64::MIN])
        .ints(&[axis])
        .ints(&[-1])
        .output("reversed");
    let last = graph.node(op).input(reversed).attribute("axis", axis);
    let last = last.attribute("keepdims", keeps).output("last");
    let length = length(graph, x, axis);
    let end = graph.node("Sub").input(length).constant(Tensor::scalar(1i64)).output("end");
    graph.node("Sub").input(end).input(last).output("first")
}

/// Elements along an axis, as a scalar.
fn length(graph: &mut Graph, x: ValueId, axis: i64) -> ValueId {
    let known = rank(graph, x)
        .and_then(|rank| fixed(graph.value(x).shape.as_ref()?.get(wrap(axis, rank)?)?));
    if let Some(length) = known {
        return graph.add_constant("length", Tensor::scalar(length));
    }
    let shape = graph.node("Shape").input(x).output("shape");
    graph.node("Gather").input(shape).constant(Tensor::scalar(axis)).output("length")
}

/// One at the first greatest of each row, zero elsewhere.
pub(super) fn hardmax(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let axis = node.int("axis").unwrap_or(-1);
    let place = place(graph, "ArgMax", x, axis, 0);
    let depth = length(graph, x, axis);
    let row = graph.node("OneHot").named(&node.name).input(place).input(depth);
    row.constant(Tensor::vector(vec![0f32, 1.0])).attribute("axis", axis).output_to(y);
    Some(())
}
