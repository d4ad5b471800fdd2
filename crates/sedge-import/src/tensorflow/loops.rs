//! Loops: where they are in the graph, and writing them out round by round.
//!
//! Every variable of a loop is a circle: `Enter` brings its first value, `Merge` takes that or the
//! one of the round before, `Switch` sends it into the next round or to `Exit`, `NextIteration`
//! brings what a round made of it back to `Merge`. All circles of a loop turn around one `LoopCond`,
//! by which the loop is known here. How often it runs has to be known while importing: what is
//! mapped over a batch or a list runs as often as that has elements.

use std::collections::{HashMap, HashSet};

use super::builder::Context;
use super::control::{Dead, condition, dead};
use super::program::{Output, Program};
use super::{Error, build};

/// How deep loops may lie in each other.
const MAX_DEPTH: usize = 8;
/// Rounds of all loops of a graph, and the operators there may be when they are written out.
const MAX_ROUNDS: usize = 1 << 12;
const MAX_NODES: usize = 1 << 17;

/// One loop.
#[derive(Debug)]
pub(super) struct Loop {
    variables: Vec<Variable>,
    /// The `Enter` nodes: all that it takes from around it.
    pub(super) enters: Vec<usize>,
    /// Operators in it whose results are the same in every round, each after its operands.
    once: Vec<usize>,
    /// Operators that say whether there is another round.
    test: Vec<usize>,
    /// Operators of a round.
    body: Vec<usize>,
    /// Says whether there is another round.
    condition: Output,
}

/// What changes from round to round.
#[derive(Debug)]
struct Variable {
    merge: usize,
    switch: usize,
    first: Output,
    next: Output,
}

impl Loop {
    /// All operators of a round.
    pub(super) fn nodes(&self) -> impl Iterator<Item = usize> {
        self.once.iter().chain(&self.test).chain(&self.body).copied()
    }
}

/// The loops of a graph, by their `LoopCond`.
#[derive(Debug, Default)]
pub(super) struct Loops {
    /// The `Switch` nodes that each `LoopCond` turns.
    switches: HashMap<usize, Vec<usize>>,
    found: HashMap<usize, Loop>,
    /// Loops that are being looked at, the outermost first.
    open: Vec<usize>,
}

impl Loops {
    /// Of a graph whose loops are still to be found.
    pub(super) fn of(program: &Program<'_>) -> Self {
        let mut switches: HashMap<usize, Vec<usize>> = HashMap::new();
        for (node, definition) in program.nodes.iter().enumerate() {
            if matches!(definition.op, "Switch" | "RefSwitch")
                && let Some(condition) = program.operand(node, 1)
                && program.nodes[condition.node].op == "LoopCond"
            {
                switches.entry(condition.node).or_default().push(node);
            }
        }
        Self { switches, ..Self::default() }
    }

    pub(super) fn get(&self, condition: usize) -> Option<&Loop> {
        self.found.get(&condition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Loop> {
        self.found.values()
    }

    /// What a node needs. Behind an `Exit` lies the whole loop, and that needs what enters it; a
    /// branch whose condition the file fixes does not need the condition.
    pub(super) fn operands(&self, program: &Program<'_>, node: usize) -> Vec<Output> {
        let first = |node: usize| Output { node, index: 0 };
        let count = match program.nodes[node].op {
            "Exit" | "RefExit" => {
                return condition_of(program, node).map(first).into_iter().collect();
            }
            "LoopCond" => {
                let enters = self.found.get(&node).map_or(&[][..], |found| &found.enters);
                return enters.iter().copied().map(first).collect();
            }
            "Switch" | "RefSwitch" if condition(program, node).is_some() => 1,
            _ => program.nodes[node].inputs.len(),
        };
        (0..count).filter_map(|index| program.operand(node, index)).collect()
    }

    /// The nodes that `roots` need and that are no `leaves`, each after its operands. Depth first
    /// with an explicit stack: graphs come from outside and may be deep.
    pub(super) fn sort(
        &mut self,
        program: &Program<'_>,
        roots: &[Output],
        leaves: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<usize>, Error> {
        let mut done = HashMap::new();
        let mut sorted = Vec::new();
        for root in roots {
            let mut stack: Vec<(usize, Vec<Output>)> = Vec::new();
            let mut next = Some(root.node);
            loop {
                if let Some(node) = next.take()
                    && !leaves(node)
                {
                    match done.get(&node) {
                        Some(true) => {}
                        Some(false) => {
                            return Err(Error::Cycle(program.nodes[node].name.to_owned()));
                        }
                        None => {
                            done.insert(node, false);
                            match program.nodes[node].op {
                                "LoopCond" => self.find(program, node)?,
                                "Exit" | "RefExit" if condition_of(program, node).is_none() => {
                                    return Err(broken(program, node));
                                }
                                _ => {}
                            }
                            let mut operands = self.operands(program, node);
                            operands.reverse();
                            stack.push((node, operands));
                        }
                    }
                }
                let Some((node, operands)) = stack.last_mut() else { break };
                if let Some(operand) = operands.pop() {
                    next = Some(operand.node);
                } else {
                    done.insert(*node, true);
                    sorted.push(*node);
                    stack.pop();
                }
            }
        }
        Ok(sorted)
    }

    /// Finds out what belongs to the loop around a `LoopCond`, and what to the loops in it.
    fn find(&mut self, program: &Program<'_>, condition: usize) -> Result<(), Error> {
        if self.found.contains_key(&condition) {
            return Ok(());
        }
        if self.open.contains(&condition) || self.open.len() == MAX_DEPTH {
            return Err(Error::Cycle(program.nodes[condition].name.to_owned()));
        }
        let broken = || broken(program, condition);
        let switches = self.switches.get(&condition).map_or(&[][..], Vec::as_slice);
        let variables: Option<Vec<Variable>> =
            switches.iter().map(|&switch| variable(program, switch)).collect();
        let variables = variables.ok_or_else(broken)?;
        let test = program.operand(condition, 0).ok_or_else(broken)?;
        let header: HashSet<usize> =
            variables.iter().flat_map(|variable| [variable.merge, variable.switch]).collect();
        let frame = variables.iter().find_map(|variable| program.frame(variable.first.node));
        let is_enter = |node: usize| {
            matches!(program.nodes[node].op, "Enter" | "RefEnter")
                && frame.is_some()
                && program.frame(node) == frame
        };
        let leaf = |node: usize| header.contains(&node) || is_enter(node);
        self.open.push(condition);
        let nexts: Vec<Output> = variables.iter().map(|variable| variable.next).collect();
        let roots: Vec<Output> = [test].into_iter().chain(nexts).collect();
        let tested = self.sort(program, &[test], &leaf);
        let all = self.sort(program, &roots, &leaf);
        self.open.pop();
        let (tested, all) = (tested?, all?);
        let gone = dead(program, self, &all);
        let tested: HashSet<usize> = tested.into_iter().collect();
        let mut found = Loop {
            enters: variables.iter().map(|variable| variable.first.node).collect(),
            variables,
            once: Vec::new(),
            test: Vec::new(),
            body: Vec::new(),
            condition: test,
        };
        let needed = self.reach(program, &roots, &gone, &leaf);
        let mut varying = header.clone();
        for node in all.into_iter().filter(|node| needed.contains(node)) {
            let operands = self.operands(program, node);
            found.enters.extend(operands.iter().map(|o| o.node).filter(|&node| is_enter(node)));
            if !operands.iter().any(|operand| varying.contains(&operand.node)) {
                found.once.push(node);
                continue;
            }
            varying.insert(node);
            let list = if tested.contains(&node) { &mut found.test } else { &mut found.body };
            list.push(node);
        }
        found.enters.extend(roots.iter().map(|root| root.node).filter(|&node| is_enter(node)));
        found.enters.sort_unstable();
        found.enters.dedup();
        self.found.insert(condition, found);
        Ok(())
    }

    /// The nodes that `roots` need when what is dead is left out.
    pub(super) fn reach(
        &self,
        program: &Program<'_>,
        roots: &[Output],
        dead: &Dead,
        leaves: &dyn Fn(usize) -> bool,
    ) -> HashSet<usize> {
        let mut reached = HashSet::new();
        let mut open: Vec<Output> = roots.to_vec();
        while let Some(output) = open.pop() {
            if !dead.has(output) && !leaves(output.node) && reached.insert(output.node) {
                open.extend(self.operands(program, output.node));
            }
        }
        reached
    }
}

/// A loop that `node` belongs to is not a circle.
fn broken(program: &Program<'_>, node: usize) -> Error {
    Error::Loop {
        name: program.nodes[node].name.to_owned(),
        reason: "Enter, Merge, Switch, NextIteration and LoopCond do not make a circle".to_owned(),
    }
}

/// The `LoopCond` of the loop that a node leaves.
fn condition_of(program: &Program<'_>, exit: usize) -> Option<usize> {
    let switch = program.operand(exit, 0)?.node;
    let condition = program.operand(switch, 1)?.node;
    (program.nodes[condition].op == "LoopCond").then_some(condition)
}

/// The variable of a loop that a `Switch` turns; `None` when its circle is not closed.
fn variable(program: &Program<'_>, switch: usize) -> Option<Variable> {
    let merge = program.operand(switch, 0)?.node;
    let node = |index: usize| Some(program.operand(merge, index)?.node);
    let is = |node: usize, op: &str| program.nodes[node].op.trim_start_matches("Ref") == op;
    let closed = is(merge, "Merge") && is(node(0)?, "Enter") && is(node(1)?, "NextIteration");
    let first = Output { node: node(0)?, index: 0 };
    closed.then_some(Variable { merge, switch, first, next: program.operand(node(1)?, 0)? })
}

/// Writes a loop out: as many copies of its body as it has rounds.
pub(super) fn run(context: &mut Context<'_>, condition: usize) -> Result<(), Error> {
    let loops = context.loops.clone();
    let program = context.program;
    let found = loops.get(condition).ok_or_else(|| broken(program, condition))?;
    let value = |context: &Context<'_>, output: Output| {
        let missing = || Error::Output(program.nodes[output.node].name.to_owned());
        context.value(output).ok_or_else(missing)
    };
    let first = |node: usize| Output { node, index: 0 };
    let name = || program.nodes[condition].name.to_owned();
    let mut round = Vec::with_capacity(found.variables.len());
    for variable in &found.variables {
        round.push(value(context, variable.first)?);
    }
    found.once.iter().try_for_each(|&node| build(context, node))?;
    loop {
        for (variable, &value) in found.variables.iter().zip(&round) {
            context.bind(first(variable.merge), value);
            context.bind(Output { node: variable.switch, index: 1 }, value);
        }
        found.test.iter().try_for_each(|&node| build(context, node))?;
        let goes_on = value(context, found.condition)?;
        match context.truth(goes_on) {
            Some(true) => {}
            Some(false) => break,
            None => return Err(Error::Rounds(name())),
        }
        context.rounds += 1;
        if context.rounds > MAX_ROUNDS || context.graph.nodes.len() > MAX_NODES {
            let reason = format!(
                "written out, the loops of the file take more than {MAX_ROUNDS} rounds or \
                 {MAX_NODES} operators"
            );
            return Err(Error::Loop { name: name(), reason });
        }
        found.body.iter().try_for_each(|&node| build(context, node))?;
        for (variable, last) in found.variables.iter().zip(&mut round) {
            *last = value(context, variable.next)?;
        }
    }
    for (variable, value) in found.variables.iter().zip(round) {
        context.bind(first(variable.switch), value);
    }
    Ok(())
}
