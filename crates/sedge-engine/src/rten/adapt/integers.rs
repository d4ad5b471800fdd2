//! Integer products and convolutions where rten loses the zero points.

use sedge_graph::{Graph, Node, ValueId};
use sedge_tensor::{DType, Tensor};

use super::{dtype, rank};

/// Padding of an integer convolution counts as the zero point; rten pads with another number.
pub(super) fn convolution(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let pads = node.ints("pads").unwrap_or_default();
    let axes = rank(graph, x)?.checked_sub(2)?;
    if pads.iter().all(|&amount| amount == 0) || pads.len() != 2 * axes {
        return None;
    }
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
    let all: Vec<i64> =
        [&[0, 0], &pads[..axes], &[0, 0], &pads[axes..]].iter().flat_map(|p| p.to_vec()).collect();
    let padded = graph.node("Pad").input(x).ints(&all).input(zero).output("padded");
    let mut inner = node.clone();
    inner.inputs[0] = Some(padded);
    inner.attributes.insert("pads".into(), vec![0i64; 2 * axes].into());
    let mut builder = graph.node("ConvInteger").named(&node.name);
    for &operand in &inner.inputs {
        builder = builder.optional(operand);
    }
    for (name, value) in inner.attributes {
        builder = builder.attribute(&name, value);
    }
    builder.output_to(y);
    Some(())
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
