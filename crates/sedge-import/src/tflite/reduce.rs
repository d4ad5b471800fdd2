//! Reductions along axes, and orderings.

use sedge_tensor::DType;

use super::Refusal;
use super::builder::{Domain, Layout, Op};

/// A reduction whose result is computed in real numbers: MEAN, SUM, REDUCE_PROD.
pub(super) fn reduce(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    reduce_in(op, onnx, Domain::Real)
}

/// REDUCE_MAX and REDUCE_MIN: on the integers where the tensor is quantised.
pub(super) fn extreme(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let bytes = op.info(0)?.dtype.and_then(DType::size) == Some(1);
    let plain = bytes && op.same_quantization(0)?;
    reduce_in(op, onnx, if plain { Domain::Stored } else { Domain::Real })
}

/// MEAN: of a quantised tensor over the integers, as averages are, where the result has the same
/// quantisation.
pub(super) fn mean(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let domain = if op.same_quantization(0)? { Domain::Raw } else { Domain::Real };
    reduce_in(op, "ReduceMean", domain)
}

fn reduce_in(op: &mut Op<'_, '_>, onnx: &str, domain: Domain) -> Result<(), Refusal> {
    let keep = i64::from(op.operator.options.bool(0)?);
    let axes = op.shape_operand(1)?;
    let value = op.view(0, Layout::AsStored, domain)?;
    let name = op.name(&onnx.to_lowercase());
    let value = op
        .node(onnx)
        .input(value)
        .input(axes)
        .attribute("keepdims", keep)
        // No axes: nothing is reduced. ONNX takes it for all unless told.
        .attribute("noop_with_empty_axes", 1i64)
        .output(&name);
    op.finish(0, value, Layout::AsStored, domain)
}

/// REDUCE_ANY and REDUCE_ALL: the greatest or least of booleans.
pub(super) fn logical(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let keep = i64::from(op.operator.options.bool(0)?);
    let axes = op.shape_operand(1)?;
    let value = op.stored(0)?;
    let value = op.cast(value, DType::I32);
    let name = op.name(&onnx.to_lowercase());
    let node = op.node(onnx).input(value).input(axes).attribute("keepdims", keep);
    let value = node.attribute("noop_with_empty_axes", 1i64).output(&name);
    let value = op.cast(value, DType::Bool);
    op.finish_stored(0, value)
}

/// ARG_MAX and ARG_MIN: the first of equals.
pub(super) fn arg(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let axis = single(&op.ints(1, "the axis")?)?;
    let value = op.view(0, Layout::AsStored, byte_or_real(op, 0)?)?;
    let name = op.name(&onnx.to_lowercase());
    let node = op.node(onnx).input(value).attribute("axis", axis);
    let mut value = node.attribute("keepdims", 0i64).output(&name);
    if op.result(0)?.dtype != Some(DType::I64) {
        value = op.cast(value, DType::I32);
    }
    op.finish_stored(0, value)
}

/// Comparisons need no dequantising; engines know them for bytes and for floats.
fn byte_or_real(op: &Op<'_, '_>, index: usize) -> Result<Domain, Refusal> {
    let bytes = op.info(index)?.dtype.and_then(DType::size) == Some(1);
    Ok(if bytes { Domain::Stored } else { Domain::Real })
}

/// The one element of a list.
pub(super) fn single(list: &[i64]) -> Result<i64, Refusal> {
    match list {
        [one] => Ok(*one),
        _ => Err(Refusal(format!("it takes one axis, the file gives {}", list.len()))),
    }
}

/// TOPK_V2: along the last dimension; values and positions.
pub(super) fn top_k(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let count = op.shape_operand(1)?;
    let name = op.name("count");
    let count = op.node("Reshape").input(count).ints(&[1]).output(&name);
    let value = op.real(0)?;
    let mut results = Vec::new();
    for suffix in ["values", "positions"] {
        let name = op.name(suffix);
        results.push(op.context.graph.add_value(sedge_graph::Value { name, ..Default::default() }));
    }
    let outputs = results.iter().copied().map(Some).collect();
    op.node("TopK").input(value).input(count).attribute("axis", -1i64).outputs_to(outputs);
    op.finish_real(0, results[0])?;
    let positions = op.cast(results[1], DType::I32);
    op.finish_stored(1, positions)
}

/// CUMSUM: options exclusive, reverse.
pub(super) fn cumsum(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let (exclusive, reverse) = (i64::from(options.bool(0)?), i64::from(options.bool(1)?));
    let value = op.real(0)?;
    let axis = op.stored(1)?;
    let name = op.name("cumsum");
    let node = op.node("CumSum").input(value).input(axis).attribute("exclusive", exclusive);
    let value = node.attribute("reverse", reverse).output(&name);
    op.finish_real(0, value)
}
