//! Operators that join, repeat and pad.

use sedge_graph::ValueId;

use super::Refusal;
use super::builder::Op;
use super::shape::{Size, reshaped};

/// Concat along the attribute dim.
pub(super) fn concat(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.attributes().int("dim")?.unwrap_or(1);
    let operands = op.inputs()?;
    let value = joined(op, &operands, axis);
    op.finish(value)
}

pub(super) fn joined(op: &mut Op<'_, '_>, operands: &[ValueId], axis: i64) -> ValueId {
    let name = op.name("concat");
    let mut node = op.node("Concat").attribute("axis", axis);
    for &operand in operands {
        node = node.input(operand);
    }
    node.output(&name)
}

/// stack along a new axis.
pub(super) fn stack(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.attributes().int("axis")?.unwrap_or(0);
    let mut parts = Vec::new();
    for operand in op.inputs()? {
        let name = op.name("part");
        parts.push(op.node("Unsqueeze").input(operand).ints(&[axis]).output(&name));
    }
    let value = joined(op, &parts, axis);
    op.finish(value)
}

/// tile: attribute reps, aligned with the last dimensions.
pub(super) fn tile(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let mut reps = op.attributes().ints("reps")?.unwrap_or_default();
    let mut x = op.input(0)?;
    let rank = op.rank(x)?;
    if reps.len() > rank {
        let axes: Vec<i64> = (0..(reps.len() - rank) as i64).collect();
        let name = op.name("unsqueeze");
        x = op.node("Unsqueeze").input(x).ints(&axes).output(&name);
    }
    while reps.len() < rank {
        reps.insert(0, 1);
    }
    let name = op.name("tile");
    let value = op.node("Tile").input(x).ints(&reps).output(&name);
    op.finish(value)
}

/// repeat: each element along the attribute axis, or of all, several times.
pub(super) fn repeat(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let repeats = op.attributes().int("repeats")?.unwrap_or(1);
    let mut x = op.input(0)?;
    let axis = match op.attributes().int("axis")? {
        Some(axis) => {
            let rank = op.rank(x)?;
            op.axis(axis, rank)?
        }
        None => {
            x = op.reshape(x, &[-1]);
            0
        }
    };
    let rank = op.rank(x)?;
    let name = op.name("unsqueeze");
    let apart = op.node("Unsqueeze").input(x).ints(&[axis as i64 + 1]).output(&name);
    let mut reps = vec![1; rank + 1];
    reps[axis + 1] = repeats;
    let name = op.name("tile");
    let tiled = op.node("Tile").input(apart).ints(&reps).output(&name);
    // The repeated axis and its copies become one.
    let source = |to: usize| if to > axis { to + 1 } else { to };
    let wanted: Vec<Size> = (0..rank)
        .map(|to| match to == axis {
            true => Size::Of(tiled, axis, axis + 2),
            false => Size::Of(tiled, source(to), source(to) + 1),
        })
        .collect();
    let value = reshaped(op, tiled, &wanted);
    op.finish(value)
}

/// Pad: attribute pad_width has the two sides of each axis after each other.
pub(super) fn pad(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let widths = op.attributes().ints("pad_width")?.unwrap_or_default();
    if widths.is_empty() || widths.len() % 2 != 0 {
        return Err(Refusal::new("its pad_width has not two numbers for each dimension"));
    }
    let mode = op.attributes().word("mode", &["constant", "edge", "reflect"])?;
    let fill = op.attributes().float("constant_value")?.unwrap_or(0.0);
    let before = widths.iter().step_by(2);
    let after = widths.iter().skip(1).step_by(2);
    let pads: Vec<i64> = before.chain(after).copied().collect();
    let x = op.input(0)?;
    let fill = op.scalar_like(x, fill);
    let name = op.name("pad");
    let mut node = op.node("Pad").input(x).ints(&pads);
    if mode == "constant" {
        node = node.input(fill);
    }
    let value = node.attribute("mode", mode).output(&name);
    op.finish(value)
}
