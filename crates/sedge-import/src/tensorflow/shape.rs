//! Operators that rearrange, repeat or describe a tensor without computing on its elements.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;
use super::dims::Element;

/// What only passes a tensor on: it is the same value.
pub(super) fn identity(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    op.finish(value)
}

/// IdentityN.
pub(super) fn identities(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    for index in 0..op.count() {
        let value = op.operand(index)?;
        op.finish_at(index, value);
    }
    Ok(())
}

/// Reshape.
pub(super) fn reshape(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let value = op.reshaped(value, 1)?;
    op.finish(value)
}

/// Squeeze: no dimensions named means all of size one.
pub(super) fn squeeze(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let axes = [op.int_list("squeeze_dims"), op.int_list("axis")].concat();
    let contents = op.contents(0);
    let result = match axes.as_slice() {
        [] => {
            // A size that is not known now is not one: the graph would have another rank.
            let dims = op.dims(value).ok_or_else(|| {
                Refusal::new("which dimensions it drops depends on a shape that is not known")
            })?;
            let ones = dims.iter().enumerate().filter(|(_, dim)| dim.fixed() == Some(1));
            let ones: Vec<i64> = ones.map(|(axis, _)| axis as i64).collect();
            op.apply_ints("Squeeze", value, &ones)
        }
        axes => op.apply_ints("Squeeze", value, axes),
    };
    op.note(result, contents);
    op.finish(result)
}

/// ExpandDims.
pub(super) fn expand_dims(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.single(1, "the axis")?;
    let value = op.operand(0)?;
    let contents = op.contents(0);
    let result = op.apply_ints("Unsqueeze", value, &[axis]);
    op.note(result, contents);
    op.finish(result)
}

/// Transpose.
pub(super) fn transpose(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let order = op.ints(1, "the order of dimensions")?;
    let value = op.operand(0)?;
    let value = op.transpose(value, &order);
    op.finish(value)
}

/// Shape: attribute out_type.
pub(super) fn shape(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let contents = op.dims(value).map(|dims| dims.iter().map(Element::from).collect());
    let shape = op.apply("Shape", &[value]);
    let result = integer(op, shape, "out_type");
    op.note(result, contents);
    op.finish(result)
}

/// `value`, which is `i64`, in the integer type that an attribute names; `i32` when it names none.
pub(super) fn integer(op: &mut Op<'_, '_>, value: ValueId, attribute: &str) -> ValueId {
    match op.dtype_attribute(attribute) {
        Ok(DType::I64) => value,
        _ => op.cast(value, DType::I32),
    }
}

/// Rank.
pub(super) fn rank(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let rank = op.rank(op.operand(0)?)?;
    let constant = op.add_constant(Tensor::scalar(i32::try_from(rank).unwrap_or(i32::MAX)));
    op.finish(constant)
}

/// Size.
pub(super) fn size(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let size = op.apply("Size", &[value]);
    let size = integer(op, size, "out_type");
    op.finish(size)
}

/// ConcatV2: the axis comes last; Concat: first.
pub(super) fn concat(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let last = op.count().checked_sub(1).ok_or_else(|| Refusal::new("it has no operands"))?;
    let (at, parts) = if op.kind() == "Concat" { (0, 1..last + 1) } else { (last, 0..last) };
    let axis = op.single(at, "the axis")?;
    let values = parts.clone().map(|index| op.operand(index)).collect::<Result<Vec<_>, _>>()?;
    let contents = op.joined(parts);
    let result = join(op, &values, axis);
    let flat = op.dims(values[0]).is_some_and(|dims| dims.len() == 1);
    op.note(result, contents.filter(|_| flat));
    op.finish(result)
}

/// The parts one after the other along an axis.
pub(super) fn join(op: &mut Op<'_, '_>, parts: &[ValueId], axis: i64) -> ValueId {
    let name = op.name("concat");
    let mut node = op.start("Concat").attribute("axis", axis);
    for &part in parts {
        node = node.input(part);
    }
    node.output(&name)
}

/// Pack: attribute axis.
pub(super) fn pack(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.int("axis").unwrap_or(0);
    let values = op.operands(0)?;
    if values.is_empty() {
        return Err(Refusal::new("it has no operands"));
    }
    let contents = op.joined(0..values.len());
    let scalars = op.dims(values[0]).is_some_and(<[_]>::is_empty);
    let parts: Vec<ValueId> =
        values.iter().map(|&value| op.apply_ints("Unsqueeze", value, &[axis])).collect();
    let result = join(op, &parts, axis);
    op.note(result, contents.filter(|_| scalars));
    op.finish(result)
}

/// Most parts a tensor is split into.
const MAX_PARTS: i64 = 1 << 12;

/// Unpack: attributes num, axis.
pub(super) fn unpack(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.int("axis").unwrap_or(0);
    let value = op.operand(0)?;
    let contents = op.contents(0);
    let parts = split(op, value, axis, op.int("num").unwrap_or(0), None)?;
    for (index, part) in parts.into_iter().enumerate() {
        let part = op.apply_ints("Squeeze", part, &[axis]);
        op.note(part, contents.as_ref().and_then(|list| Some(vec![list.get(index)?.clone()])));
        op.finish_at(index, part);
    }
    Ok(())
}

/// Split: the axis comes first; attribute num_split.
pub(super) fn split_even(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.single(0, "the axis")?;
    let value = op.operand(1)?;
    let parts = split(op, value, axis, op.int("num_split").unwrap_or(0), None)?;
    parts.into_iter().enumerate().for_each(|(index, part)| op.finish_at(index, part));
    Ok(())
}

/// SplitV: one size may be -1, the rest.
pub(super) fn split_sizes(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.single(2, "the axis")?;
    let mut sizes = op.ints(1, "the list of sizes")?;
    let value = op.operand(0)?;
    if let Some(rest) = sizes.iter().position(|&size| size < 0) {
        let whole = op.dim(value, axis);
        let whole = whole.ok_or_else(|| Refusal::new("the size it splits is unknown"))?;
        let others = sizes.iter().filter(|size| **size >= 0);
        let others = others.fold(0i64, |sum, &size| sum.saturating_add(size));
        sizes[rest] = (whole as i64).saturating_sub(others);
    }
    let parts = split(op, value, axis, sizes.len() as i64, Some(&sizes))?;
    parts.into_iter().enumerate().for_each(|(index, part)| op.finish_at(index, part));
    Ok(())
}

fn split(
    op: &mut Op<'_, '_>,
    value: ValueId,
    axis: i64,
    count: i64,
    sizes: Option<&[i64]>,
) -> Result<Vec<ValueId>, Refusal> {
    if !(1..=MAX_PARTS).contains(&count) {
        return Err(Refusal(format!("it makes {count} parts")));
    }
    let parts = op.fresh(count as usize);
    let node = op.start("Split").input(value).attribute("axis", axis);
    let node = match sizes {
        Some(sizes) => node.ints(sizes),
        None => node.attribute("num_outputs", count),
    };
    node.outputs_to(parts.iter().copied().map(Some).collect());
    Ok(parts)
}

/// Tile.
pub(super) fn tile(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let repeats = op.shape_operand(1)?;
    let value = op.apply("Tile", &[value, repeats]);
    op.finish(value)
}

/// BroadcastTo.
pub(super) fn broadcast_to(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    expand(op, value, 1)
}

/// `value` repeated to the shape that operand `index` gives.
fn expand(op: &mut Op<'_, '_>, value: ValueId, index: usize) -> Result<(), Refusal> {
    let contents = op.contents(index);
    let shape = op.shape_operand(index)?;
    let value = op.apply("Expand", &[value, shape]);
    op.tell_shape(value, contents.as_deref());
    op.finish(value)
}

/// Fill: the shape comes first.
pub(super) fn fill(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(1)?;
    expand(op, value, 0)
}

/// ZerosLike and OnesLike.
pub(super) fn constant_like(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let n = i8::from(op.kind() == "OnesLike");
    let dtype = op.dtype(value).ok_or_else(|| Refusal::new("its element type is not known"))?;
    let dims = op.dims(value).map(<[_]>::to_vec);
    let shape = op.apply("Shape", &[value]);
    let element = op.add_constant(Tensor::vector(vec![f32::from(n)]));
    let element = op.cast(element, dtype);
    let value = op.apply("Expand", &[element, shape]);
    op.context.graph.value_mut(value).shape = dims;
    op.finish(value)
}

/// Range: start, limit and step.
pub(super) fn range(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let operands = op.operands(0)?;
    let value = op.apply("Range", &operands);
    op.finish(value)
}

/// OneHot: positions, depth, value on, value off; attribute axis.
pub(super) fn one_hot(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = op.int("axis").unwrap_or(-1);
    let (positions, depth) = (op.operand(0)?, op.operand(1)?);
    let (on, off) = (op.operand(2)?, op.operand(3)?);
    let (on, off) = (op.apply_ints("Unsqueeze", on, &[0]), op.apply_ints("Unsqueeze", off, &[0]));
    let values = join(op, &[off, on], 0);
    let name = op.name("onehot");
    let node = op.start("OneHot").input(positions).input(depth).input(values);
    let value = node.attribute("axis", axis).output(&name);
    op.finish(value)
}

/// ReverseV2: along the axes of operand 1.
pub(super) fn reverse(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axes = op.ints(1, "the list of axes")?;
    let value = op.operand(0)?;
    let name = op.name("reverse");
    let all = |n: i64| vec![n; axes.len()];
    let node = op.start("Slice").input(value).ints(&all(-1)).ints(&all(i64::MIN));
    let value = node.ints(&axes).ints(&all(-1)).output(&name);
    op.finish(value)
}

/// DepthToSpace and SpaceToDepth: attribute block_size. TensorFlow's order of channels is ONNX's
/// default.
pub(super) fn depth_and_space(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let block = op.int("block_size").unwrap_or(0);
    let value = op.picture(0)?;
    let name = op.name("blocks");
    let value = op.start(op.kind()).input(value).attribute("blocksize", block).output(&name);
    op.finish_picture(value)
}

/// Cast: attribute DstT.
pub(super) fn cast(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let to = op.dtype_attribute("DstT")?;
    let value = op.operand(0)?;
    let contents = op.contents(0).filter(|_| to.is_integer());
    let result = op.cast(value, to);
    op.note(result, contents);
    op.finish(result)
}
