//! Matrix products.

use sedge_graph::{Dim, ValueId};

use super::Refusal;
use super::builder::Op;

/// FullyConnected: everything but the batch is one vector, unless `flatten` is false.
pub(super) fn fully_connected(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (mut x, weight) = (op.input(0)?, op.input(1)?);
    let bias = match op.attributes().flag("no_bias", false)? || op.count() < 3 {
        true => None,
        false => Some(op.input(2)?),
    };
    let rank = op.shape(x).map(|shape| shape.len());
    let flatten = op.attributes().flag("flatten", true)?;
    if !flatten && rank != Some(2) {
        let turned = op.transpose(weight, &[1, 0]);
        let mut value = op.apply("MatMul", &[x, turned]);
        if let Some(bias) = bias {
            value = op.apply("Add", &[value, bias]);
        }
        return op.finish(value);
    }
    if rank != Some(2) {
        x = op.with("Flatten", x, "axis", 1i64);
    }
    let batch = op.shape(x).and_then(|shape| shape.first().cloned()).unwrap_or(Dim::Unknown);
    let units = op.shape(weight).and_then(|shape| shape.first().cloned()).unwrap_or(Dim::Unknown);
    let name = op.name("gemm");
    let mut node = op.node("Gemm").input(x).input(weight);
    if bias.is_some() {
        node = node.optional(bias);
    }
    let value = node.attribute("transB", 1i64).output(&name);
    op.state_shape(value, vec![batch, units]);
    op.finish(value)
}

/// An operand, transposed in its last two axes where `flag` says so.
fn operand(op: &mut Op<'_, '_>, index: usize, flag: &str) -> Result<ValueId, Refusal> {
    let value = op.input(index)?;
    if !op.attributes().flag(flag, false)? {
        return Ok(value);
    }
    let rank = op.rank(value)?;
    if rank < 2 {
        return Ok(value);
    }
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(rank - 1, rank - 2);
    Ok(op.transpose(value, &order))
}

/// dot: the last axis of the first operand with the first of the second.
pub(super) fn dot(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (a, b) = (operand(op, 0, "transpose_a")?, operand(op, 1, "transpose_b")?);
    match (op.rank(a)?, op.rank(b)?) {
        (1, 1) => {
            let product = op.apply("Mul", &[a, b]);
            let name = op.name("sum");
            let value = op.node("ReduceSum").input(product).ints(&[0]).output(&name);
            op.finish(value)
        }
        (_, 1 | 2) => {
            let value = op.apply("MatMul", &[a, b]);
            op.finish(value)
        }
        _ => Err(Refusal::new("its second operand has more than two dimensions")),
    }
}

/// batch_dot: matrix products along the first axis.
pub(super) fn batch_dot(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (a, b) = (operand(op, 0, "transpose_a")?, operand(op, 1, "transpose_b")?);
    let mut value = op.apply("MatMul", &[a, b]);
    if let Some(alpha) = op.attributes().float("alpha")?.filter(|&alpha| alpha != 1.0) {
        let alpha = op.scalar_like(value, alpha);
        value = op.apply("Mul", &[value, alpha]);
    }
    op.finish(value)
}
