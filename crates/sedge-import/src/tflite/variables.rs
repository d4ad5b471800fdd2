//! Variables that get their values once, before the first request: the values themselves.
//!
//! A file's initialiser (`CALL_ONCE`) assigns them; the model only reads. A model that assigns
//! while it answers has a memory, which requests to a service do not share: it is refused.

use super::Refusal;
use super::builder::Op;
use super::reader::MAX_NAME;

/// VAR_HANDLE: options container, shared_name.
pub(super) fn handle(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let name = [options.string(0)?, options.string(1)?].map(Option::unwrap_or_default);
    if name.iter().any(|name| name.len() > MAX_NAME) {
        return Err(Refusal::new("its name is longer than any variable's"));
    }
    if let Some(result) = op.operator.outputs.first().copied().flatten() {
        op.context.handles.insert(result, name);
    }
    Ok(())
}

/// ASSIGN_VARIABLE: a handle and the value.
pub(super) fn assign(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    if !op.operator.initialiser {
        return Err(Refusal::new(
            "it changes a variable that the next request would find changed. \
             Hint: export the model with its state as inputs and outputs",
        ));
    }
    let (name, value) = (variable(op)?, op.tensor(1)?);
    op.context.variables.insert(name, value);
    Ok(())
}

/// READ_VARIABLE.
pub(super) fn read(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let name = variable(op)?;
    let tensor = op.context.variables.get(&name).copied().ok_or_else(|| {
        Refusal(format!("variable '{}' has no value before the first request", name[1]))
    })?;
    match op.context.constant(tensor).cloned() {
        Some(constant) => op.finish_constant(0, constant),
        None => {
            let value = op.context.stored(tensor)?;
            let value = op.apply("Identity", &[value]);
            op.finish_stored(0, value)
        }
    }
}

/// Container and name of the variable that operand 0 is a handle of.
fn variable(op: &Op<'_, '_>) -> Result<[String; 2], Refusal> {
    let handle = op.context.handles.get(&op.tensor(0)?);
    handle.cloned().ok_or_else(|| Refusal::new("its operand 0 is no handle of a variable"))
}
