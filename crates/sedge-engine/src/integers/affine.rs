//! What QuantizeLinear and DequantizeLinear nodes say.

use sedge_graph::{Graph, Node, ValueId};
use sedge_kernels::Affine;
use sedge_tensor::{DType, Tensor};

/// True for the element types whose values the kernels take.
pub(crate) fn is_byte(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.value(value).dtype, Some(DType::U8 | DType::I8))
}

/// Scale and zero point of a quantise or dequantise node, as constants.
pub(crate) fn parameters(graph: &Graph, node: &Node) -> Option<(Vec<f32>, Vec<i64>)> {
    let scale = graph.constant(node.input(1))?.to_f32()?.into_owned();
    let zero = match node.input(2) {
        Some(zero) => graph.constant(Some(zero))?.to_i64()?,
        None => vec![0; scale.len()],
    };
    // A block size would mean one scale for each block, which nothing here knows.
    let plain = node.int("block_size").unwrap_or(0) == 0;
    let sound = scale.iter().all(|s| s.is_finite() && *s > 0.0);
    (plain && sound && !scale.is_empty() && scale.len() == zero.len()).then_some((scale, zero))
}

/// The one meaning of all bytes that a node reads or makes; `None` for other integers and for
/// meanings by channel.
pub(crate) fn of_node(graph: &Graph, node: &Node) -> Option<Affine> {
    let bytes = if node.is("DequantizeLinear") { node.input(0) } else { node.output(0) }?;
    let signed = match graph.value(bytes).dtype? {
        DType::U8 => false,
        DType::I8 => true,
        _ => return None,
    };
    match parameters(graph, node)? {
        (scale, zero) if scale.len() == 1 => affine(scale[0], zero[0], signed),
        _ => None,
    }
}

/// A meaning with the sign bit flipped where bytes are signed.
pub(crate) fn affine(scale: f32, zero: i64, signed: bool) -> Option<Affine> {
    let zero = u8::try_from(zero + if signed { 128 } else { 0 }).ok()?;
    Some(Affine { scale, zero, signed })
}

/// The bytes of a constant, sign bits flipped where they are signed.
pub(crate) fn unsigned(tensor: &Tensor) -> Option<Vec<u8>> {
    match tensor.dtype() {
        DType::U8 => Some(tensor.bytes().to_vec()),
        DType::I8 => Some(tensor.bytes().iter().map(|b| b ^ 0x80).collect()),
        _ => None,
    }
}

/// Integer weights as signed bytes; unsigned ones and their zero points are moved down by 128.
pub(crate) fn signed_weights(tensor: &Tensor, zeros: &[i64]) -> Option<(Vec<i8>, Vec<i32>)> {
    let (flip, down) = match tensor.dtype() {
        DType::I8 => (0, 0),
        DType::U8 => (0x80, 128),
        _ => return None,
    };
    let values = tensor.bytes().iter().map(|b| (b ^ flip) as i8).collect();
    let zeros = zeros.iter().map(|z| i32::try_from(z - down).ok()).collect::<Option<_>>()?;
    Some((values, zeros))
}
