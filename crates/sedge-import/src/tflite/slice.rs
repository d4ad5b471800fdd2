//! SLICE and STRIDED_SLICE.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;
use crate::strided::{Masks, TO_THE_END, bit, entries, known_bounds, new_axes, ranges};

/// SLICE: starts and sizes for every dimension; a size of -1 is the rest.
pub(super) fn slice(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.stored(0)?;
    let bounds = match (op.known_ints(1), op.known_ints(2)) {
        (Some(starts), Some(sizes)) if starts.len() == sizes.len() => {
            let end = |(&start, &size): (&i64, &i64)| match size {
                ..0 => TO_THE_END,
                _ => start.saturating_add(size),
            };
            let ends: Vec<i64> = starts.iter().zip(&sizes).map(end).collect();
            [op.ints_constant(&starts), op.ints_constant(&ends)]
        }
        _ => {
            let (starts, sizes) = (op.shape_operand(1)?, op.shape_operand(2)?);
            let sum = op.apply("Add", &[starts, sizes]);
            let zero = op.ints_constant(&[0]);
            let rest = op.apply("Less", &[sizes, zero]);
            let end = op.ints_constant(&[TO_THE_END]);
            [starts, op.apply("Where", &[rest, end, sum])]
        }
    };
    let axes: Vec<i64> = (0..op.rank(0)? as i64).collect();
    let name = op.name("slice");
    let value = op.node("Slice").input(value).input(bounds[0]).input(bounds[1]).ints(&axes);
    let value = value.output(&name);
    op.finish_stored(0, value)
}

/// STRIDED_SLICE: options begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask,
/// offset.
pub(super) fn strided_slice(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let masks = Masks {
        begin: options.i32(0, 0)?,
        end: options.i32(1, 0)?,
        ellipsis: options.i32(2, 0)?,
        new_axis: options.i32(3, 0)?,
        shrink: options.i32(4, 0)?,
    };
    let steps = op.ints(3, "the list of steps")?;
    let entries = entries(&masks, steps.len(), op.rank(0)?)?;
    let ranges = ranges(&entries);
    let mut value = op.stored(0)?;
    if !ranges.is_empty() {
        let bounds = match (op.known_ints(1), op.known_ints(2)) {
            (Some(begin), Some(end)) if begin.len() == steps.len() && end.len() == steps.len() => {
                let (starts, ends) =
                    known_bounds(&masks, options.bool(5)?, &ranges, &begin, &end, &steps);
                [op.ints_constant(&starts), op.ints_constant(&ends)]
            }
            _ => computed_bounds(op, &masks, &ranges, &steps)?,
        };
        let axes: Vec<i64> = ranges.iter().map(|&(_, axis, _)| axis).collect();
        let step = |&(entry, _, single): &(usize, i64, bool)| if single { 1 } else { steps[entry] };
        let steps: Vec<i64> = ranges.iter().map(step).collect();
        let name = op.name("slice");
        let node = op.node("Slice").input(value).input(bounds[0]).input(bounds[1]);
        value = node.ints(&axes).ints(&steps).output(&name);
    }
    let gone: Vec<i64> = ranges.iter().filter(|range| range.2).map(|range| range.1).collect();
    if !gone.is_empty() {
        let name = op.name("squeeze");
        value = op.node("Squeeze").input(value).ints(&gone).output(&name);
    }
    let new = new_axes(&entries);
    if !new.is_empty() {
        value = op.unsqueeze(value, &new);
    }
    if ranges.is_empty() && new.is_empty() {
        value = op.apply("Identity", &[value]);
    }
    op.finish_stored(0, value)
}

/// Bounds of which some are computed by the graph: the open ones are put in by Where.
fn computed_bounds(
    op: &mut Op<'_, '_>,
    masks: &Masks,
    ranges: &[(usize, i64, bool)],
    steps: &[i64],
) -> Result<[ValueId; 2], Refusal> {
    if masks.ellipsis != 0 || masks.new_axis != 0 || op.operator.options.bool(5)? {
        return Err(Refusal::new("its bounds are computed and its masks rearrange them"));
    }
    if steps.iter().any(|&step| step < 0) {
        return Err(Refusal::new("its bounds are computed and it steps backwards"));
    }
    let select = |op: &mut Op<'_, '_>, mask: i32, open: i64, value: ValueId| {
        if mask == 0 {
            return value;
        }
        let flags = ranges.iter().map(|&(entry, ..)| u8::from(bit(mask, entry)));
        let flags = Tensor::vector(flags.collect::<Vec<u8>>());
        let name = op.name("open");
        let flags = op.context.graph.add_constant(name, flags);
        let flags = op.cast(flags, DType::Bool);
        let open = op.ints_constant(&[open]);
        op.apply("Where", &[flags, open, value])
    };
    let begin = op.shape_operand(1)?;
    let starts = select(op, masks.begin & !masks.shrink, 0, begin);
    let end = op.shape_operand(2)?;
    let mut ends = select(op, masks.end, TO_THE_END, end);
    if masks.shrink != 0 {
        let one = op.ints_constant(&[1]);
        let next = op.apply("Add", &[begin, one]);
        let zero = op.ints_constant(&[0]);
        let last = op.apply("Equal", &[next, zero]);
        let open = op.ints_constant(&[TO_THE_END]);
        let next = op.apply("Where", &[last, open, next]);
        let flags = ranges.iter().map(|range| u8::from(range.2)).collect::<Vec<u8>>();
        let name = op.name("single");
        let flags = op.context.graph.add_constant(name, Tensor::vector(flags));
        let flags = op.cast(flags, DType::Bool);
        ends = op.apply("Where", &[flags, next, ends]);
    }
    Ok([starts, ends])
}
