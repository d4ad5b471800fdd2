//! Operators that take parts.

use sedge_graph::{Dim, ValueId};

use super::Refusal;
use super::builder::Op;
use super::shape::{Size, sizes};

/// SliceChannel: equal parts along an axis, which may then be dropped.
pub(super) fn channels(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let count = op.attributes().int("num_outputs")?;
    let count = count.and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=1 << 16).contains(n));
    let count = count.ok_or_else(|| Refusal::new("its num_outputs is not stated"))?;
    let axis = op.attributes().int("axis")?.unwrap_or(1);
    let x = op.input(0)?;
    parts(op, x, axis, count, None)
}

fn parts(
    op: &mut Op<'_, '_>,
    x: ValueId,
    axis: i64,
    count: usize,
    lengths: Option<&[i64]>,
) -> Result<(), Refusal> {
    let squeeze = op.attributes().flag("squeeze_axis", false)?;
    let mut values = vec![x];
    if count > 1 {
        values = (0..count).map(|_| op.fresh("part")).collect();
        let mut node = op.node("Split").input(x).attribute("axis", axis);
        match lengths {
            Some(lengths) => node = node.ints(lengths),
            None => node = node.attribute("num_outputs", count as i64),
        }
        node.outputs_to(values.iter().copied().map(Some).collect());
    }
    if squeeze {
        for value in &mut values {
            let name = op.name("squeeze");
            *value = op.node("Squeeze").input(*value).ints(&[axis]).output(&name);
        }
    }
    op.finish_all(values)
}

/// _split_v2: parts that begin at the attribute indices, or as many as sections says.
pub(super) fn split(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.attributes().int("axis")?.unwrap_or(0);
    let x = op.input(0)?;
    let sections = op.attributes().int("sections")?.unwrap_or(0);
    if let Some(count) = usize::try_from(sections).ok().filter(|n| (1..=1 << 16).contains(n)) {
        return parts(op, x, axis, count, None);
    }
    let mut bounds = op.attributes().ints("indices")?.unwrap_or_default();
    let shape = op.ranked(x)?;
    let size = shape[op.axis(axis, shape.len())?].fixed().map(|size| size as i64);
    let size = size.ok_or_else(|| Refusal::new("the size of what it splits is not known"))?;
    bounds.push(size);
    let mut lengths = Vec::new();
    // The first index is 0.
    for pair in bounds.windows(2) {
        let (start, end) = (pair[0].clamp(0, size), pair[1].clamp(0, size));
        lengths.push((end - start).max(0));
    }
    parts(op, x, axis, lengths.len(), Some(&lengths))
}

/// slice: begin, end and step of each of the first axes, any of them None.
pub(super) fn slice(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (begin, end) = (op.attributes().open_ints("begin")?, op.attributes().open_ints("end")?);
    let step = op.attributes().open_ints("step")?;
    let (mut starts, mut ends, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for axis in 0..begin.len().max(end.len()) {
        let at = |list: &[Option<i64>]| list.get(axis).copied().flatten();
        let step = at(&step).filter(|&step| step != 0).unwrap_or(1);
        let (first, last) = if step > 0 { (0, i64::MAX) } else { (i64::MAX, i64::MIN) };
        starts.push(at(&begin).unwrap_or(first));
        ends.push(at(&end).unwrap_or(last));
        steps.push(step);
    }
    let axes: Vec<i64> = (0..starts.len() as i64).collect();
    let x = op.input(0)?;
    let name = op.name("slice");
    let node = op.node("Slice").input(x).ints(&starts).ints(&ends);
    let value = node.ints(&axes).ints(&steps).output(&name);
    op.finish(value)
}

/// slice_axis: begin and end along one axis; end may be None.
pub(super) fn axis(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis =
        op.attributes().int("axis")?.ok_or_else(|| Refusal::new("its axis is not stated"))?;
    let begin = op.attributes().int("begin")?.unwrap_or(0);
    let end = op.attributes().int("end")?.unwrap_or(i64::MAX);
    let x = op.input(0)?;
    let value = op.slice(x, axis, begin, end);
    op.finish(value)
}

/// slice_like: the sizes of the second operand along the attribute axes, else along all.
pub(super) fn like(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axes = op.attributes().ints("axes")?.unwrap_or_default();
    let (x, like) = (op.input(0)?, op.input(1)?);
    let (rank, other) = (op.rank(x)?, op.rank(like)?);
    let axes: Vec<usize> = match axes.as_slice() {
        [] => (0..rank.min(other)).collect(),
        axes => {
            axes.iter().map(|&axis| op.axis(axis, rank.min(other))).collect::<Result<_, _>>()?
        }
    };
    let wanted: Vec<Size> = axes.iter().map(|&axis| Size::Of(like, axis, axis + 1)).collect();
    let mut dims = op.ranked(x)?;
    let model = op.ranked(like)?;
    axes.iter().for_each(|&axis| dims[axis] = model[axis].clone());
    let ends = sizes(op, &wanted);
    let numbers: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    let name = op.name("slice");
    let node = op.node("Slice").input(x).ints(&vec![0; numbers.len()]).input(ends);
    let value = node.ints(&numbers).output(&name);
    op.state_shape(value, dims);
    op.finish(value)
}

/// Crop: a part of each picture, of the second operand's size or of the attribute h_w.
pub(super) fn crop(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let offset = op.attributes().ints("offset")?.filter(|offset| offset.len() == 2);
    let centred = op.attributes().flag("center_crop", false)?;
    let x = op.input(0)?;
    let sized = |shape: &[Dim]| match shape {
        [_, _, height, width] => Some([height.fixed()? as i64, width.fixed()? as i64]),
        _ => None,
    };
    let size = if op.count() > 1 {
        let like = op.input(1)?;
        sized(&op.ranked(like)?)
    } else {
        let size = op.attributes().ints("h_w")?;
        size.and_then(|size| <[i64; 2]>::try_from(size).ok())
    };
    let size = size.ok_or_else(|| Refusal::new("the size of its result is not known"))?;
    let start = if centred {
        let whole = sized(&op.ranked(x)?);
        let whole = whole.ok_or_else(|| Refusal::new("the size of its operand is not known"))?;
        [(whole[0] - size[0]) / 2, (whole[1] - size[1]) / 2]
    } else {
        offset.map_or([0, 0], |offset| [offset[0], offset[1]])
    };
    let end = [start[0].saturating_add(size[0]), start[1].saturating_add(size[1])];
    let name = op.name("slice");
    let value = op.node("Slice").input(x).ints(&start).ints(&end).ints(&[2, 3]).output(&name);
    op.finish(value)
}

/// reverse: from the last to the first along the attribute axis.
pub(super) fn reverse(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axes = op.attributes().ints("axis")?.unwrap_or_default();
    let x = op.input(0)?;
    let count = axes.len();
    let name = op.name("slice");
    let node = op.node("Slice").input(x).ints(&vec![i64::MAX; count]).ints(&vec![i64::MIN; count]);
    let value = node.ints(&axes).ints(&vec![-1; count]).output(&name);
    op.finish(value)
}
