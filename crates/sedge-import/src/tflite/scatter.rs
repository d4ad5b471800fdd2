//! Operators that put elements where positions say.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;

/// SCATTER_ND: positions, updates and the shape of the result, which is zero elsewhere. Updates of
/// one place add up.
pub(super) fn scatter_nd(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let positions = op.stored(0)?;
    let positions = op.cast(positions, DType::I64);
    let updates = op.stored(1)?;
    let shape = op.shape_operand(2)?;
    let zeros = filled(op, shape, 1, 0.0)?;
    let value = scattered(op, zeros, positions, updates, "add");
    op.finish_stored(0, value)
}

/// SPARSE_TO_DENSE: positions, the shape, values and what is elsewhere.
pub(super) fn sparse_to_dense(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let positions = op.stored(0)?;
    let mut positions = op.cast(positions, DType::I64);
    // A list of positions in a vector, or the one position of a single value.
    match op.rank(0)? {
        0 => positions = op.unsqueeze(positions, &[0, 1]),
        1 => positions = op.unsqueeze(positions, &[1]),
        _ => {}
    }
    let shape = op.shape_operand(1)?;
    let values = op.stored(2)?;
    let filler = op.stored(3)?;
    let base = op.apply("Expand", &[filler, shape]);
    let values = match op.rank(2)? {
        // One value for every position.
        0 => {
            let name = op.name("count");
            let all = op.apply("Shape", &[positions]);
            let count = op.node("Slice").input(all).ints(&[0]).ints(&[1]).output(&name);
            op.apply("Expand", &[values, count])
        }
        _ => values,
    };
    let value = op.apply("ScatterND", &[base, positions, values]);
    op.finish_stored(0, value)
}

/// DYNAMIC_UPDATE_SLICE: an operand, what to put into it, and where, moved so that it fits.
pub(super) fn dynamic_update_slice(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (value, update) = (op.stored(0)?, op.stored(1)?);
    let start = op.shape_operand(2)?;
    let size = op.apply("Shape", &[value]);
    let part = op.apply("Shape", &[update]);
    let room = op.apply("Sub", &[size, part]);
    let start = op.apply("Min", &[start, room]);
    let zero = op.ints_constant(&[0]);
    let start = op.apply("Max", &[start, zero]);
    let end = op.apply("Sub", &[room, start]);
    let name = op.name("pads");
    let pads = op.node("Concat").input(start).input(end).attribute("axis", 0i64).output(&name);
    let name = op.name("ones");
    let one = Tensor::vector(vec![1i32]);
    let ones = op.node("ConstantOfShape").input(part).attribute("value", one).output(&name);
    let mask = op.apply("Pad", &[ones, pads]);
    let mask = op.cast(mask, DType::Bool);
    let spread = op.apply("Pad", &[update, pads]);
    let value = op.apply("Where", &[mask, spread, value]);
    op.finish_stored(0, value)
}

/// SEGMENT_SUM: rows of the operand that have the same number, which must be constant, added up.
pub(super) fn segment_sum(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let numbers = op.constant(1).cloned();
    let numbers = numbers.ok_or_else(|| Refusal::new("its list of segments is not a constant"))?;
    op.context.charge(numbers.len() * 8)?;
    let last = numbers.to_i64().and_then(|numbers| numbers.last().copied());
    let count = last.map_or(0, |last| last.saturating_add(1).max(0));
    let count = op.ints_constant(&[count]);
    by_number(op, count, "add")
}

/// UNSORTED_SEGMENT_SUM, _PROD, _MAX and _MIN: the same, over as many segments as operand 2 says;
/// elements with a negative number are left out.
pub(super) fn segments(op: &mut Op<'_, '_>, reduction: &str) -> Result<(), Refusal> {
    let count = op.shape_operand(2)?;
    let count = op.reshaped(count, &[1]);
    by_number(op, count, reduction)
}

fn by_number(op: &mut Op<'_, '_>, count: ValueId, reduction: &str) -> Result<(), Refusal> {
    let rank = op.rank(1)? as i64;
    let value = op.stored(0)?;
    let numbers = op.stored(1)?;
    let numbers = op.cast(numbers, DType::I64);
    // What is left out goes to a row of its own, behind the others.
    let zero = op.ints_constant(&[0]);
    let negative = op.apply("Less", &[numbers, zero]);
    let numbers = op.apply("Where", &[negative, count, numbers]);
    let positions = op.unsqueeze(numbers, &[-1]);
    let whole = op.apply("Shape", &[value]);
    let name = op.name("row");
    let row = op.node("Slice").input(whole).ints(&[rank]).ints(&[i64::MAX]).output(&name);
    let one = op.ints_constant(&[1]);
    let rows = op.apply("Add", &[count, one]);
    let name = op.name("shape");
    let shape = op.node("Concat").input(rows).input(row).attribute("axis", 0i64).output(&name);
    let float = op.info(0)?.dtype == Some(DType::F32);
    // What an empty segment has: the reduction of nothing, in the type's own bounds.
    let neutral = match (reduction, float) {
        ("mul", _) => 1.0,
        ("max", true) => f64::from(f32::MIN),
        ("min", true) => f64::from(f32::MAX),
        ("max", false) => f64::from(i32::MIN),
        ("min", false) => f64::from(i32::MAX),
        _ => 0.0,
    };
    let base = filled(op, shape, 0, neutral)?;
    let value = scattered(op, base, positions, value, reduction);
    let name = op.name("segments");
    let node = op.node("Slice").input(value).ints(&[0]).input(count);
    let value = node.ints(&[0]).output(&name);
    op.finish_stored(0, value)
}

/// A tensor of one number in the element type of operand `like`.
fn filled(
    op: &mut Op<'_, '_>,
    shape: ValueId,
    like: usize,
    number: f64,
) -> Result<ValueId, Refusal> {
    let element = match op.info(like)?.dtype {
        Some(DType::F32) => Tensor::vector(vec![number as f32]),
        Some(DType::I32) => Tensor::vector(vec![number as i32]),
        Some(DType::I64) => Tensor::vector(vec![number as i64]),
        Some(DType::I8) => Tensor::vector(vec![number as i8]),
        Some(DType::U8) => Tensor::vector(vec![number as u8]),
        _ => return Err(Refusal::new("its element type is not supported")),
    };
    let name = op.name("filled");
    Ok(op.node("ConstantOfShape").input(shape).attribute("value", element).output(&name))
}

fn scattered(
    op: &mut Op<'_, '_>,
    base: ValueId,
    positions: ValueId,
    updates: ValueId,
    reduction: &str,
) -> ValueId {
    let name = op.name("scattered");
    let node = op.node("ScatterND").input(base).input(positions).input(updates);
    node.attribute("reduction", reduction).output(&name)
}
