//! Operators that change how elements are arranged, or make elements from shapes.

use sedge_graph::{Dim, ValueId};
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;
use super::elementwise;

/// Elements that a constant of attributes alone may have.
const MOST_ELEMENTS: usize = 1 << 24;

/// A dimension of a shape that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Size {
    Fixed(i64),
    /// What is left, of which there can be one.
    Rest,
    /// The product of the dimensions `from..to` of a value.
    Of(ValueId, usize, usize),
}

/// The known size, as far as it is known.
fn known(op: &mut Op<'_, '_>, size: &Size) -> Option<i64> {
    match *size {
        Size::Fixed(n) => Some(n),
        Size::Rest => None,
        Size::Of(value, from, to) => {
            let shape = op.shape(value)?;
            let fixed = shape.get(from..to)?.iter().map(|dim| dim.fixed().map(|n| n as i64));
            fixed.collect::<Option<Vec<_>>>()?.iter().try_fold(1i64, |n, &m| n.checked_mul(m))
        }
    }
}

/// A dimension as shapes of values have it.
fn dim(op: &mut Op<'_, '_>, size: &Size) -> Dim {
    let fixed = known(op, size).and_then(|n| usize::try_from(n).ok()).map(Dim::Fixed);
    fixed.unwrap_or_else(|| match *size {
        Size::Of(value, from, to) if to == from + 1 => {
            op.shape(value).and_then(|shape| shape.get(from).cloned()).unwrap_or(Dim::Unknown)
        }
        _ => Dim::Unknown,
    })
}

/// A shape as a one-dimensional `i64` value: a constant where all is known, else computed from the
/// shapes of other values, which becomes a constant once the graph's inputs get their sizes.
pub(super) fn sizes(op: &mut Op<'_, '_>, wanted: &[Size]) -> ValueId {
    let numbers: Vec<Option<i64>> = wanted
        .iter()
        .map(|size| if *size == Size::Rest { Some(-1) } else { known(op, size) })
        .collect();
    if let Some(numbers) = numbers.iter().copied().collect::<Option<Vec<_>>>() {
        return op.ints(&numbers);
    }
    let mut parts = Vec::new();
    for (size, number) in wanted.iter().zip(numbers) {
        parts.push(match (number, size) {
            (Some(number), _) => op.ints(&[number]),
            (None, &Size::Of(value, from, to)) => {
                let name = op.name("sizes");
                let node = op.node("Shape").input(value).attribute("start", from as i64);
                let dims = node.attribute("end", to as i64).output(&name);
                if to == from + 1 {
                    dims
                } else {
                    let name = op.name("product");
                    op.node("ReduceProd").input(dims).ints(&[0]).output(&name)
                }
            }
            (None, _) => op.ints(&[-1]),
        });
    }
    let name = op.name("shape");
    let mut node = op.node("Concat").attribute("axis", 0i64);
    for part in parts {
        node = node.input(part);
    }
    node.output(&name)
}

/// `value` under the shape `wanted`.
pub(super) fn reshaped(op: &mut Op<'_, '_>, value: ValueId, wanted: &[Size]) -> ValueId {
    let kept = |(axis, size): (usize, &Size)| *size == Size::Of(value, axis, axis + 1);
    let numbers: Vec<Option<i64>> = wanted
        .iter()
        .enumerate()
        .map(|(axis, size)| match size {
            Size::Rest => Some(-1),
            size => known(op, size).or(kept((axis, size)).then_some(0)),
        })
        .collect();
    let open = numbers.iter().filter(|number| number.is_none()).count();
    let has_rest = wanted.contains(&Size::Rest);
    // One size that is not known is what is left.
    let numbers: Option<Vec<i64>> = match (open, has_rest) {
        (0, _) | (1, false) => Some(numbers.iter().map(|number| number.unwrap_or(-1)).collect()),
        _ => None,
    };
    let dims: Vec<Dim> = wanted.iter().map(|size| dim(op, size)).collect();
    let result = match numbers {
        Some(numbers) => op.reshape(value, &numbers),
        None => {
            let shape = sizes(op, wanted);
            op.apply("Reshape", &[value, shape])
        }
    };
    // Inference sees sizes, not where they came from; what it finds out is added.
    op.state_shape(result, dims);
    result
}

/// Reshape with MXNet's codes: 0 keeps a dimension, -1 is what is left, -2 keeps all that follow,
/// -3 merges two, -4 splits one into the two that follow. With `reverse` they count from the right.
pub(super) fn reshape(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let reverse = op.attributes().flag("reverse", false)?;
    let x = op.input(0)?;
    let Some(codes) = op.attributes().ints("shape")?.filter(|codes| !codes.is_empty()) else {
        return reshape_to_target(op, x);
    };
    let value = if reverse {
        let rank = op.rank(x)?;
        let mut codes = codes;
        codes.reverse();
        if codes.contains(&-4) {
            return Err(Refusal::new("it splits a dimension and counts from the right"));
        }
        let mut wanted = decoded(op, x, &codes, rank)?;
        // Counted from the right, a dimension is as far from the other end.
        for size in &mut wanted {
            if let Size::Of(value, from, to) = *size {
                *size = Size::Of(value, rank - to, rank - from);
            }
        }
        wanted.reverse();
        reshaped(op, x, &wanted)
    } else {
        let needs_rank = codes.contains(&-2) || codes.contains(&-3) || codes.contains(&-4);
        let rank = if needs_rank { op.rank(x)? } else { usize::MAX };
        let wanted = decoded(op, x, &codes, rank)?;
        reshaped(op, x, &wanted)
    };
    op.finish(value)
}

fn decoded(
    op: &mut Op<'_, '_>,
    x: ValueId,
    codes: &[i64],
    rank: usize,
) -> Result<Vec<Size>, Refusal> {
    let beyond = || Refusal::new("its shape keeps more dimensions than there are");
    let mut wanted = Vec::new();
    let mut source = 0usize;
    let mut codes = codes.iter();
    while let Some(&code) = codes.next() {
        match code {
            0 if source < rank => wanted.push(Size::Of(x, source, source + 1)),
            -1 => wanted.push(Size::Rest),
            -2 => {
                wanted.extend((source..rank).map(|axis| Size::Of(x, axis, axis + 1)));
                source = rank;
                continue;
            }
            -3 if source + 1 < rank => {
                wanted.push(Size::Of(x, source, source + 2));
                source += 1;
            }
            -4 if source < rank => {
                let parts = [codes.next(), codes.next()].map(Option::<&i64>::copied);
                let [Some(left), Some(right)] = parts else { return Err(beyond()) };
                let whole = known(op, &Size::Of(x, source, source + 1));
                let part = |size: i64, other: i64| match (size, whole) {
                    (-1, Some(whole)) if other > 0 => Size::Fixed(whole / other),
                    (-1, _) => Size::Rest,
                    (size, _) => Size::Fixed(size),
                };
                wanted.extend([part(left, right), part(right, left)]);
            }
            n if n > 0 => wanted.push(Size::Fixed(n)),
            _ => return Err(beyond()),
        }
        source += 1;
    }
    if wanted.iter().filter(|size| **size == Size::Rest).count() > 1 {
        return Err(Refusal::new("its shape leaves two dimensions open"));
    }
    Ok(wanted)
}

/// The older attribute target_shape, in which 0 is what is left.
fn reshape_to_target(op: &mut Op<'_, '_>, x: ValueId) -> Result<(), Refusal> {
    let target = op.attributes().ints("target_shape")?.filter(|target| !target.is_empty());
    let target = target.ok_or_else(|| Refusal::new("its shape is not stated"))?;
    let keep = op.attributes().flag("keep_highest", false)?;
    let size = |(axis, &n): (usize, &i64)| match n {
        _ if keep && axis == 0 => Size::Of(x, 0, 1),
        0 => Size::Rest,
        n => Size::Fixed(n),
    };
    let wanted: Vec<Size> = target.iter().enumerate().map(size).collect();
    if wanted.iter().filter(|size| **size == Size::Rest).count() > 1 {
        return Err(Refusal::new("its target_shape leaves two dimensions open"));
    }
    let value = reshaped(op, x, &wanted);
    op.finish(value)
}

/// reshape_like: the shape of the second operand.
pub(super) fn reshape_like(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let ranges = ["lhs_begin", "lhs_end", "rhs_begin", "rhs_end"];
    if ranges.iter().any(|name| op.attributes().text(name).is_some()) {
        return Err(Refusal::new("it takes over a part of a shape, which is not supported"));
    }
    let (x, like) = (op.input(0)?, op.input(1)?);
    let rank = op.rank(like)?;
    let wanted: Vec<Size> = (0..rank).map(|axis| Size::Of(like, axis, axis + 1)).collect();
    let value = reshaped(op, x, &wanted);
    op.finish(value)
}

/// Flatten: everything but the batch.
pub(super) fn flatten(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let value = op.with("Flatten", x, "axis", 1i64);
    op.finish(value)
}

/// expand_dims.
pub(super) fn expand_dims(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis =
        op.attributes().int("axis")?.ok_or_else(|| Refusal::new("its axis is not stated"))?;
    let x = op.input(0)?;
    let name = op.name("unsqueeze");
    let value = op.node("Unsqueeze").input(x).ints(&[axis]).output(&name);
    op.finish(value)
}

/// squeeze: the stated axes, else all of size 1.
pub(super) fn squeeze(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let name = op.name("squeeze");
    let value = match op.attributes().ints("axis")? {
        Some(axes) if !axes.is_empty() => op.node("Squeeze").input(x).ints(&axes).output(&name),
        _ => op.node("Squeeze").input(x).output(&name),
    };
    op.finish(value)
}

/// transpose: the stated order, else the reverse one.
pub(super) fn transpose(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let order = match op.attributes().ints("axes")?.filter(|axes| !axes.is_empty()) {
        Some(axes) => {
            let rank = axes.len();
            let axis = |&axis: &i64| op.axis(axis, rank).map(|axis| axis as i64);
            axes.iter().map(axis).collect::<Result<Vec<_>, _>>()?
        }
        None => (0..op.rank(x)? as i64).rev().collect(),
    };
    let value = op.transpose(x, &order);
    op.finish(value)
}

/// SwapAxis: attributes dim1 and dim2.
pub(super) fn swap_axes(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let dims = [op.attributes().int("dim1")?, op.attributes().int("dim2")?];
    let x = op.input(0)?;
    let rank = op.rank(x)?;
    let [a, b] = dims.map(|dim| op.axis(dim.unwrap_or(0), rank));
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(a?, b?);
    let value = op.transpose(x, &order);
    op.finish(value)
}

fn expanded(op: &mut Op<'_, '_>, x: ValueId, wanted: &[Size]) -> Result<(), Refusal> {
    let shape = sizes(op, wanted);
    let value = op.apply("Expand", &[x, shape]);
    let dims: Vec<Dim> = wanted.iter().map(|size| dim(op, size)).collect();
    op.state_shape(value, dims);
    op.finish(value)
}

/// broadcast_to: attribute shape, in which 0 keeps a dimension.
pub(super) fn broadcast_to(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let shape = op.attributes().ints("shape")?.unwrap_or_default();
    let x = op.input(0)?;
    let size = |(axis, &n): (usize, &i64)| {
        if n == 0 { Size::Of(x, axis, axis + 1) } else { Size::Fixed(n) }
    };
    let wanted: Vec<Size> = shape.iter().enumerate().map(size).collect();
    expanded(op, x, &wanted)
}

/// broadcast_axis: attributes axis and size.
pub(super) fn broadcast_axis(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axes = op.attributes().ints("axis")?.unwrap_or_default();
    let counts = op.attributes().ints("size")?.unwrap_or_default();
    let x = op.input(0)?;
    let rank = op.rank(x)?;
    let mut wanted: Vec<Size> = (0..rank).map(|axis| Size::Of(x, axis, axis + 1)).collect();
    for (&axis, &count) in axes.iter().zip(&counts) {
        let axis = op.axis(axis, rank)?;
        wanted[axis] = Size::Fixed(count);
    }
    expanded(op, x, &wanted)
}

/// broadcast_like: the shape of the second operand.
pub(super) fn broadcast_like(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let lists = [op.attributes().ints("lhs_axes")?, op.attributes().ints("rhs_axes")?];
    let (x, like) = (op.input(0)?, op.input(1)?);
    let rank = op.rank(x)?;
    let wanted: Vec<Size> = match lists {
        [Some(mine), Some(theirs)] if !mine.is_empty() => {
            let other = op.rank(like)?;
            let mut wanted: Vec<Size> = (0..rank).map(|axis| Size::Of(x, axis, axis + 1)).collect();
            for (&mine, &theirs) in mine.iter().zip(&theirs) {
                let (mine, theirs) = (op.axis(mine, rank)?, op.axis(theirs, other)?);
                wanted[mine] = Size::Of(like, theirs, theirs + 1);
            }
            wanted
        }
        _ => (0..rank).map(|axis| Size::Of(like, axis, axis + 1)).collect(),
    };
    expanded(op, x, &wanted)
}

/// depth_to_space and space_to_depth.
pub(super) fn blocks(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let size = op.attributes().int("block_size")?;
    let size = size.ok_or_else(|| Refusal::new("its block_size is not stated"))?;
    let x = op.input(0)?;
    let value = op.with(onnx, x, "blocksize", size);
    op.finish(value)
}

/// shape_array.
pub(super) fn shape_array(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let value = op.apply("Shape", &[x]);
    op.finish(value)
}

/// size_array.
pub(super) fn size_array(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let size = op.apply("Size", &[x]);
    let value = op.reshape(size, &[1]);
    op.finish(value)
}

fn scalar(dtype: DType, value: f32) -> Result<Tensor, Refusal> {
    let scalar = match dtype {
        DType::F32 => Tensor::new([1], vec![value]),
        DType::F64 => Tensor::new([1], vec![f64::from(value)]),
        DType::F16 => Tensor::new([1], vec![half::f16::from_f32(value)]),
        DType::I32 => Tensor::new([1], vec![value as i32]),
        DType::I64 => Tensor::new([1], vec![value as i64]),
        DType::U8 => Tensor::new([1], vec![value as u8]),
        other => return Err(Refusal(format!("elements of type {other} are not supported here"))),
    };
    scalar.map_err(|error| Refusal(error.to_string()))
}

/// zeros_like and ones_like.
pub(super) fn filled_like(op: &mut Op<'_, '_>, value: f32) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let rank = op.rank(x)?;
    let fill = scalar(op.dtype(x), value)?;
    let wanted: Vec<Size> = (0..rank).map(|axis| Size::Of(x, axis, axis + 1)).collect();
    let shape = sizes(op, &wanted);
    let value = op.with("ConstantOfShape", shape, "value", fill);
    let dims = op.ranked(x)?;
    op.state_shape(value, dims);
    op.finish(value)
}

/// _zeros, _ones, and _full with its attribute value.
pub(super) fn filled(op: &mut Op<'_, '_>, value: Option<f32>) -> Result<(), Refusal> {
    let shape = op.attributes().ints("shape")?.unwrap_or_default();
    let value = match value {
        Some(value) => value,
        None => op.attributes().float("value")?.unwrap_or(0.0),
    };
    let count = shape.iter().try_fold(1i64, |n, &m| n.checked_mul(m).filter(|_| m > 0));
    if count.is_none_or(|count| count > MOST_ELEMENTS as i64) {
        return Err(Refusal::new("its shape is not stated, or too large"));
    }
    let dtype = elementwise::dtype(op, "dtype")?.unwrap_or(DType::F32);
    let shape = op.ints(&shape);
    let value = op.with("ConstantOfShape", shape, "value", scalar(dtype, value)?);
    op.finish(value)
}

/// _arange: attributes start, stop, step, repeat. Without stop, start is the stop.
pub(super) fn arange(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let attributes = op.attributes();
    let start = attributes.float("start")?.unwrap_or(0.0);
    let step = attributes.float("step")?.unwrap_or(1.0);
    let repeat = attributes.int("repeat")?.unwrap_or(1).max(1) as usize;
    if attributes.flag("infer_range", false)? {
        return Err(Refusal::new("it infers its length from its use, which is not supported"));
    }
    let (start, stop) = match attributes.float("stop")? {
        Some(stop) => (start, stop),
        None => (0.0, start),
    };
    let length = ((stop - start) / step).ceil();
    if !(0.0..=MOST_ELEMENTS as f32).contains(&length) || repeat > MOST_ELEMENTS {
        return Err(Refusal::new("its range is none, or too long"));
    }
    let value = |index: usize| start + step * index as f32;
    let numbers = (0..length as usize).flat_map(|index| std::iter::repeat_n(value(index), repeat));
    let numbers: Vec<f32> = numbers.take(MOST_ELEMENTS).collect();
    let numbers = match elementwise::dtype(op, "dtype")?.unwrap_or(DType::F32) {
        DType::I32 => Tensor::vector(numbers.iter().map(|&x| x as i32).collect()),
        DType::I64 => Tensor::vector(numbers.iter().map(|&x| x as i64).collect()),
        _ => Tensor::vector(numbers),
    };
    let value = op.constant(numbers);
    op.finish(value)
}

/// arange_like: as many numbers as the operand has elements, or along one axis.
pub(super) fn arange_like(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let start = op.attributes().float("start")?.unwrap_or(0.0);
    let step = op.attributes().float("step")?.unwrap_or(1.0);
    let repeat = op.attributes().int("repeat")?.unwrap_or(1);
    if repeat != 1 {
        return Err(Refusal::new("it repeats its numbers, which is not supported"));
    }
    let axis = op.attributes().int("axis")?;
    let x = op.input(0)?;
    let count = match axis {
        Some(axis) => {
            let rank = op.rank(x)?;
            let axis = op.axis(axis, rank)?;
            sizes(op, &[Size::Of(x, axis, axis + 1)])
        }
        None => {
            let rank = op.rank(x)?;
            sizes(op, &[Size::Of(x, 0, rank)])
        }
    };
    let count = op.reshape(count, &[]);
    let (zero, one) = (op.constant(Tensor::scalar(0i64)), op.constant(Tensor::scalar(1i64)));
    let numbers = op.apply("Range", &[zero, count, one]);
    let numbers = op.cast(numbers, DType::F32);
    let (step, start) = (op.constant(Tensor::scalar(step)), op.constant(Tensor::scalar(start)));
    let numbers = op.apply("Mul", &[numbers, step]);
    let mut value = op.apply("Add", &[numbers, start]);
    if axis.is_none() {
        let rank = op.rank(x)?;
        let wanted: Vec<Size> = (0..rank).map(|axis| Size::Of(x, axis, axis + 1)).collect();
        value = reshaped(op, value, &wanted);
    }
    op.finish(value)
}
