//! Operators that treat each element alone.

use sedge_graph::ValueId;
use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;

/// True for operators of one picture that leave every element where it is.
pub(super) fn keeps_shape(op: &str) -> bool {
    super::operators::is_batch_normalization(op)
        || op.ends_with("_scalar")
        || op.ends_with("Scalar")
        || matches!(
            op,
            "_copy"
                | "identity"
                | "BlockGrad"
                | "stop_gradient"
                | "Dropout"
                | "Cast"
                | "cast"
                | "amp_cast"
                | "clip"
                | "Pad"
                | "pad"
                | "broadcast_add"
                | "broadcast_sub"
                | "broadcast_minus"
                | "broadcast_plus"
                | "broadcast_mul"
                | "broadcast_div"
        )
}

/// Operators that inference does without.
pub(super) fn identity(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    op.finish(x)
}

/// A function of one operand.
pub(super) fn unary(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let value = op.apply(onnx, &[x]);
    op.finish(value)
}

/// A function of two operands of which one may be broadcast.
pub(super) fn binary(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let (a, b) = (op.input(0)?, op.input(1)?);
    let value = op.apply(onnx, &[a, b]);
    op.finish(value)
}

/// add_n: the sum of all operands.
pub(super) fn sum(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let operands = op.inputs()?;
    let value = op.apply("Sum", &operands);
    op.finish(value)
}

/// Operand 0 and the attribute `scalar`, in this order or the other.
fn with_scalar(op: &mut Op<'_, '_>, swapped: bool) -> Result<[ValueId; 2], Refusal> {
    let scalar = op.attributes().float("scalar")?.unwrap_or(1.0);
    let x = op.input(0)?;
    let scalar = op.scalar_like(x, scalar);
    Ok(if swapped { [scalar, x] } else { [x, scalar] })
}

/// A function of the operand and a number.
pub(super) fn scalar(op: &mut Op<'_, '_>, onnx: &str, swapped: bool) -> Result<(), Refusal> {
    let operands = with_scalar(op, swapped)?;
    let value = op.apply(onnx, &operands);
    op.finish(value)
}

/// Truth as MXNet has it: 1 and 0 in the operand's type.
fn number(op: &mut Op<'_, '_>, truth: ValueId, like: ValueId) -> ValueId {
    let dtype = op.dtype(like);
    op.cast(truth, dtype)
}

fn compared(
    op: &mut Op<'_, '_>,
    onnx: &str,
    inverted: bool,
    [a, b]: [ValueId; 2],
) -> Result<(), Refusal> {
    let mut truth = op.apply(onnx, &[a, b]);
    if inverted {
        truth = op.apply("Not", &[truth]);
    }
    let value = number(op, truth, a);
    op.finish(value)
}

/// A comparison of two operands.
pub(super) fn compare(op: &mut Op<'_, '_>, onnx: &str, inverted: bool) -> Result<(), Refusal> {
    let operands = [op.input(0)?, op.input(1)?];
    compared(op, onnx, inverted, operands)
}

/// A comparison with a number.
pub(super) fn compare_scalar(
    op: &mut Op<'_, '_>,
    onnx: &str,
    inverted: bool,
) -> Result<(), Refusal> {
    let operands = with_scalar(op, false)?;
    compared(op, onnx, inverted, operands)
}

/// A function of two truths.
pub(super) fn logical(op: &mut Op<'_, '_>, onnx: &str) -> Result<(), Refusal> {
    let (a, b) = (op.input(0)?, op.input(1)?);
    let (left, right) = (op.cast(a, DType::Bool), op.cast(b, DType::Bool));
    let truth = op.apply(onnx, &[left, right]);
    let value = number(op, truth, a);
    op.finish(value)
}

/// logical_not: 1 where the operand is 0.
pub(super) fn logical_not(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let truth = op.cast(x, DType::Bool);
    let truth = op.apply("Not", &[truth]);
    let value = number(op, truth, x);
    op.finish(value)
}

/// The remainder with the sign of the divisor, as Python has it.
fn remainder(op: &mut Op<'_, '_>, [a, b]: [ValueId; 2]) -> Result<(), Refusal> {
    let quotient = op.apply("Div", &[a, b]);
    let whole = op.apply("Floor", &[quotient]);
    let product = op.apply("Mul", &[whole, b]);
    let value = op.apply("Sub", &[a, product]);
    op.finish(value)
}

/// Remainder of two operands.
pub(super) fn modulo(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let operands = [op.input(0)?, op.input(1)?];
    remainder(op, operands)
}

/// Remainder of the operand and a number.
pub(super) fn scalar_modulo(op: &mut Op<'_, '_>, swapped: bool) -> Result<(), Refusal> {
    let operands = with_scalar(op, swapped)?;
    remainder(op, operands)
}

/// The length of a vector of two.
pub(super) fn hypotenuse(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (a, b) = (op.input(0)?, op.input(1)?);
    let (a, b) = (op.apply("Mul", &[a, a]), op.apply("Mul", &[b, b]));
    let sum = op.apply("Add", &[a, b]);
    let value = op.apply("Sqrt", &[sum]);
    op.finish(value)
}

/// A logarithm to a base whose natural logarithm is `base`.
pub(super) fn logarithm(op: &mut Op<'_, '_>, base: f32) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let natural = op.apply("Log", &[x]);
    let base = op.scalar_like(x, base);
    let value = op.apply("Div", &[natural, base]);
    op.finish(value)
}

/// log1p.
pub(super) fn log_plus_one(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let one = op.scalar_like(x, 1.0);
    let more = op.apply("Add", &[x, one]);
    let value = op.apply("Log", &[more]);
    op.finish(value)
}

/// expm1.
pub(super) fn exp_minus_one(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let one = op.scalar_like(x, 1.0);
    let power = op.apply("Exp", &[x]);
    let value = op.apply("Sub", &[power, one]);
    op.finish(value)
}

/// rsqrt.
pub(super) fn inverse_root(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let root = op.apply("Sqrt", &[x]);
    let value = op.apply("Reciprocal", &[root]);
    op.finish(value)
}

/// square.
pub(super) fn square(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let value = op.apply("Mul", &[x, x]);
    op.finish(value)
}

/// The magnitude without its fraction, after `more` was added, with the sign of the operand.
fn towards_zero(op: &mut Op<'_, '_>, more: f32) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let (sign, size) = (op.apply("Sign", &[x]), op.apply("Abs", &[x]));
    let more = op.scalar_like(x, more);
    let size = op.apply("Add", &[size, more]);
    let size = op.apply("Floor", &[size]);
    let value = op.apply("Mul", &[sign, size]);
    op.finish(value)
}

/// round: halves away from zero, where ONNX's operator rounds them to even.
pub(super) fn round(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    towards_zero(op, 0.5)
}

/// trunc and fix.
pub(super) fn truncate(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    towards_zero(op, 0.0)
}

/// clip: attributes a_min and a_max.
pub(super) fn clip(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let low = op.attributes().float("a_min")?.unwrap_or(f32::MIN);
    let high = op.attributes().float("a_max")?.unwrap_or(f32::MAX);
    let x = op.input(0)?;
    let (low, high) = (op.scalar_like(x, low), op.scalar_like(x, high));
    let value = op.apply("Clip", &[x, low, high]);
    op.finish(value)
}

/// smooth_l1: quadratic between -1/s^2 and 1/s^2 for the attribute scalar s, linear outside.
pub(super) fn smooth_l1(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let sigma = op.attributes().float("scalar")?.unwrap_or(1.0);
    let x = op.input(0)?;
    let bound = sigma * sigma;
    let size = op.apply("Abs", &[x]);
    let limit = op.scalar_like(x, 1.0 / bound);
    let is_small = op.apply("Less", &[size, limit]);
    let square = op.apply("Mul", &[x, x]);
    let half = op.scalar_like(x, 0.5 * bound);
    let inside = op.apply("Mul", &[square, half]);
    let offset = op.scalar_like(x, 0.5 / bound);
    let outside = op.apply("Sub", &[size, offset]);
    let value = op.apply("Where", &[is_small, inside, outside]);
    op.finish(value)
}

/// where: the condition is a number; one per row chooses whole rows.
pub(super) fn select(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (condition, then, other) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let mut condition = op.cast(condition, DType::Bool);
    let ranks = (op.shape(condition).map(|s| s.len()), op.shape(then).map(|s| s.len()));
    if let (Some(1), Some(rank @ 2..)) = ranks {
        let axes: Vec<i64> = (1..rank as i64).collect();
        let name = op.name("rows");
        condition = op.node("Unsqueeze").input(condition).ints(&axes).output(&name);
    }
    let value = op.apply("Where", &[condition, then, other]);
    op.finish(value)
}

/// Cast: attribute dtype, by NumPy's name.
pub(super) fn cast(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let to = dtype(op, "dtype")?.unwrap_or(DType::F32);
    let x = op.input(0)?;
    let value = if op.dtype(x) == to { x } else { op.cast(x, to) };
    op.finish(value)
}

/// An element type by NumPy's name.
pub(super) fn dtype(op: &Op<'_, '_>, attribute: &str) -> Result<Option<DType>, Refusal> {
    let Some(name) = op.attributes().text(attribute) else { return Ok(None) };
    Ok(Some(match name {
        "float32" => DType::F32,
        "float64" => DType::F64,
        "float16" => DType::F16,
        "bfloat16" => DType::Bf16,
        "uint8" => DType::U8,
        "int8" => DType::I8,
        "int32" => DType::I32,
        "int64" => DType::I64,
        "bool" => DType::Bool,
        other => return Err(Refusal(format!("its element type {other} is not supported"))),
    }))
}
