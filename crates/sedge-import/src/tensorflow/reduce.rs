//! Reductions along axes, and orderings.

use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;
use super::shape::integer;

/// Mean, Sum, Prod, Max and Min: axes are operand 1, attribute keep_dims.
pub(super) fn reduce(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let value = reduced(op, onnx, value)?;
    op.finish(value)
}

fn reduced(
    op: &mut Op<'_, '_>,
    onnx: &str,
    value: sedge_graph::ValueId,
) -> Result<sedge_graph::ValueId, Refusal> {
    let keep = i64::from(op.flag("keep_dims"));
    let axes = op.shape_operand(1)?;
    let name = op.name(&onnx.to_lowercase());
    let node = op.start(onnx).input(value).input(axes).attribute("keepdims", keep);
    // No axes: nothing is reduced. ONNX takes it for all unless told.
    Ok(node.attribute("noop_with_empty_axes", 1i64).output(&name))
}

/// All and Any: the least or greatest of booleans.
pub(super) fn logical(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let value = op.cast(value, DType::I32);
    let value = reduced(op, onnx, value)?;
    let value = op.cast(value, DType::Bool);
    op.finish(value)
}

/// ArgMax and ArgMin: the first of equals.
pub(super) fn arg(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.single(1, "the axis")?;
    let value = op.operand(0)?;
    let name = op.name("arg");
    let node = op.start(op.kind()).input(value).attribute("axis", axis);
    let value = node.attribute("keepdims", 0i64).output(&name);
    // Not i32 unless the file says so.
    let value = match op.dtype_attribute("output_type") {
        Ok(DType::I32) => integer(op, value, "output_type"),
        _ => value,
    };
    op.finish(value)
}

/// TopKV2: along the last dimension; values and positions.
pub(super) fn top_k(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let count = op.shape_operand(1)?;
    let value = op.operand(0)?;
    let results = op.fresh(2);
    let node = op.start("TopK").input(value).input(count).attribute("axis", -1i64);
    node.outputs_to(results.iter().copied().map(Some).collect());
    let positions = integer(op, results[1], "index_type");
    op.finish_at(0, results[0]);
    op.finish_at(1, positions);
    Ok(())
}

/// Cumsum: attributes exclusive, reverse.
pub(super) fn cumsum(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (exclusive, reverse) = (i64::from(op.flag("exclusive")), i64::from(op.flag("reverse")));
    let (value, axis) = (op.operand(0)?, op.operand(1)?);
    let name = op.name("cumsum");
    let node = op.start("CumSum").input(value).input(axis).attribute("exclusive", exclusive);
    let value = node.attribute("reverse", reverse).output(&name);
    op.finish(value)
}
