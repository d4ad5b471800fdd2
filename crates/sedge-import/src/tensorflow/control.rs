//! Which operators take part: those that results depend on, without the branches that inference
//! never takes.

use std::collections::{BTreeMap, HashSet};

use super::program::{Output, Program};
use super::proto::Content;
use super::{Error, operators, tensor};

/// Operators of the loops of TensorFlow 1.
const LOOPS: [&str; 5] = ["Enter", "RefEnter", "Exit", "NextIteration", "LoopCond"];

/// What the libraries of TensorFlow call the flag that tells training from use.
const TRAINING_FLAGS: [&str; 6] =
    ["is_training", "phase_train", "training", "train_phase", "keras_learning_phase", "is_train"];

/// The nodes that `outputs` need, each after its operands.
pub(super) fn order(program: &Program<'_>, outputs: &[Output]) -> Result<Vec<usize>, Error> {
    let reached = reach(program, outputs, &Dead::default());
    if reached.iter().any(|&node| LOOPS.contains(&program.nodes[node].op)) {
        return Err(unsupported(program, reached.iter().copied()));
    }
    let mut sorted = sort(program, outputs)?;
    let needed = reach(program, outputs, &dead(program, &sorted));
    sorted.retain(|node| needed.contains(node));
    let known = |&node: &usize| operators::builder(program.nodes[node].op).is_some();
    if sorted.iter().all(known) {
        Ok(sorted)
    } else {
        Err(unsupported(program, sorted.into_iter()))
    }
}

fn unsupported(program: &Program<'_>, nodes: impl Iterator<Item = usize>) -> Error {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for op in nodes.map(|node| program.nodes[node].op) {
        if operators::builder(op).is_none() {
            *counts.entry(op).or_default() += 1;
        }
    }
    Error::Unsupported(counts.into_iter().map(|(op, count)| (op.to_owned(), count)).collect())
}

fn operands<'a>(program: &'a Program<'_>, node: usize) -> impl Iterator<Item = Output> + 'a {
    let count = match program.nodes[node].op {
        // The condition is known, or the operator is refused.
        "Switch" | "RefSwitch" => 1,
        _ => program.nodes[node].inputs.len(),
    };
    (0..count).filter_map(move |index| program.operand(node, index))
}

fn reach(program: &Program<'_>, outputs: &[Output], dead: &Dead) -> HashSet<usize> {
    let mut reached = HashSet::new();
    let mut open: Vec<Output> = outputs.to_vec();
    while let Some(output) = open.pop() {
        if !dead.has(output) && reached.insert(output.node) {
            open.extend(operands(program, output.node));
        }
    }
    reached
}

/// Depth first with an explicit stack: graphs come from outside and may be deep.
fn sort(program: &Program<'_>, outputs: &[Output]) -> Result<Vec<usize>, Error> {
    let mut state = vec![0u8; program.nodes.len()];
    let mut sorted = Vec::new();
    for output in outputs {
        let mut stack = vec![(output.node, 0)];
        while let Some((node, next)) = stack.pop() {
            if state[node] == 2 {
                continue;
            }
            state[node] = 1;
            if next == program.nodes[node].inputs.len() {
                state[node] = 2;
                sorted.push(node);
                continue;
            }
            stack.push((node, next + 1));
            if let Some(operand) = program.operand(node, next) {
                match state[operand.node] {
                    0 => stack.push((operand.node, 0)),
                    1 => return Err(Error::Cycle(program.nodes[operand.node].name.to_owned())),
                    _ => {}
                }
            }
        }
    }
    Ok(sorted)
}

/// What lies behind the branches that are not taken.
#[derive(Debug, Default)]
struct Dead {
    nodes: HashSet<usize>,
    /// The results of a `Switch` that get nothing.
    outputs: HashSet<Output>,
}

impl Dead {
    fn has(&self, output: Output) -> bool {
        self.nodes.contains(&output.node) || self.outputs.contains(&output)
    }
}

/// A node is as dead as its operands; `Merge` lives on one.
fn dead(program: &Program<'_>, sorted: &[usize]) -> Dead {
    let mut dead = Dead::default();
    for &node in sorted {
        let op = program.nodes[node].op;
        let mut operands = operands(program, node);
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
