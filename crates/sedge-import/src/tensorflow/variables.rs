//! Which saved variable belongs to which variable of the graph.
//!
//! A saved graph has the operators that restore it: `RestoreV2` reads a list of names, and
//! assignments bring its results to the variables. Following them, as TensorFlow does by running
//! them, gives the names under every version of TensorFlow.

use std::collections::HashMap;

use sedge_tensor::Tensor;

use super::bundle::Bundle;
use super::program::{Output, Program};
use super::proto::Content;

/// What Keras and `tf.Module` put behind the path of an object to name its variable.
const OBJECT_SUFFIX: &str = "/.ATTRIBUTES/VARIABLE_VALUE";

/// The variables of a graph and what was saved of them.
#[derive(Debug)]
pub(super) struct Variables<'p> {
    program: &'p Program<'p>,
    bundle: Option<Bundle>,
    /// Names in the bundle, by the variable's node.
    keys: HashMap<usize, String>,
}

impl<'p> Variables<'p> {
    /// Finds out what belongs together.
    pub(super) fn new(program: &'p Program<'p>, bundle: Option<Bundle>) -> Self {
        let keys = (0..program.nodes.len()).filter_map(|node| restored(program, node)).collect();
        Self { program, bundle, keys }
    }

    /// What was saved of the variable that `node` makes.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub(super) fn read(&self, node: usize) -> Result<Tensor, String> {
        let name = self.program.nodes[node].name;
        let Some(bundle) = &self.bundle else {
            return Err(
                "it is a variable, whose value is not in the file. Hint: freeze the graph, \
                        or use the whole directory of the SavedModel"
                    .into(),
            );
        };
        let key = self.keys.get(&node).filter(|key| bundle.has(key)).cloned();
        let key = key.or_else(|| self.guessed(node, bundle)).unwrap_or_else(|| name.to_owned());
        bundle.read(&key).map_err(|problem| format!("the variable '{key}' {problem}"))
    }

    /// Without operators that restore it: the name of the variable itself.
    fn guessed(&self, node: usize, bundle: &Bundle) -> Option<String> {
        let shared = match self.program.attribute(node, "shared_name") {
            Some(Content::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let names = [shared, self.program.nodes[node].name.to_owned()];
        let plain = names.iter().cloned();
        let objects = names.iter().map(|name| format!("{name}{OBJECT_SUFFIX}"));
        plain.chain(objects).find(|name| bundle.has(name))
    }
}

/// What an assignment restores: the variable's node and its name.
fn restored(program: &Program<'_>, assignment: usize) -> Option<(usize, String)> {
    if !matches!(program.nodes[assignment].op, "AssignVariableOp" | "Assign") {
        return None;
    }
    let variable = origin(program, program.operand(assignment, 0)?)?;
    let restore = origin(program, program.operand(assignment, 1)?)?;
    if program.nodes[restore.node].op != "RestoreV2" {
        return None;
    }
    let names = origin(program, program.operand(restore.node, 1)?)?;
    let Some(Content::Tensor(list)) = program.attribute(names.node, "value") else { return None };
    let name = String::from_utf8(list.strings.get(restore.index)?.to_vec()).ok()?;
    Some((variable.node, name))
}

/// Where a value comes from that was only passed on.
fn origin(program: &Program<'_>, mut output: Output) -> Option<Output> {
    for _ in 0..program.nodes.len() {
        if program.nodes[output.node].op != "Identity" {
            return Some(output);
        }
        output = program.operand(output.node, 0)?;
    }
    None
}
