//! Slice and StridedSlice.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;
use crate::strided::{Masks, TO_THE_END, bit, entries, known_bounds, new_axes, ranges};

/// Slice: starts and sizes for every dimension; a size of -1 is the rest.
pub(super) fn slice(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let bounds = match (op.known_ints(1), op.known_ints(2)) {
        (Some(starts), Some(sizes)) if starts.len() == sizes.len() => {
            let end = |(&start, &size): (&i64, &i64)| match size {
                ..0 => TO_THE_END,
                _ => start.saturating_add(size),
            };
            let ends: Vec<i64> = starts.iter().zip(&sizes).map(end).collect();
            [op.add_ints(&starts), op.add_ints(&ends)]
        }
        _ => {
            let (starts, sizes) = (op.shape_operand(1)?, op.shape_operand(2)?);
            let sum = op.apply("Add", &[starts, sizes]);
            let zero = op.add_ints(&[0]);
            let rest = op.apply("Less", &[sizes, zero]);
            let end = op.add_ints(&[TO_THE_END]);
            [starts, op.apply("Where", &[rest, end, sum])]
        }
    };
    let axes: Vec<i64> = (0..op.rank(value)? as i64).collect();
    let name = op.name("slice");
    let node = op.start("Slice").input(value).input(bounds[0]).input(bounds[1]).ints(&axes);
    let value = node.output(&name);
    op.finish(value)
}

fn masks(op: &Op<'_, '_>) -> Masks {
    let mask = |name: &str| op.int(name).and_then(|bits| i32::try_from(bits).ok()).unwrap_or(0);
    Masks {
        begin: mask("begin_mask"),
        end: mask("end_mask"),
        ellipsis: mask("ellipsis_mask"),
        new_axis: mask("new_axis_mask"),
        shrink: mask("shrink_axis_mask"),
    }
}

/// StridedSlice: begins, ends and steps, and attributes that say which of them mean what.
pub(super) fn strided_slice(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let masks = masks(op);
    let steps = op.ints(3, "the list of steps")?;
    let mut value = op.operand(0)?;
    if slice_of_sizes(op, &masks, &steps)? {
        return Ok(());
    }
    let entries = entries(&masks, steps.len(), op.rank(value)?)?;
    let ranges = ranges(&entries);
    if !ranges.is_empty() {
        let bounds = match (op.known_ints(1), op.known_ints(2)) {
            (Some(begin), Some(end)) if begin.len() == steps.len() && end.len() == steps.len() => {
                let (starts, ends) = known_bounds(&masks, false, &ranges, &begin, &end, &steps);
                [op.add_ints(&starts), op.add_ints(&ends)]
            }
            _ => computed_bounds(op, &masks, &ranges, &steps)?,
        };
        let axes: Vec<i64> = ranges.iter().map(|&(_, axis, _)| axis).collect();
        let step = |&(entry, _, single): &(usize, i64, bool)| if single { 1 } else { steps[entry] };
        let steps: Vec<i64> = ranges.iter().map(step).collect();
        let name = op.name("slice");
        let node = op.start("Slice").input(value).input(bounds[0]).input(bounds[1]);
        value = node.ints(&axes).ints(&steps).output(&name);
    }
    let gone: Vec<i64> = ranges.iter().filter(|range| range.2).map(|range| range.1).collect();
    if !gone.is_empty() {
        value = op.apply_ints("Squeeze", value, &gone);
    }
    let new = new_axes(&entries);
    if !new.is_empty() {
        value = op.apply_ints("Unsqueeze", value, &new);
    }
    op.finish(value)
}

/// A part of a shape of which something is known: what is known goes on.
fn slice_of_sizes(op: &mut Op<'_, '_>, masks: &Masks, steps: &[i64]) -> Result<bool, Refusal> {
    let (Some(list), Some(begin), Some(end)) = (op.contents(0), op.known_ints(1), op.known_ints(2))
    else {
        return Ok(false);
    };
    let vector = op.dims(op.operand(0)?).is_some_and(|dims| dims.len() == 1);
    let (&[from], &[to], &[1]) = (begin.as_slice(), end.as_slice(), steps) else {
        return Ok(false);
    };
    if !vector || masks.ellipsis != 0 || masks.new_axis != 0 {
        return Ok(false);
    }
    let single = bit(masks.shrink, 0);
    let (starts, ends) = known_bounds(masks, false, &[(0, 0, single)], &[from], &[to], &[1]);
    let length = list.len() as i64;
    let place = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length);
    let (start, end) = (place(starts[0]), place(ends[0]));
    let picked = list.get(start as usize..end.max(start) as usize).map(<[_]>::to_vec);
    let value = op.operand(0)?;
    let name = op.name("slice");
    let mut value =
        op.start("Slice").input(value).ints(&starts).ints(&ends).ints(&[0]).output(&name);
    if single {
        value = op.apply_ints("Squeeze", value, &[0]);
    }
    op.note(value, picked);
    op.finish(value)?;
    Ok(true)
}

/// Bounds of which some are computed by the graph: the open ones are put in by Where.
fn computed_bounds(
    op: &mut Op<'_, '_>,
    masks: &Masks,
    ranges: &[(usize, i64, bool)],
    steps: &[i64],
) -> Result<[ValueId; 2], Refusal> {
    if masks.ellipsis != 0 || masks.new_axis != 0 {
        return Err(Refusal::new("its bounds are computed and its masks rearrange them"));
    }
    if steps.iter().any(|&step| step < 0) {
        return Err(Refusal::new("its bounds are computed and it steps backwards"));
    }
    let begin = op.shape_operand(1)?;
    let starts = chosen(op, ranges, masks.begin & !masks.shrink, begin, |op| op.add_ints(&[0]));
    let end = op.shape_operand(2)?;
    let mut ends = chosen(op, ranges, masks.end, end, |op| op.add_ints(&[TO_THE_END]));
    if masks.shrink != 0 {
        // One element; behind the last, -1, there is no index.
        let one = op.add_ints(&[1]);
        let next = op.apply("Add", &[begin, one]);
        let zero = op.add_ints(&[0]);
        let last = op.apply("Equal", &[next, zero]);
        let open = op.add_ints(&[TO_THE_END]);
        let next = op.apply("Where", &[last, open, next]);
        ends = chosen(op, ranges, masks.shrink, ends, |_| next);
    }
    Ok([starts, ends])
}

/// `value` with other elements at the entries of `mask`.
fn chosen<'p>(
    op: &mut Op<'_, 'p>,
    ranges: &[(usize, i64, bool)],
    mask: i32,
    value: ValueId,
    other: impl FnOnce(&mut Op<'_, 'p>) -> ValueId,
) -> ValueId {
    if mask == 0 {
        return value;
    }
    let flags = ranges.iter().map(|&(entry, ..)| u8::from(bit(mask, entry)));
    let flags = op.add_constant(Tensor::vector(flags.collect::<Vec<u8>>()));
    let flags = op.cast(flags, DType::Bool);
    let other = other(op);
    op.apply("Where", &[flags, other, value])
}
