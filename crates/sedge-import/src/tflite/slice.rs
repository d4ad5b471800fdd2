//! SLICE and STRIDED_SLICE.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;

/// Past every end, in the direction of the step.
const TO_THE_END: i64 = i64::MAX;
const TO_THE_START: i64 = i64::MIN;

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

/// What the masks of a STRIDED_SLICE make of one entry of its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// The `entry`-th range applies to dimension `axis`; it goes away when `single`.
    Range { entry: usize, axis: i64, single: bool },
    /// A new dimension of size one.
    New,
    /// The `0`-many dimensions in the middle that no entry names.
    Rest(i64),
}

struct Masks {
    begin: i32,
    end: i32,
    ellipsis: i32,
    new_axis: i32,
    shrink: i32,
}

/// Masks have 32 bits; lists may be longer.
fn bit(mask: i32, entry: usize) -> bool {
    entry < 32 && mask >> entry & 1 == 1
}

fn entries(masks: &Masks, count: usize, rank: usize) -> Result<Vec<Entry>, Refusal> {
    let is_ellipsis = |entry| bit(masks.ellipsis, entry);
    let is_new = |entry| !is_ellipsis(entry) && bit(masks.new_axis, entry);
    let named = (0..count).filter(|&entry| !is_ellipsis(entry) && !is_new(entry)).count();
    let rest = rank.checked_sub(named);
    let rest = rest.ok_or_else(|| Refusal::new("it names more dimensions than there are"))? as i64;
    let mut axis = 0;
    let mut list = Vec::with_capacity(count);
    for entry in 0..count {
        if is_ellipsis(entry) {
            list.push(Entry::Rest(rest));
            axis += rest;
        } else if is_new(entry) {
            list.push(Entry::New);
        } else {
            list.push(Entry::Range { entry, axis, single: bit(masks.shrink, entry) });
            axis += 1;
        }
    }
    Ok(list)
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
    let ranges: Vec<(usize, i64, bool)> = entries
        .iter()
        .filter_map(|&entry| match entry {
            Entry::Range { entry, axis, single } => Some((entry, axis, single)),
            _ => None,
        })
        .collect();
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

/// Where the new dimensions stand in the result.
fn new_axes(entries: &[Entry]) -> Vec<i64> {
    let mut position = 0;
    let mut new = Vec::new();
    for entry in entries {
        match entry {
            Entry::New => {
                new.push(position);
                position += 1;
            }
            Entry::Range { single, .. } => position += i64::from(!single),
            Entry::Rest(count) => position += count,
        }
    }
    new
}

fn known_bounds(
    masks: &Masks,
    offset: bool,
    ranges: &[(usize, i64, bool)],
    begin: &[i64],
    end: &[i64],
    steps: &[i64],
) -> (Vec<i64>, Vec<i64>) {
    let bounds = |&(entry, _, single): &(usize, i64, bool)| {
        let (from, to) = (begin[entry], end[entry]);
        if single {
            // The last element is -1, and what follows it is no index.
            return (from, if from == -1 { TO_THE_END } else { from.saturating_add(1) });
        }
        let to = if offset { from.saturating_add(to) } else { to };
        let (first, last) =
            if steps[entry] < 0 { (TO_THE_END, TO_THE_START) } else { (0, TO_THE_END) };
        (
            if bit(masks.begin, entry) { first } else { from },
            if bit(masks.end, entry) { last } else { to },
        )
    };
    ranges.iter().map(bounds).unzip()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_place_every_entry() {
        // x[new, ..., 3, 1:2] of four dimensions.
        let masks = Masks { begin: 0, end: 0, ellipsis: 2, new_axis: 1, shrink: 4 };
        let list = entries(&masks, 4, 4).unwrap();
        assert_eq!(
            list,
            [
                Entry::New,
                Entry::Rest(2),
                Entry::Range { entry: 2, axis: 2, single: true },
                Entry::Range { entry: 3, axis: 3, single: false },
            ]
        );
        assert_eq!(new_axes(&list), [0]);
        assert!(entries(&masks, 9, 4).is_err());
    }

    #[test]
    fn open_ends_follow_the_direction() {
        let masks = Masks { begin: 1, end: 3, ellipsis: 0, new_axis: 0, shrink: 0 };
        let ranges = [(0, 0, false), (1, 1, false), (2, 2, true)];
        let (starts, ends) =
            known_bounds(&masks, false, &ranges, &[5, 4, -1], &[6, 6, 0], &[-1, 1, 1]);
        assert_eq!(starts, [TO_THE_END, 4, -1]);
        assert_eq!(ends, [TO_THE_START, TO_THE_END, TO_THE_END]);
    }
}
