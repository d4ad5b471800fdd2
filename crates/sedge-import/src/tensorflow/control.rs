//! Which operators take part: those that results depend on, without the branches that inference
//! never takes.

use std::collections::{BTreeMap, HashSet};

use super::loops::{Loop, Loops};
use super::program::{Output, Program};
use super::proto::Content;
use super::{Error, operators, tensor};

/// What the libraries of TensorFlow call the flag that tells training from use.
const TRAINING_FLAGS: [&str; 6] =
    ["is_training", "phase_train", "training", "train_phase", "keras_learning_phase", "is_train"];

/// The nodes that `outputs` need, each after its operands, and the loops among them; a loop is in
/// the order as its `LoopCond`.
pub(super) fn order(
    program: &Program<'_>,
    outputs: &[Output],
) -> Result<(Vec<usize>, Loops), Error> {
    let mut loops = Loops::of(program);
    let mut sorted = loops.sort(program, outputs, &|_| false)?;
    let needed = loops.reach(program, outputs, &dead(program, &loops, &sorted), &|_| false);
    sorted.retain(|node| needed.contains(node));
    let all = || sorted.iter().copied().chain(loops.iter().flat_map(Loop::nodes));
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for op in all().map(|node| program.nodes[node].op) {
        if operators::builder(op).is_none() {
            *unknown.entry(op).or_default() += 1;
        }
    }
    if unknown.is_empty() {
        return Ok((sorted, loops));
    }
    let listed = unknown.into_iter().map(|(op, count)| (op.to_owned(), count));
    Err(Error::Unsupported(listed.collect()))
}

/// What lies behind the branches that are not taken.
#[derive(Debug, Default)]
pub(super) struct Dead {
    nodes: HashSet<usize>,
    /// The results of a `Switch` that get nothing.
    outputs: HashSet<Output>,
}

impl Dead {
    pub(super) fn has(&self, output: Output) -> bool {
        self.nodes.contains(&output.node) || self.outputs.contains(&output)
    }
}

/// A node is as dead as its operands; `Merge` lives on one.
pub(super) fn dead(program: &Program<'_>, loops: &Loops, sorted: &[usize]) -> Dead {
    let mut dead = Dead::default();
    for &node in sorted {
        let op = program.nodes[node].op;
        let mut operands = loops.operands(program, node).into_iter();
        let gone = match op {
            "Merge" => operands.all(|operand| dead.has(operand)),
            _ => operands.any(|operand| dead.has(operand)),
        };
        if gone {
            dead.nodes.insert(node);
        } else if matches!(op, "Switch" | "RefSwitch")
            && let Some(taken) = condition(program, node)
        {
            dead.outputs.insert(Output { node, index: usize::from(!taken) });
        }
    }
    dead
}

/// Which result of a `Switch` lives, where the file or the use of the graph fixes that.
pub(super) fn condition(program: &Program<'_>, switch: usize) -> Option<bool> {
    truth(program, program.operand(switch, 1)?)
}

/// The value of a flag that the file or the use of the graph fixes.
pub(super) fn truth(program: &Program<'_>, mut flag: Output) -> Option<bool> {
    let mut turned = false;
    for _ in 0..program.nodes.len() {
        let node = &program.nodes[flag.node];
        match node.op {
            "Identity" | "PlaceholderWithDefault" | "Switch" | "RefSwitch" => {}
            "LogicalNot" => turned = !turned,
            "Const" => {
                let Content::Tensor(constant) = program.attribute(flag.node, "value")? else {
                    return None;
                };
                let constant = tensor::read(constant, &mut 1).ok()?.to_i64()?;
                return Some((*constant.first()? != 0) != turned);
            }
            "Placeholder" if is_training_flag(node.name) => return Some(turned),
            _ => return None,
        }
        flag = program.operand(flag.node, 0)?;
    }
    None
}

/// True for the name of an input that tells training from use, which is what the graph is for here.
pub(super) fn is_training_flag(name: &str) -> bool {
    TRAINING_FLAGS.contains(&name.rsplit('/').next().unwrap_or(name))
}
