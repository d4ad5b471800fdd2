use std::collections::{HashMap, HashSet};

use crate::{Graph, ValueId};

/// Removes `Identity` nodes and everything no output depends on.
pub fn clean(graph: &mut Graph) {
    bypass_identities(graph);
    remove_dead(graph);
}

fn bypass_identities(graph: &mut Graph) {
    let mut alias: HashMap<ValueId, ValueId> = HashMap::new();
    let outputs: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    // Bodies read outer values by name, which an alias would not follow.
    let captured: HashSet<ValueId> =
        graph.nodes.iter().flat_map(|node| graph.captured(node)).collect();
    let mut nodes = std::mem::take(&mut graph.nodes);
    nodes.retain_mut(|node| {
        for input in node.inputs.iter_mut().flatten() {
            *input = alias.get(input).copied().unwrap_or(*input);
        }
        match (node.is("Identity"), node.input(0), node.output(0)) {
            (true, Some(x), Some(y)) if !outputs.contains(&y) && !captured.contains(&y) => {
                alias.insert(y, x);
                false
            }
            _ => true,
        }
    });
    graph.nodes = nodes;
}

fn remove_dead(graph: &mut Graph) {
    let mut live: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if node.outputs.iter().flatten().any(|id| live.contains(id)) {
            live.extend(node.inputs.iter().flatten());
            live.extend(graph.captured(&node));
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn identities_and_dead_branches_go_but_outputs_stay() {
        let mut graph = Graph::new("g");
        let x = graph.add_value(Value { name: "x".into(), ..Value::default() });
        graph.inputs.push(x);
        let same = graph.node("Identity").input(x).output("same");
        let y = graph.node("Relu").input(same).output("y");
        graph.node("Neg").input(same).output("nobody");
        let z = graph.node("Identity").input(y).output("z");
        graph.outputs.push(z);
        clean(&mut graph);
        let ops: Vec<_> = graph.nodes.iter().map(|n| n.op.as_str()).collect();
        assert_eq!(ops, ["Relu", "Identity"]);
        assert_eq!(graph.nodes[0].input(0), Some(x));
    }
}
