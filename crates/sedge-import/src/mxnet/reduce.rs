//! Reductions.

use sedge_graph::ValueId;
use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;

/// The axes of the attribute axis, or with `exclude` all others; `None` for all.
fn axes(op: &mut Op<'_, '_>, x: ValueId) -> Result<Option<Vec<i64>>, Refusal> {
    let axes = op.attributes().ints("axis")?.filter(|axes| !axes.is_empty());
    if !op.attributes().flag("exclude", false)? {
        return Ok(axes);
    }
    let rank = op.rank(x)?;
    let named = axes.unwrap_or_default();
    let named = named.iter().map(|&axis| op.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some((0..rank).filter(|axis| !named.contains(axis)).map(|axis| axis as i64).collect()))
}

fn reduced(op: &mut Op<'_, '_>, onnx: &str, x: ValueId) -> Result<(), Refusal> {
    let keep = op.attributes().flag("keepdims", false)?;
    let axes = axes(op, x)?;
    let name = op.name(&onnx.to_lowercase());
    let mut node = op.node(onnx).input(x).attribute("keepdims", i64::from(keep));
    if let Some(axes) = &axes {
        node = node.ints(axes);
    }
    let mut value = node.output(&name);
    // MXNet has no scalars: what is left of all elements is a vector of one.
    let rank = op.shape(x).map(|shape| shape.len());
    let of_all = axes.is_none_or(|axes| Some(axes.len()) == rank);
    if of_all && !keep {
        value = op.reshape(value, &[1]);
    }
    op.finish(value)
}

/// sum, mean, prod, max, min.
pub(super) fn reduce(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let x = op.input(0)?;
    reduced(op, onnx, x)
}

/// norm: attribute ord is 1 or 2.
pub(super) fn norm(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let onnx = match op.attributes().int("ord")?.unwrap_or(2) {
        1 => "ReduceL1",
        2 => "ReduceL2",
        other => return Err(Refusal(format!("its order {other} is not supported"))),
    };
    let x = op.input(0)?;
    reduced(op, onnx, x)
}

/// argmax and argmin: positions are numbers of the operand's type.
pub(super) fn position(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let keep = op.attributes().flag("keepdims", false)?;
    let channel = op.kind() == "argmax_channel";
    let axis = if channel { Some(1) } else { op.attributes().int("axis")? };
    let mut x = op.input(0)?;
    let all = axis.is_none();
    if all {
        x = op.reshape(x, &[-1]);
    }
    let name = op.name(&onnx.to_lowercase());
    let node = op.node(onnx).input(x).attribute("axis", axis.unwrap_or(0));
    // Of all elements there is a vector of one.
    let at = node.attribute("keepdims", i64::from(keep || all)).output(&name);
    let value = op.cast(at, DType::F32);
    op.finish(value)
}
