//! Operators that work element by element, and the normalisations along the last dimension.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::{Domain, Op};

/// An operator of one operand that ONNX has too.
pub(super) fn unary(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let value = op.real(0)?;
    let value = op.apply(onnx, &[value]);
    op.finish_real(0, value)
}

/// A rectifier with an upper end.
pub(super) fn clip(op: &mut Op<'_, '_>, low: f32, high: f32) -> Result<(), Refusal> {
    let value = op.real(0)?;
    let value = op.clip(value, low, high);
    op.finish_real(0, value)
}

/// An arithmetic operator of two operands, with its fused activation in the options' first field.
pub(super) fn arithmetic(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let (left, right) = (op.real(0)?, op.real(1)?);
    let value = op.apply(onnx, &[left, right]);
    let activation = op.operator.options.i8(0, 0)?;
    let value = op.activate(value, activation, Domain::Real)?;
    op.finish_real(0, value)
}

/// An operator of two operands without options.
pub(super) fn binary(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let (left, right) = (op.real(0)?, op.real(1)?);
    let value = op.apply(onnx, &[left, right]);
    op.finish_real(0, value)
}

/// ADD_N: the sum of all operands.
pub(super) fn add_n(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let operands: Vec<ValueId> =
        (0..op.operator.inputs.len()).map(|index| op.real(index)).collect::<Result<_, _>>()?;
    let value = op.apply("Sum", &operands);
    op.finish_real(0, value)
}

/// NOT_EQUAL.
pub(super) fn not_equal(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.real(0)?, op.real(1)?);
    let equal = op.apply("Equal", &[left, right]);
    let value = op.apply("Not", &[equal]);
    op.finish_real(0, value)
}

/// SQUARE and the like: an operand times itself.
pub(super) fn square(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.real(0)?;
    let value = op.apply("Mul", &[value, value]);
    op.finish_real(0, value)
}

/// SQUARED_DIFFERENCE.
pub(super) fn squared_difference(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.real(0)?, op.real(1)?);
    let difference = op.apply("Sub", &[left, right]);
    let value = op.apply("Mul", &[difference, difference]);
    op.finish_real(0, value)
}

/// RSQRT.
pub(super) fn rsqrt(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.real(0)?;
    let root = op.apply("Sqrt", &[value]);
    let value = op.apply("Reciprocal", &[root]);
    op.finish_real(0, value)
}

/// LEAKY_RELU: option alpha.
pub(super) fn leaky_relu(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let alpha = op.operator.options.f32(0, 0.0)?;
    let value = op.real(0)?;
    let name = op.name("leakyrelu");
    let value = op.node("LeakyRelu").input(value).attribute("alpha", alpha).output(&name);
    op.finish_real(0, value)
}

/// GELU: option approximate.
pub(super) fn gelu(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let approximate = if op.operator.options.bool(0)? { "tanh" } else { "none" };
    let value = op.real(0)?;
    let name = op.name("gelu");
    let value = op.node("Gelu").input(value).attribute("approximate", approximate).output(&name);
    op.finish_real(0, value)
}

/// SOFTMAX: option beta scales the logits.
pub(super) fn softmax(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let beta = op.operator.options.f32(0, 0.0)?;
    let mut value = op.real(0)?;
    if beta != 1.0 {
        let beta = op.scalar(beta);
        value = op.apply("Mul", &[value, beta]);
    }
    last_axis(op, "Softmax", value)
}

/// LOG_SOFTMAX.
pub(super) fn log_softmax(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.real(0)?;
    last_axis(op, "LogSoftmax", value)
}

fn last_axis(op: &mut Op<'_, '_>, onnx: &str, value: ValueId) -> Result<(), Refusal> {
    let name = op.name(&onnx.to_lowercase());
    let value = op.node(onnx).input(value).attribute("axis", -1i64).output(&name);
    op.finish_real(0, value)
}

/// L2_NORMALIZATION along the last dimension.
pub(super) fn l2_normalization(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    // The least norm that is divided by; TensorFlow Lite's kernel has it as a constant.
    const LEAST: f32 = 1e-6;
    let value = op.real(0)?;
    let name = op.name("norm");
    let norm = op.node("ReduceL2").input(value).ints(&[-1]).output(&name);
    let least = op.scalar(LEAST);
    let norm = op.apply("Max", &[norm, least]);
    let value = op.apply("Div", &[value, norm]);
    let activation = op.operator.options.i8(0, 0)?;
    let value = op.activate(value, activation, Domain::Real)?;
    op.finish_real(0, value)
}

/// CAST: the types stand with the tensors.
pub(super) fn cast(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let to = op.result(0)?.dtype.ok_or_else(|| Refusal::new("its result's type is unknown"))?;
    let value = op.stored(0)?;
    let value = op.cast(value, to);
    op.finish_stored(0, value)
}

/// SELECT and SELECT_V2: condition, then, else.
pub(super) fn select(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let mut condition = op.stored(0)?;
    // SELECT's vector condition chooses whole rows; SELECT_V2 broadcasts from the right.
    if op.operator.name == "SELECT" && op.rank(0)? == 1 && op.rank(1)? > 1 {
        let axes: Vec<i64> = (1..op.rank(1)? as i64).collect();
        let name = op.name("rows");
        condition = op.node("Unsqueeze").input(condition).ints(&axes).output(&name);
    }
    let stored = op.same_quantization(1)? && op.same_quantization(2)?;
    let domain = if stored { Domain::Stored } else { Domain::Real };
    let layout = super::builder::Layout::AsStored;
    let (then, other) = (op.view(1, layout, domain)?, op.view(2, layout, domain)?);
    let value = op.apply("Where", &[condition, then, other]);
    op.finish(0, value, layout, domain)
}

/// WHERE: the positions of true elements, one per row.
pub(super) fn positions(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let condition = op.stored(0)?;
    let nonzero = op.apply("NonZero", &[condition]);
    let value = op.transpose(nonzero, &[1, 0]);
    op.finish_stored(0, value)
}

/// ATAN2: the angle of (x, y), operand 0 being y.
pub(super) fn atan2(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    use std::f32::consts::PI;
    let (y, x) = (op.real(0)?, op.real(1)?);
    let [zero, one] = [0.0, 1.0].map(|number| op.scalar(number));
    // Where both are zero so is the angle; their quotient is no number.
    let x_is_zero = op.apply("Equal", &[x, zero]);
    let y_is_zero = op.apply("Equal", &[y, zero]);
    let origin = op.apply("And", &[x_is_zero, y_is_zero]);
    let divisor = op.apply("Where", &[origin, one, x]);
    let slope = op.apply("Div", &[y, divisor]);
    let angle = op.apply("Atan", &[slope]);
    // The arc tangent knows the right half only; the left one lies half a turn on.
    let [half, back] = [PI, -PI].map(|number| op.scalar(number));
    let below = op.apply("Less", &[y, zero]);
    let turn = op.apply("Where", &[below, back, half]);
    let left = op.apply("Less", &[x, zero]);
    let turn = op.apply("Where", &[left, turn, zero]);
    let value = op.apply("Add", &[angle, turn]);
    op.finish_real(0, value)
}

/// BUCKETIZE: option boundaries, in order; counts those that are not above the element.
pub(super) fn bucketize(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    op.context.charge(options.vector(0, 4)?.map_or(0, <[u8]>::len))?;
    let boundaries = options.f32s(0)?;
    let value = op.real(0)?;
    let value = op.cast(value, DType::F32);
    let name = op.name("boundaries");
    let boundaries = op.context.graph.add_constant(name, Tensor::vector(boundaries));
    let value = op.unsqueeze(value, &[-1]);
    let passed = op.apply("GreaterOrEqual", &[value, boundaries]);
    let passed = op.cast(passed, DType::I32);
    let name = op.name("bucket");
    let node = op.node("ReduceSum").input(passed).ints(&[-1]);
    let value = node.attribute("keepdims", 0i64).output(&name);
    op.finish_stored(0, value)
}

/// FAKE_QUANT: options min, max, num_bits, and narrow_range, which has no kernel; rounds to the steps of a range that is
/// moved so that zero is one of them (`kernels/internal/reference/fakequant` of TensorFlow Lite).
pub(super) fn fake_quantize(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let (low, high) = (options.f32(0, 0.0)?, options.f32(1, 0.0)?);
    let bits = options.i32(2, 0)?;
    if !(2..=16).contains(&bits) || low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
        return Err(Refusal(format!("its range of {low} to {high} in {bits} bits makes no sense")));
    }
    if options.bool(3)? {
        return Err(Refusal::new("its range is narrow, which is for weights only"));
    }
    let most = ((1u32 << bits) - 1) as f32;
    let step = (high - low) / most;
    let zero = (-low / step).clamp(0.0, most).round();
    let (low, high) = (-zero * step, (most - zero) * step);
    let value = op.real(0)?;
    let value = op.clip(value, low, high);
    let constants = [low, 1.0 / step, 0.5, step].map(|number| op.scalar(number));
    let [low, inverse, half, step] = constants;
    let value = op.apply("Sub", &[value, low]);
    let value = op.apply("Mul", &[value, inverse]);
    let value = op.apply("Add", &[value, half]);
    let value = op.apply("Floor", &[value]);
    let value = op.apply("Mul", &[value, step]);
    let value = op.apply("Add", &[value, low]);
    op.finish_real(0, value)
}
