//! Division that rounds down, with its remainder, for integers and floats.

use sedge_graph::ValueId;
use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;

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

/// The quotient of integers, rounded down.
fn floor_quotient(op: &mut Op<'_, '_>, left: ValueId, right: ValueId) -> ValueId {
    // ONNX divides integers towards zero; without the remainder there is nothing to round.
    let remainder = op.apply("Mod", &[left, right]);
    let whole = op.apply("Sub", &[left, remainder]);
    op.apply("Div", &[whole, right])
}

/// FLOOR_DIV.
pub(super) fn floor_div(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.real(0)?, op.real(1)?);
    let value = if is_integer(op)? {
        floor_quotient(op, left, right)
    } else {
        let quotient = op.apply("Div", &[left, right]);
        op.apply("Floor", &[quotient])
    };
    op.finish_real(0, value)
}

/// RIGHT_SHIFT by constant numbers of bits, which divides and rounds down.
pub(super) fn right_shift(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let shifts = op.ints(1, "the number of bits")?;
    if shifts.iter().any(|bits| !(0..31).contains(bits)) {
        return Err(Refusal::new("it shifts by less than 0 or more than 30 bits"));
    }
    let shape = op.info(1)?.fixed_shape().unwrap_or_default();
    let divisors: Vec<i32> = shifts.iter().map(|bits| 1 << bits).collect();
    let divisors = sedge_tensor::Tensor::new(shape, divisors);
    let divisors = divisors.map_err(|error| Refusal(error.to_string()))?;
    let name = op.name("divisors");
    let divisors = op.context.graph.add_constant(name, divisors);
    // Wide enough for every type that it is for.
    let value = op.stored(0)?;
    let value = op.cast(value, DType::I32);
    let value = floor_quotient(op, value, divisors);
    let to = op.result(0)?.dtype.unwrap_or(DType::I32);
    let value = op.cast(value, to);
    op.finish_stored(0, value)
}
