//! Integer products and convolutions where rten loses the zero points.

use sedge_graph::{Graph, Node, Value, ValueId};
use sedge_tensor::{DType, Tensor};

use super::{dtype, rank};

/// Pictures of one request that are convolved one by one.
const MOST_PICTURES: usize = 1 << 10;

/// Padding of an integer convolution counts as the zero point; rten pads with another number. Of
/// several pictures it convolves only the first rightly.
pub(super) fn convolution(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let pads = node.ints("pads").unwrap_or_default();
    let axes = rank(graph, x)?.checked_sub(2)?;
    let shape = graph.value(x).fixed_shape();
    let pictures = shape.and_then(|shape| shape.first().copied()).unwrap_or(1);
    let is_padded = pads.iter().any(|&amount| amount != 0) && pads.len() == 2 * axes;
    if !is_padded && !(2..=MOST_PICTURES).contains(&pictures) {
        return None;
    }
    let mut inner = node.clone();
    if is_padded {
        inner.inputs[0] = Some(padded(graph, node, x, pads)?);
        inner.attributes.insert("pads".into(), vec![0i64; 2 * axes].into());
    }
    if !(2..=MOST_PICTURES).contains(&pictures) {
        inner.outputs = vec![Some(y)];
        graph.nodes.push(inner);
        return Some(());
    }
    let mut parts = Vec::new();
    for picture in 0..pictures as i64 {
        let slice = graph.node("Slice").input(inner.inputs[0]?);
        let slice = slice.ints(&[picture]).ints(&[picture + 1]).ints(&[0]).output("picture");
        let sums = Value { name: "sums".into(), dtype: Some(DType::I32), ..Value::default() };
        let sums = graph.add_value(sums);
        let mut one = Node { outputs: vec![Some(sums)], ..inner.clone() };
        one.inputs[0] = Some(slice);
        graph.nodes.push(one);
        parts.push(sums);
    }
    let mut joined = graph.node("Concat").attribute("axis", 0i64);
    for part in parts {
        joined = joined.input(part);
    }
    joined.output_to(y);
    Some(())
}

/// The input with its padding written out.
fn padded(graph: &mut Graph, node: &Node, x: ValueId, pads: &[i64]) -> Option<ValueId> {
    let zero = match node.input(2) {
        Some(zero) => zero,
        None => {
            let zero = match dtype(graph, Some(x))? {
                DType::I8 => Tensor::scalar(0i8),
                _ => Tensor::scalar(0u8),
            };
            graph.add_constant("zero", zero)
        }
    };
    let (before, after) = pads.split_at(pads.len() / 2);
    let all: Vec<i64> = [&[0, 0], before, &[0, 0], after].concat();
    Some(graph.node("Pad").input(x).ints(&all).input(zero).output("padded"))
}

/// Zero points of one element are scalars; rten takes a vector for one element each.
pub(super) fn scalar_zeros(graph: &mut Graph, node: &mut Node) -> Option<()> {
    scalars(graph, node, [2, 3])
}

/// The same for the scale and zero point of a quantisation.
pub(super) fn scalar_parameters(graph: &mut Graph, node: &mut Node) -> Option<()> {
    scalars(graph, node, [1, 2])
}

fn scalars(graph: &mut Graph, node: &mut Node, operands: [usize; 2]) -> Option<()> {
    for operand in operands {
        let Some(value) = node.input(operand) else { continue };
        if graph.value(value).fixed_shape().is_some_and(|shape| shape == [1]) {
            node.inputs[operand] = Some(scalar(graph, value));
        }
    }
    Some(())
}

fn scalar(graph: &mut Graph, zero: ValueId) -> ValueId {
    match graph.constant(Some(zero)).cloned() {
        Some(tensor) if tensor.len() == 1 => match tensor.reshaped(Vec::new()) {
            Ok(tensor) => graph.add_constant("zero", tensor),
            Err(_) => zero,
        },
        _ => {
            let dtype = graph.value(zero).dtype;
            let scalar = graph.node("Reshape").input(zero).ints(&[]).output("scalar");
            let value = graph.value_mut(scalar);
            (value.dtype, value.shape) = (dtype, Some(Vec::new()));
            scalar
        }
    }
}

/// rten forgets the zero point of signed constant weights; unsigned ones, 128 higher, keep theirs.
pub(super) fn product(graph: &mut Graph, node: &Node) -> Option<()> {
    let y = node.output(0)?;
    let raised = |operand: usize| -> Option<Tensor> {
        let tensor = graph.constant(node.input(operand))?;
        let bytes: Vec<u8> =
            tensor.view::<i8>().ok()?.iter().map(|&byte| (byte as u8) ^ 0x80).collect();
        Tensor::new(tensor.shape(), bytes).ok()
    };
    let zero = graph.constant(node.input(3))?;
    if zero.dtype() != DType::I8 || zero.bytes().iter().all(|&byte| byte == 0) {
        return None;
    }
    let (weights, zero) = (raised(1)?, raised(3)?);
    let inner = graph.node("MatMulInteger").named(&node.name).input(node.input(0)?);
    inner.constant(weights).optional(node.input(2)).constant(zero).output_to(y);
    Some(())
}
