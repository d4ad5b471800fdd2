//! What stands for other values: constants, variables, and branches whose choice is known.

use sedge_graph::passes::CHOOSE;
use sedge_graph::{SEDGE_DOMAIN, ValueId};

use super::builder::Op;
use super::program::Output;
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

/// Switch: data and a condition; data goes on in one of two results. Where the condition is not
/// known while importing, both branches are built, and `Merge` chooses.
pub(super) fn switch(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let node = op.node;
    let value = op.operand(0)?;
    let fixed = control::condition(op.context.program, node);
    let taken = fixed.or_else(|| op.context.truth(op.operand(1).ok()?));
    if let Some(taken) = taken {
        op.finish_at(usize::from(taken), value);
        op.context.lose(Output { node, index: usize::from(!taken) });
        return Ok(());
    }
    let condition = op.operand(1)?;
    for side in [false, true] {
        op.finish_at(usize::from(side), value);
        op.context.branches.open(Output { node, index: usize::from(side) }, condition, side);
    }
    Ok(())
}

/// Merge: the one operand whose branch is taken.
pub(super) fn merge(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let alive: Vec<(usize, ValueId)> =
        (0..op.count()).filter_map(|index| Some((index, op.operand(index).ok()?))).collect();
    let value = match alive.as_slice() {
        [] => return Err(Refusal::new("none of its branches is taken")),
        &[(index, value)] => {
            let index = op.add_constant(sedge_tensor::Tensor::scalar(index as i32));
            op.finish_at(1, index);
            value
        }
        &[(0, otherwise), (1, then)] => {
            let source = |index: usize| op.context.program.operand(op.node, index);
            let (Some(first), Some(second)) = (source(0), source(1)) else {
                return Err(Refusal::new("an operand is missing"));
            };
            let (condition, turned) = op.context.branches.close(op.node, first, second)?;
            let (then, otherwise) = if turned { (otherwise, then) } else { (then, otherwise) };
            let name = op.name("chosen");
            let node = op.start(CHOOSE).domain(SEDGE_DOMAIN).input(condition);
            node.input(then).input(otherwise).output(&name)
        }
        _ => return Err(Refusal::new("it has more than two branches")),
    };
    op.finish(value)
}
