//! Operators that work element by element, and the normalisations along one dimension.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;
use super::dims::Element;

/// An operator of one operand that ONNX has too.
pub(super) fn unary(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let value = op.apply(onnx, &[value]);
    op.finish(value)
}

/// An operator of two operands that ONNX has too.
pub(super) fn binary(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let (left, right) = (op.operand(0)?, op.operand(1)?);
    let contents = arithmetic_on_sizes(op, onnx);
    let value = op.apply(onnx, &[left, right]);
    op.note(value, contents);
    op.finish(value)
}

/// What is known of sums and products of sizes: that there are as many, and which are not known.
fn arithmetic_on_sizes(op: &Op<'_, '_>, onnx: &str) -> Option<Vec<Element>> {
    let (left, right) = (op.contents(0)?, op.contents(1)?);
    let neutral = match onnx {
        "Add" | "Sub" => 0,
        "Mul" | "Div" => 1,
        _ => return None,
    };
    let length = left.len().max(right.len());
    let pair = |i: usize| {
        Some((
            left.get(if left.len() == 1 { 0 } else { i })?,
            right.get(if right.len() == 1 { 0 } else { i })?,
        ))
    };
    let combined = |i: usize| {
        let (a, b) = pair(i)?;
        Some(match (a, b) {
            (a, Element::Known(n)) if *n == neutral => a.clone(),
            (Element::Known(a), Element::Known(b)) => match onnx {
                "Add" => Element::Known(a.checked_add(*b)?),
                "Sub" => Element::Known(a.checked_sub(*b)?),
                "Mul" => Element::Known(a.checked_mul(*b)?),
                _ => Element::Unknown,
            },
            _ => Element::Unknown,
        })
    };
    (0..length).map(combined).collect()
}

/// NotEqual.
pub(super) fn not_equal(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.operand(0)?, op.operand(1)?);
    let equal = op.apply("Equal", &[left, right]);
    let value = op.apply("Not", &[equal]);
    op.finish(value)
}

/// AddN: the sum of all operands.
pub(super) fn add_n(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let operands = op.operands(0)?;
    let (&first, rest) =
        operands.split_first().ok_or_else(|| Refusal::new("it has no operands"))?;
    let value = rest.iter().fold(first, |sum, &next| op.apply("Add", &[sum, next]));
    op.finish(value)
}

/// Square.
pub(super) fn square(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let value = op.apply("Mul", &[value, value]);
    op.finish(value)
}

/// SquaredDifference.
pub(super) fn squared_difference(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.operand(0)?, op.operand(1)?);
    let difference = op.apply("Sub", &[left, right]);
    let value = op.apply("Mul", &[difference, difference]);
    op.finish(value)
}

/// Rsqrt.
pub(super) fn rsqrt(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let root = op.apply("Sqrt", &[value]);
    let value = op.apply("Reciprocal", &[root]);
    op.finish(value)
}

/// Log1p and Expm1.
pub(super) fn shifted_by_one(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let one = op.add_constant(Tensor::scalar(1f32));
    let value = if op.kind() == "Log1p" {
        let sum = op.apply("Add", &[value, one]);
        op.apply("Log", &[sum])
    } else {
        let power = op.apply("Exp", &[value]);
        op.apply("Sub", &[power, one])
    };
    op.finish(value)
}

/// DivNoNan: zero where the divisor is.
pub(super) fn divide_no_nan(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.operand(0)?, op.operand(1)?);
    let zero = op.add_constant(Tensor::scalar(0f32));
    let none = op.apply("Equal", &[right, zero]);
    let quotient = op.apply("Div", &[left, right]);
    let value = op.apply("Where", &[none, zero, quotient]);
    op.finish(value)
}

fn is_integer(op: &Op<'_, '_>, value: ValueId) -> Result<bool, Refusal> {
    let dtype = op.dtype(value).or_else(|| op.dtype_attribute("T").ok());
    dtype.map(DType::is_integer).ok_or_else(|| Refusal::new("its element type is not known"))
}

/// The remainder with the sign of the divisor.
fn floor_remainder(op: &mut Op<'_, '_>, left: ValueId, right: ValueId) -> Result<ValueId, Refusal> {
    // ONNX's Mod has the divisor's sign for integers; for floats it exists only as C's fmod.
    if is_integer(op, left)? {
        return Ok(op.apply("Mod", &[left, right]));
    }
    let quotient = op.apply("Div", &[left, right]);
    let whole = op.apply("Floor", &[quotient]);
    let whole = op.apply("Mul", &[whole, right]);
    Ok(op.apply("Sub", &[left, whole]))
}

/// FloorMod.
pub(super) fn floor_mod(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.operand(0)?, op.operand(1)?);
    let value = floor_remainder(op, left, right)?;
    op.finish(value)
}

/// FloorDiv.
pub(super) fn floor_div(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.operand(0)?, op.operand(1)?);
    let value = if !is_integer(op, left)? {
        let quotient = op.apply("Div", &[left, right]);
        op.apply("Floor", &[quotient])
    } else if op.constant(left).and(op.constant(right)).is_some() {
        // Shape arithmetic, which is done while importing, in positive numbers.
        op.apply("Div", &[left, right])
    } else {
        // ONNX divides integers towards zero; without the remainder there is nothing to round.
        let remainder = floor_remainder(op, left, right)?;
        let whole = op.apply("Sub", &[left, remainder]);
        op.apply("Div", &[whole, right])
    };
    op.finish(value)
}

/// A rectifier with an upper end.
pub(super) fn relu_6(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let value = clip(op, value, 0.0, 6.0);
    op.finish(value)
}

/// `value` held between two constants.
pub(super) fn clip(op: &mut Op<'_, '_>, value: ValueId, low: f32, high: f32) -> ValueId {
    let name = op.name("clip");
    op.start("Clip").input(value).scalar(low).scalar(high).output(&name)
}

/// ClipByValue: bounds are operands.
pub(super) fn clip_by_value(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (value, low, high) = (op.operand(0)?, op.operand(1)?, op.operand(2)?);
    let value = op.apply("Min", &[value, high]);
    let value = op.apply("Max", &[value, low]);
    op.finish(value)
}

/// LeakyRelu: attribute alpha.
pub(super) fn leaky_relu(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let alpha = op.float("alpha").unwrap_or(0.2);
    let value = op.operand(0)?;
    let name = op.name("leakyrelu");
    let value = op.start("LeakyRelu").input(value).attribute("alpha", alpha).output(&name);
    op.finish(value)
}

/// Softmax and LogSoftmax, along the last dimension.
pub(super) fn softmax(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let name = op.name("softmax");
    let value = op.start(op.kind()).input(value).attribute("axis", -1i64).output(&name);
    op.finish(value)
}

/// Select: a vector chooses whole rows; SelectV2 broadcasts from the right.
pub(super) fn select(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (mut condition, then, other) = (op.operand(0)?, op.operand(1)?, op.operand(2)?);
    if op.kind() == "Select" && op.rank(condition)? == 1 && op.rank(then)? > 1 {
        let axes: Vec<i64> = (1..op.rank(then)? as i64).collect();
        condition = op.apply_ints("Unsqueeze", condition, &axes);
    }
    let value = op.apply("Where", &[condition, then, other]);
    op.finish(value)
}

/// Where: the positions of true elements, one per row.
pub(super) fn positions(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let nonzero = op.apply("NonZero", &[value]);
    let value = op.transpose(nonzero, &[1, 0]);
    op.finish(value)
}

/// Step of a quantisation in floats: FakeQuantWithMinMaxArgs (attributes min, max) and
/// FakeQuantWithMinMaxVars (operands).
pub(super) fn fake_quantize(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (low, high) = if op.count() > 1 {
        (op.number(1, "the minimum")?, op.number(2, "the maximum")?)
    } else {
        (op.float("min").unwrap_or(-6.0), op.float("max").unwrap_or(6.0))
    };
    let bits = op.int("num_bits").unwrap_or(8);
    if !(2..=16).contains(&bits) || low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
        return Err(Refusal(format!("its range of {low} to {high} in {bits} bits makes no sense")));
    }
    // Nudge of `core/kernels/fake_quant_ops_functor.h`: the range moves so that zero is a step.
    let least = if op.flag("narrow_range") { 1.0 } else { 0.0 };
    let most = ((1u32 << bits) - 1) as f32;
    let step = (high - low) / (most - least);
    let zero = least - low / step;
    let zero = if zero < least {
        least
    } else if zero > most {
        most
    } else {
        zero.round()
    };
    let (low, high) = ((least - zero) * step, (most - zero) * step);
    let value = op.operand(0)?;
    let value = clip(op, value, low, high);
    let low = op.add_constant(Tensor::scalar(low));
    let step_inverse = op.add_constant(Tensor::scalar(1.0 / step));
    let step = op.add_constant(Tensor::scalar(step));
    let half = op.add_constant(Tensor::scalar(0.5f32));
    let value = op.apply("Sub", &[value, low]);
    let value = op.apply("Mul", &[value, step_inverse]);
    let value = op.apply("Add", &[value, half]);
    let value = op.apply("Floor", &[value]);
    let value = op.apply("Mul", &[value, step]);
    let value = op.apply("Add", &[value, low]);
    op.finish(value)
}
