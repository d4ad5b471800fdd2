//! Operators that look elements up by number. MXNet's indices are numbers of any type.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;
use super::shape::{Size, sizes};

/// Operand `index` as integers that lie within `axis` of `data`: what lies outside is taken for the
/// nearest, or counted on around the end.
fn indices(
    op: &mut Op<'_, '_>,
    index: usize,
    data: ValueId,
    axis: usize,
    wrap: bool,
) -> Result<ValueId, Refusal> {
    let value = op.input(index)?;
    let whole = op.cast(value, DType::I64);
    let size = sizes(op, &[Size::Of(data, axis, axis + 1)]);
    let size = op.reshape(size, &[]);
    if wrap {
        return Ok(op.apply("Mod", &[whole, size]));
    }
    let (zero, one) = (op.constant(Tensor::scalar(0i64)), op.constant(Tensor::scalar(1i64)));
    let last = op.apply("Sub", &[size, one]);
    let below = op.apply("Min", &[whole, last]);
    Ok(op.apply("Max", &[below, zero]))
}

/// Embedding: rows of a table.
pub(super) fn embedding(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let table = op.input(1)?;
    let rows = indices(op, 0, table, 0, false)?;
    let name = op.name("gather");
    let value = op.node("Gather").input(table).input(rows).attribute("axis", 0i64).output(&name);
    op.finish(value)
}

/// take along the attribute axis.
pub(super) fn take(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.attributes().int("axis")?.unwrap_or(0);
    let mode = op.attributes().word("mode", &["clip", "wrap", "raise"])?;
    let data = op.input(0)?;
    let rank = op.rank(data)?;
    let axis = op.axis(axis, rank)?;
    let at = indices(op, 1, data, axis, mode == "wrap")?;
    let name = op.name("gather");
    let node = op.node("Gather").input(data).input(at);
    let value = node.attribute("axis", axis as i64).output(&name);
    op.finish(value)
}

/// pick: one element along the attribute axis for each of the others.
pub(super) fn pick(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.attributes().int("axis")?.unwrap_or(if op.kind() == "pick" { -1 } else { 1 });
    let keep = op.attributes().flag("keepdims", false)?;
    let mode = op.attributes().word("mode", &["clip", "wrap"])?;
    let data = op.input(0)?;
    let rank = op.rank(data)?;
    let axis = op.axis(axis, rank)?;
    let mut at = indices(op, 1, data, axis, mode == "wrap")?;
    if op.rank(at)? < rank {
        let name = op.name("column");
        at = op.node("Unsqueeze").input(at).ints(&[axis as i64]).output(&name);
    }
    let name = op.name("picked");
    let node = op.node("GatherElements").input(data).input(at);
    let mut value = node.attribute("axis", axis as i64).output(&name);
    if !keep {
        let name = op.name("squeeze");
        value = op.node("Squeeze").input(value).ints(&[axis as i64]).output(&name);
    }
    op.finish(value)
}

/// gather_nd: the first axis of the indices runs over coordinates, where ONNX has the last.
pub(super) fn gather_nd(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (data, at) = (op.input(0)?, op.input(1)?);
    let rank = op.rank(at)?;
    let coordinates = op.shape(at).and_then(|shape| shape.first()?.fixed());
    let whole = op.cast(at, DType::I64);
    let mut order: Vec<i64> = (1..rank as i64).collect();
    order.push(0);
    let turned = op.transpose(whole, &order);
    let value = op.apply("GatherND", &[data, turned]);
    if let (Some(count), Some(at), Some(data)) = (coordinates, op.shape(at), op.shape(data)) {
        let rest = data.get(count..).unwrap_or_default();
        op.state_shape(value, [&at[1..], rest].concat());
    }
    op.finish(value)
}

/// one_hot: attributes depth, on_value, off_value.
pub(super) fn one_hot(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let depth = op.attributes().int("depth")?.filter(|&depth| depth > 0);
    let depth = depth.ok_or_else(|| Refusal::new("its depth is not stated"))?;
    let on = op.attributes().float("on_value")?.unwrap_or(1.0);
    let off = op.attributes().float("off_value")?.unwrap_or(0.0);
    let x = op.input(0)?;
    let whole = op.cast(x, DType::I64);
    let (depth, values) =
        (op.constant(Tensor::scalar(depth)), op.constant(Tensor::vector(vec![off, on])));
    let value = op.apply("OneHot", &[whole, depth, values]);
    op.finish(value)
}
