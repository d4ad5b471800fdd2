//! Puts a graph's nodes into a line of steps: kernels where the pattern fits, sections for another
//! engine elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use sedge_graph::{Graph, ValueId};
use sedge_kernels::Level;
use sedge_tensor::Tensor;

use super::host::{self, Host, doubles};
use super::lower::Builder;
use super::segment;
use super::step::{Kernel, Plan, Step};
use crate::integers::affine;
use crate::integers::pattern::{Found, Search};
use crate::{LoadError, Session};

/// Loads a section of the graph into the engine that runs floats.
pub(super) type LoadSection<'a> = &'a dyn Fn(Graph) -> Result<Box<dyn Session>, LoadError>;

/// What becomes of a node.
enum Item {
    Kernel(Found),
    Host(Arc<dyn Host>),
    Section,
}

/// Why a plan did not come about.
pub(super) enum Failure {
    /// The pattern at this node fits, but not these operands.
    Refused(usize),
    /// The graph cannot be cut.
    Whole,
    Load(LoadError),
}

/// A plan for a sorted graph with inferred shapes; `None` when it cannot be cut into sections.
pub(super) fn plan(graph: &Graph, load: LoadSection<'_>) -> Result<Option<Plan>, LoadError> {
    let mut excluded = HashSet::new();
    loop {
        match attempt(graph, &excluded, load) {
            Ok(plan) => return Ok(Some(plan)),
            Err(Failure::Refused(node)) if excluded.insert(node) => {}
            Err(Failure::Load(error)) => return Err(error),
            Err(_) => return Ok(None),
        }
    }
}

struct Schedule<'g> {
    graph: &'g Graph,
    items: Vec<Item>,
    live: Vec<bool>,
    /// Nodes that depend on constants only: they go where they are used.
    constant: Vec<bool>,
}

impl Schedule<'_> {
    fn inputs(&self, index: usize) -> Vec<ValueId> {
        match &self.items[index] {
            Item::Kernel(found) => found.inputs.clone(),
            Item::Host(_) | Item::Section => {
                let node = &self.graph.nodes[index];
                node.inputs.iter().flatten().copied().chain(self.graph.captured(node)).collect()
            }
        }
    }

    fn outputs(&self, index: usize) -> Vec<ValueId> {
        self.graph.nodes[index].outputs.iter().flatten().copied().collect()
    }

    fn find_live(&mut self) {
        let mut wanted: HashSet<ValueId> = self.graph.outputs.iter().copied().collect();
        for index in (0..self.items.len()).rev() {
            self.live[index] = self.outputs(index).iter().any(|value| wanted.contains(value));
            if self.live[index] {
                wanted.extend(self.inputs(index));
            }
        }
    }

    fn find_constant(&mut self) {
        let mut known: HashSet<ValueId> = HashSet::new();
        for index in 0..self.items.len() {
            let is_known = |value: &ValueId| {
                self.graph.value(*value).constant.is_some() || known.contains(value)
            };
            let all = self.inputs(index).iter().all(is_known);
            if all && matches!(self.items[index], Item::Section) {
                self.constant[index] = true;
                known.extend(self.outputs(index));
            }
        }
    }
}

fn attempt(
    graph: &Graph,
    excluded: &HashSet<usize>,
    load: LoadSection<'_>,
) -> Result<Plan, Failure> {
    let search = Search::new(graph);
    let doubles = doubles::known(graph);
    let item = |(index, node)| {
        if excluded.contains(&index) {
            return Item::Section;
        }
        let in_doubles = || doubles::read(graph, node).filter(|_| doubles);
        let host = || host::read(graph, node).or_else(in_doubles).map(Item::Host);
        search.find(node).map(Item::Kernel).or_else(host).unwrap_or(Item::Section)
    };
    let items: Vec<Item> = graph.nodes.iter().enumerate().map(item).collect();
    let count = items.len();
    let mut schedule =
        Schedule { graph, items, live: vec![false; count], constant: vec![false; count] };
    schedule.find_live();
    schedule.find_constant();
    let mut builder = Builder::new(graph, &search, Level::detect());
    let mut available: HashSet<ValueId> = graph.inputs.iter().copied().collect();
    let mut pending: Vec<usize> =
        (0..count).filter(|&i| schedule.live[i] && !schedule.constant[i]).collect();
    let of_constants: HashSet<ValueId> =
        (0..count).filter(|&i| schedule.constant[i]).flat_map(|i| schedule.outputs(i)).collect();
    while !pending.is_empty() {
        let before = pending.len();
        let mut section = Vec::new();
        let mut made: HashSet<ValueId> = HashSet::new();
        for kernels in [true, false] {
            let mut later = Vec::new();
            for index in pending {
                let ready = |value: &ValueId| {
                    graph.value(*value).constant.is_some()
                        || of_constants.contains(value)
                        || available.contains(value)
                        || made.contains(value)
                };
                let is_ready = schedule.inputs(index).iter().all(ready);
                match &schedule.items[index] {
                    Item::Kernel(found) if kernels && is_ready => {
                        builder.lower(found).ok_or(Failure::Refused(index))?;
                        available.extend(&found.outputs);
                    }
                    Item::Host(operator) if kernels && is_ready => {
                        let (from, to) = (schedule.inputs(index), schedule.outputs(index));
                        builder.host(operator, &from, &to).ok_or(Failure::Refused(index))?;
                        available.extend(to);
                    }
                    Item::Section if !kernels && is_ready => {
                        made.extend(schedule.outputs(index));
                        section.push(index);
                    }
                    _ => later.push(index),
                }
            }
            pending = later;
        }
        if !section.is_empty() {
            add_section(&schedule, &mut builder, section, load)?;
            available.extend(made);
        }
        if pending.len() == before {
            return Err(Failure::Whole);
        }
    }
    // Outputs that are constants or depend on constants only.
    let rest: Vec<usize> = (0..count)
        .filter(|&i| schedule.constant[i] && schedule.live[i])
        .filter(|&i| schedule.outputs(i).iter().any(|value| graph.outputs.contains(value)))
        .collect();
    if !rest.is_empty() {
        add_section(&schedule, &mut builder, rest, load)?;
    }
    builder.finish().ok_or(Failure::Whole)
}

/// One step for nodes that another engine runs, with the constants they need.
fn add_section(
    schedule: &Schedule<'_>,
    builder: &mut Builder<'_>,
    nodes: Vec<usize>,
    load: LoadSection<'_>,
) -> Result<(), Failure> {
    let graph = schedule.graph;
    let producers = graph.producers();
    let mut inside: HashSet<usize> = nodes.iter().copied().collect();
    let mut stack = nodes;
    while let Some(index) = stack.pop() {
        for value in schedule.inputs(index) {
            let constant = producers.get(&value).filter(|&&node| schedule.constant[node]);
            if let Some(&node) = constant.filter(|node| inside.insert(**node)) {
                stack.push(node);
            }
        }
    }
    let mut wanted: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    for index in (0..schedule.items.len()).filter(|i| schedule.live[*i] && !inside.contains(i)) {
        wanted.extend(schedule.inputs(index));
    }
    // What constants make is made again wherever it is needed.
    for &index in inside.iter().filter(|&&index| schedule.constant[index]) {
        for value in schedule.outputs(index) {
            if !graph.outputs.contains(&value) {
                wanted.remove(&value);
            }
        }
    }
    let mut order: Vec<usize> = inside.into_iter().collect();
    order.sort_unstable();
    let (section, inputs, outputs) = segment::extract(graph, &order, &wanted);
    let typed = |value: &ValueId| graph.value(*value).dtype.is_some();
    if !outputs.iter().all(typed) {
        return Err(Failure::Whole);
    }
    let tensors_in = inputs.iter().map(|&value| builder.tensor(value)).collect::<Option<_>>();
    let step = Step {
        kernel: Kernel::Section(load(section).map_err(Failure::Load)?),
        bytes_in: Vec::new(),
        bytes_out: None,
        length: 0,
        tensors_in: tensors_in.ok_or(Failure::Whole)?,
        tensors_out: outputs.iter().map(|&value| builder.new_tensor(value)).collect(),
    };
    builder.push(step);
    Ok(())
}

/// A tensor over dequantised constant bytes.
pub(super) fn dequantized_constant(search: &Search<'_>, value: ValueId) -> Option<Tensor> {
    let (bytes, from) = search.dequantized(value)?;
    let tensor = search.graph.constant(Some(bytes))?;
    let bytes = affine::unsigned(tensor)?;
    Tensor::new(tensor.shape(), sedge_kernels::dequantize(&bytes, from)).ok()
}
