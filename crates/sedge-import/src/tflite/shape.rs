//! Operators that rearrange, repeat or describe a tensor without computing on its elements. They
//! act on the integers of quantised tensors.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::{Domain, Layout, Op};
use super::reduce::single;

/// RESHAPE: the shape as an operand or, in old files, as an option.
pub(super) fn reshape(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.stored(0)?;
    let known = if op.has(1) { op.known_ints(1) } else { Some(op.option_ints(0)?) };
    let shape = match known.as_deref() {
        // Old converters wrote a scalar's shape so.
        Some([0]) => op.ints_constant(&[]),
        Some(ints) => op.ints_constant(ints),
        None => op.shape_operand(1)?,
    };
    // A zero is a size here; ONNX would copy the operand's.
    let has_zero = known.is_some_and(|ints| ints.len() > 1 && ints.contains(&0));
    let name = op.name("reshape");
    let mut node = op.node("Reshape").input(value).input(shape);
    if has_zero {
        node = node.attribute("allowzero", 1i64);
    }
    let value = node.output(&name);
    op.finish_stored(0, value)
}

/// SQUEEZE: option squeeze_dims; none means all of size one.
pub(super) fn squeeze(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axes = op.option_ints(0)?;
    let value = op.stored(0)?;
    let name = op.name("squeeze");
    let mut node = op.node("Squeeze").input(value);
    if !axes.is_empty() {
        node = node.ints(&axes);
    }
    let value = node.output(&name);
    op.finish_stored(0, value)
}

/// EXPAND_DIMS.
pub(super) fn expand_dims(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = single(&op.ints(1, "the axis")?)?;
    let value = op.stored(0)?;
    let value = op.unsqueeze(value, &[axis]);
    op.finish_stored(0, value)
}

/// TRANSPOSE.
pub(super) fn transpose(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let order = op.ints(1, "the order of dimensions")?;
    let value = op.stored(0)?;
    let value = op.transpose(value, &order);
    op.finish_stored(0, value)
}

/// SHAPE: option out_type.
pub(super) fn shape(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.stored(0)?;
    let mut value = op.apply("Shape", &[value]);
    if op.result(0)?.dtype != Some(DType::I64) {
        value = op.cast(value, DType::I32);
    }
    op.finish_stored(0, value)
}

/// RANK.
pub(super) fn rank(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let rank = i32::try_from(op.rank(0)?).unwrap_or(i32::MAX);
    op.finish_constant(0, Tensor::scalar(rank))
}

/// CONCATENATION: options axis and activation. Operands of other quantisation than the result's
/// are brought to it first.
pub(super) fn concatenation(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = i64::from(op.operator.options.i32(0, 0)?);
    let activation = op.operator.options.i8(1, 0)?;
    let count = op.operator.inputs.len();
    if activation != 0 {
        let parts: Vec<ValueId> =
            (0..count).map(|index| op.real(index)).collect::<Result<_, _>>()?;
        let value = concat(op, &parts, axis);
        let value = op.activate(value, activation, Domain::Real)?;
        return op.finish_real(0, value);
    }
    let result = op.operator.outputs.first().copied().flatten();
    let mut parts = Vec::with_capacity(count);
    for index in 0..count {
        parts.push(match result {
            Some(result) if !op.same_quantization(index)? => {
                let real = op.real(index)?;
                op.context.quantize(result, real)?
            }
            _ => op.stored(index)?,
        });
    }
    let value = concat(op, &parts, axis);
    op.finish_stored(0, value)
}

fn concat(op: &mut Op<'_, '_>, parts: &[ValueId], axis: i64) -> ValueId {
    let name = op.name("concat");
    let mut node = op.node("Concat").attribute("axis", axis);
    for &part in parts {
        node = node.input(part);
    }
    node.output(&name)
}

/// PACK: options values_count, axis.
pub(super) fn pack(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = i64::from(op.operator.options.i32(1, 0)?);
    let mut parts = Vec::new();
    for index in 0..op.operator.inputs.len() {
        let value = op.stored(index)?;
        parts.push(op.unsqueeze(value, &[axis]));
    }
    let value = concat(op, &parts, axis);
    op.finish_stored(0, value)
}

/// UNPACK: options num, axis.
pub(super) fn unpack(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = i64::from(op.operator.options.i32(1, 0)?);
    let value = op.stored(0)?;
    let parts = split(op, value, axis, None)?;
    for (index, part) in parts.into_iter().enumerate() {
        if op.operator.outputs[index].is_some() {
            let name = op.name("squeeze");
            let part = op.node("Squeeze").input(part).ints(&[axis]).output(&name);
            op.finish_stored(index, part)?;
        }
    }
    Ok(())
}

/// SPLIT: the axis comes first.
pub(super) fn split_even(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = single(&op.ints(0, "the axis")?)?;
    let value = op.stored(1)?;
    let parts = split(op, value, axis, None)?;
    finish_parts(op, parts)
}

/// SPLIT_V: one size may be -1, the rest.
pub(super) fn split_sizes(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = single(&op.ints(2, "the axis")?)?;
    let mut sizes = op.ints(1, "the list of sizes")?;
    if let Some(rest) = sizes.iter().position(|&size| size < 0) {
        let whole = op.info(0)?.dim(axis as isize);
        let whole = whole.ok_or_else(|| Refusal::new("the size it splits is unknown"))?;
        let others = sizes.iter().filter(|size| **size >= 0);
        let others = others.fold(0i64, |sum, &size| sum.saturating_add(size));
        sizes[rest] = whole as i64 - others;
    }
    let value = op.stored(0)?;
    let parts = split(op, value, axis, Some(&sizes))?;
    finish_parts(op, parts)
}

fn split(
    op: &mut Op<'_, '_>,
    value: ValueId,
    axis: i64,
    sizes: Option<&[i64]>,
) -> Result<Vec<ValueId>, Refusal> {
    let count = op.operator.outputs.len();
    if sizes.is_some_and(|sizes| sizes.len() != count) {
        return Err(Refusal::new("it names another number of sizes than it has results"));
    }
    let mut parts = Vec::with_capacity(count);
    for index in 0..count {
        let name = op.name(&format!("part{index}"));
        parts.push(op.context.graph.add_value(sedge_graph::Value { name, ..Default::default() }));
    }
    let mut node = op.node("Split").input(value).attribute("axis", axis);
    node = match sizes {
        Some(sizes) => node.ints(sizes),
        None => node.attribute("num_outputs", count as i64),
    };
    node.outputs_to(parts.iter().copied().map(Some).collect());
    Ok(parts)
}

fn finish_parts(op: &mut Op<'_, '_>, parts: Vec<ValueId>) -> Result<(), Refusal> {
    for (index, part) in parts.into_iter().enumerate() {
        if op.operator.outputs[index].is_some() {
            op.finish_stored(index, part)?;
        }
    }
    Ok(())
}

/// TILE.
pub(super) fn tile(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.stored(0)?;
    let repeats = op.shape_operand(1)?;
    let value = op.apply("Tile", &[value, repeats]);
    op.finish_stored(0, value)
}

/// BROADCAST_TO.
pub(super) fn broadcast_to(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.stored(0)?;
    let shape = op.shape_operand(1)?;
    let value = op.apply("Expand", &[value, shape]);
    op.finish_stored(0, value)
}

/// BROADCAST_ARGS: the shape that two shapes broadcast to.
pub(super) fn broadcast_args(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.shape_operand(0)?, op.shape_operand(1)?);
    let lengths = [op.info(0)?.dim(0), op.info(1)?.dim(0)].map(|n| n.unwrap_or_default() as i64);
    let longest = lengths[0].max(lengths[1]);
    let mut sides = [left, right];
    for (side, length) in sides.iter_mut().zip(lengths).filter(|(_, length)| *length < longest) {
        let ones = op.ints_constant(&vec![1; (longest - length).clamp(0, 16) as usize]);
        *side = concat(op, &[ones, *side], 0);
    }
    // A one gives way to whatever stands against it, a zero too.
    let one = op.ints_constant(&[1]);
    let free = op.apply("Equal", &[sides[0], one]);
    let value = op.apply("Where", &[free, sides[1], sides[0]]);
    let to = op.result(0)?.dtype.unwrap_or(DType::I32);
    let value = op.cast(value, to);
    op.finish_stored(0, value)
}

/// DENSIFY: its operand was made dense when it was read.
pub(super) fn identity(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    match op.constant(0).cloned() {
        Some(constant) => op.finish_constant(0, constant),
        None => {
            let value = op.stored(0)?;
            let value = op.apply("Identity", &[value]);
            op.finish_stored(0, value)
        }
    }
}

/// FILL: the shape comes first.
pub(super) fn fill(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let shape = op.shape_operand(0)?;
    let value = op.stored(1)?;
    let value = op.apply("Expand", &[value, shape]);
    op.finish_stored(0, value)
}

/// ZEROS_LIKE.
pub(super) fn zeros_like(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.stored(0)?;
    let shape = op.apply("Shape", &[value]);
    let zero = match op.result(0)?.dtype {
        Some(DType::F32) => Tensor::vector(vec![0f32]),
        Some(DType::I64) => Tensor::vector(vec![0i64]),
        Some(DType::I32) => Tensor::vector(vec![0i32]),
        _ => return Err(Refusal::new("its element type is not supported")),
    };
    let name = op.name("zeros");
    let value = op.node("ConstantOfShape").input(shape).attribute("value", zero).output(&name);
    op.finish_stored(0, value)
}

/// RANGE: start, limit and step.
pub(super) fn range(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let operands = [op.stored(0)?, op.stored(1)?, op.stored(2)?];
    let value = op.apply("Range", &operands);
    op.finish_stored(0, value)
}

/// ONE_HOT: positions, depth, value on, value off; option axis.
pub(super) fn one_hot(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axis = i64::from(op.operator.options.i32(0, 0)?);
    let (positions, depth) = (op.stored(0)?, op.stored(1)?);
    let (on, off) = (op.stored(2)?, op.stored(3)?);
    let (on, off) = (op.unsqueeze(on, &[0]), op.unsqueeze(off, &[0]));
    let values = concat(op, &[off, on], 0);
    let name = op.name("onehot");
    let node = op.node("OneHot").input(positions).input(depth).input(values);
    let value = node.attribute("axis", axis).output(&name);
    op.finish_stored(0, value)
}

/// REVERSE_V2: along the axes of operand 1.
pub(super) fn reverse(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let axes = op.ints(1, "the list of axes")?;
    let value = op.stored(0)?;
    let name = op.name("reverse");
    let all = |n: i64| vec![n; axes.len()];
    let node = op.node("Slice").input(value).ints(&all(-1)).ints(&all(i64::MIN));
    let value = node.ints(&axes).ints(&all(-1)).output(&name);
    op.finish_stored(0, value)
}

/// SPACE_TO_DEPTH and DEPTH_TO_SPACE: option block_size. TensorFlow's order of channels is ONNX's
/// default.
pub(super) fn depth_and_space(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let block = i64::from(op.operator.options.i32(0, 0)?);
    let domain = if op.same_quantization(0)? && op.info(0)?.quantized().is_none() {
        Domain::Stored
    } else {
        Domain::Real
    };
    let value = op.view(0, Layout::ChannelsFirst, domain)?;
    let name = op.name(&onnx.to_lowercase());
    let value = op.node(onnx).input(value).attribute("blocksize", block).output(&name);
    op.finish(0, value, Layout::ChannelsFirst, domain)
}

impl Op<'_, '_> {
    /// `value` with new dimensions of size one.
    pub(super) fn unsqueeze(&mut self, value: ValueId, axes: &[i64]) -> ValueId {
        let name = self.name("unsqueeze");
        self.node("Unsqueeze").input(value).ints(axes).output(&name)
    }
}
