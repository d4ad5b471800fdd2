//! Sections of a graph that another engine runs.

use std::collections::{HashMap, HashSet};

use sedge_graph::{Graph, Value, ValueId};

/// The nodes at `nodes` as a graph of its own. What they read and do not make becomes its inputs;
/// `wanted` tells which of their results become its outputs.
pub(super) fn extract(
    graph: &Graph,
    nodes: &[usize],
    wanted: &HashSet<ValueId>,
) -> (Graph, Vec<ValueId>, Vec<ValueId>) {
    let mut section = Graph::new(graph.name.clone());
    let mut made: HashSet<ValueId> = HashSet::new();
    for &index in nodes {
        made.extend(graph.nodes[index].outputs.iter().flatten());
    }
    let mut ids: HashMap<ValueId, ValueId> = HashMap::new();
    let mut inputs = Vec::new();
    let mut copy = |section: &mut Graph, id: ValueId| {
        *ids.entry(id).or_insert_with(|| {
            let value = graph.value(id);
            let copied = section.add_value(Value { quantization: None, ..value.clone() });
            if value.constant.is_none() && !made.contains(&id) {
                inputs.push(id);
                section.inputs.push(copied);
            }
            copied
        })
    };
    for &index in nodes {
        let node = &graph.nodes[index];
        // Bodies find outer values by name, so those must be there under it.
        for captured in graph.captured(node) {
            copy(&mut section, captured);
        }
        let mut node = node.clone();
        for value in node.inputs.iter_mut().chain(&mut node.outputs).flatten() {
            *value = copy(&mut section, *value);
        }
        section.nodes.push(node);
    }
    let mut outputs = Vec::new();
    for &index in nodes {
        for &value in graph.nodes[index].outputs.iter().flatten() {
            if wanted.contains(&value) {
                outputs.push(value);
                section.outputs.push(ids[&value]);
            }
        }
    }
    (section, inputs, outputs)
}
