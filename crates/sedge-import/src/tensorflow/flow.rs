//! What stands for other values: constants, variables, and branches whose choice is known.

use super::builder::Op;
use super::proto::Content;
use super::{Refusal, control, tensor};

/// Const: attribute value.
pub(super) fn constant(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let Some(Content::Tensor(constant)) = op.attribute("value") else {
        return Err(Refusal::new("it has no value"));
    };
    let tensor = tensor::read(constant, &mut op.context.fill_budget)
        .map_err(|problem| Refusal(format!("its value {problem}")))?;
    let name = op.context.program.nodes[op.node].name;
    let value = op.context.graph.add_constant(name, tensor);
    op.finish(value)
}

/// VariableV2, VarHandleOp and the like: what was saved of the variable. A handle is the same value
/// as what is read through it.
pub(super) fn variable(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let tensor = op.context.variables.read(op.node)?;
    let name = op.context.program.nodes[op.node].name;
    let value = op.context.graph.add_constant(name, tensor);
    op.finish(value)
}

/// Switch: data and a condition that is known; data goes on in one of two results.
pub(super) fn switch(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let taken = control::condition(op.context.program, op.node);
    let taken =
        taken.ok_or_else(|| Refusal::new("its branch is chosen by a computed condition"))?;
    let value = op.operand(0)?;
    op.finish_at(usize::from(taken), value);
    Ok(())
}

/// Merge: the one operand whose branch is taken.
pub(super) fn merge(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let taken = (0..op.count()).find_map(|index| Some((index, op.operand(index).ok()?)));
    let (index, value) = taken.ok_or_else(|| Refusal::new("none of its branches is taken"))?;
    let index = op.add_constant(sedge_tensor::Tensor::scalar(index as i32));
    op.finish_at(1, index);
    op.finish(value)
}
