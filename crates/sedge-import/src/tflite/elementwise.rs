//! Operators that work element by element, and the normalisations along the last dimension.

use sedge_graph::ValueId;
use sedge_tensor::DType;

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

fn is_integer(op: &Op<'_, '_>) -> Result<bool, Refusal> {
    let info = op.info(0)?;
    Ok(info.quantized().is_none() && info.dtype.is_some_and(DType::is_integer))
}

/// The remainder with the sign of the divisor.
fn floor_remainder(op: &mut Op<'_, '_>, left: ValueId, right: ValueId) -> Result<ValueId, Refusal> {
    // ONNX's Mod has the divisor's sign for integers; for floats it exists only as C's fmod.
    if is_integer(op)? {
        return Ok(op.apply("Mod", &[left, right]));
    }
    let fmod = |op: &mut Op<'_, '_>, left, right| {
        let name = op.name("fmod");
        op.node("Mod").input(left).input(right).attribute("fmod", 1i64).output(&name)
    };
    let remainder = fmod(op, left, right);
    let shifted = op.apply("Add", &[remainder, right]);
    Ok(fmod(op, shifted, right))
}

/// FLOOR_MOD.
pub(super) fn floor_mod(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.real(0)?, op.real(1)?);
    let value = floor_remainder(op, left, right)?;
    op.finish_real(0, value)
}

/// FLOOR_DIV.
pub(super) fn floor_div(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.real(0)?, op.real(1)?);
    let value = if is_integer(op)? {
        // ONNX divides integers towards zero; without the remainder there is nothing to round.
        let remainder = floor_remainder(op, left, right)?;
        let whole = op.apply("Sub", &[left, remainder]);
        op.apply("Div", &[whole, right])
    } else {
        let quotient = op.apply("Div", &[left, right]);
        op.apply("Floor", &[quotient])
    };
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
