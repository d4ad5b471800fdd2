//! Matrix products.

use sedge_graph::ValueId;

use super::Refusal;
use super::builder::Op;

/// MatMul: attributes transpose_a, transpose_b.
pub(super) fn matmul(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.operand(0)?, op.operand(1)?);
    let (turn_left, turn_right) = (op.flag("transpose_a"), op.flag("transpose_b"));
    let name = op.name("matmul");
    let value = if turn_left || turn_right {
        let node = op.start("Gemm").input(left).input(right);
        let node = node.attribute("transA", i64::from(turn_left));
        node.attribute("transB", i64::from(turn_right)).output(&name)
    } else {
        op.apply("MatMul", &[left, right])
    };
    op.finish(value)
}

/// BatchMatMul in every version: attributes adj_x, adj_y turn the two last dimensions.
pub(super) fn batch_matmul(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (left, right) = (op.operand(0)?, op.operand(1)?);
    let left = if op.flag("adj_x") { turned(op, left)? } else { left };
    let right = if op.flag("adj_y") { turned(op, right)? } else { right };
    let value = op.apply("MatMul", &[left, right]);
    op.finish(value)
}

fn turned(op: &mut Op<'_, '_>, value: ValueId) -> Result<ValueId, Refusal> {
    let mut order: Vec<i64> = (0..op.rank(value)? as i64).collect();
    if let [.., rows, columns] = &mut order[..] {
        std::mem::swap(rows, columns);
    }
    Ok(op.transpose(value, &order))
}

/// Einsum: attribute equation.
pub(super) fn einsum(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let equation = String::from_utf8_lossy(op.text("equation")).into_owned();
    let operands = op.operands(0)?;
    let name = op.name("einsum");
    let mut node = op.start("Einsum").attribute("equation", equation);
    for operand in operands {
        node = node.input(operand);
    }
    let value = node.output(&name);
    op.finish(value)
}
