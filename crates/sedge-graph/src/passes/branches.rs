//! `ai.sedge.Choose` as ONNX's `If`.
//!
//! `Choose(condition, then, otherwise)` gives one of two tensors, whose shapes may differ. As an
//! operator of two operands it goes through the other rewrites like any; here it becomes a node
//! whose bodies compute only what is chosen: what nothing but one operand needs moves into its body.

use std::collections::{HashMap, HashSet};

use crate::{Attribute, Graph, Node, SEDGE_DOMAIN, Value, ValueId};

/// Name of the operator.
pub const CHOOSE: &str = "Choose";

/// How deep choices may lie in each other, and how many there may be beside each other: each looks
/// at the whole graph. What is beyond that stays as it is, which no engine runs.
const MAX_DEPTH: usize = 32;
const MAX_CHOICES: usize = 256;

/// Replaces every `Choose` of a sorted graph.
pub(super) fn write(graph: &mut Graph) {
    write_within(graph, MAX_DEPTH);
}

fn is_choice(node: &Node) -> bool {
    node.domain == SEDGE_DOMAIN && node.op == CHOOSE
}

fn write_within(graph: &mut Graph, depth: usize) {
    let count = graph.nodes.iter().filter(|node| is_choice(node)).count();
    if depth == 0 || count > MAX_CHOICES {
        return;
    }
    // The last first: what comes before it may be needed by nothing else.
    while let Some(at) = graph.nodes.iter().rposition(is_choice) {
        let choice = graph.nodes[at].clone();
        let (Some(condition), Some(then), Some(otherwise), Some(result)) =
            (choice.input(0), choice.input(1), choice.input(2), choice.output(0))
        else {
            return;
        };
        let inside = [then, otherwise].map(|value| needed_only_for(graph, at, value));
        let mut bodies = [Vec::new(), Vec::new()];
        let mut kept = Vec::with_capacity(graph.nodes.len());
        for (index, node) in std::mem::take(&mut graph.nodes).into_iter().enumerate() {
            match inside.iter().position(|inside| inside.contains(&index)) {
                Some(side) => bodies[side].push(node),
                None => kept.push(node),
            }
        }
        graph.nodes = kept;
        let name = graph.value(result).name.clone();
        let mut branch = Node { op: "If".into(), domain: String::new(), ..choice };
        branch.inputs = vec![Some(condition)];
        branch.attributes.clear();
        let sides = ["then_branch", "else_branch"].into_iter().zip([then, otherwise]);
        for ((key, value), nodes) in sides.zip(bodies) {
            let mut body = body(graph, nodes, value, &format!("{name}/{key}"));
            write_within(&mut body, depth - 1);
            branch.attributes.insert(key.into(), Attribute::Graph(Box::new(body)));
        }
        let gone: usize = inside.iter().map(HashSet::len).sum();
        graph.nodes[at - gone] = branch;
    }
}

/// The nodes that only `value` as an operand of the choice at `end` needs.
fn needed_only_for(graph: &Graph, end: usize, value: ValueId) -> HashSet<usize> {
    let mut inside: HashSet<usize> = HashSet::new();
    let operands = graph.nodes[end].inputs.iter().flatten();
    if operands.filter(|input| **input == value).count() != 1 {
        return inside;
    }
    let uses = graph.consumers();
    let outputs: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    for index in (0..end).rev() {
        let results = || graph.nodes[index].outputs.iter().flatten();
        // Of the choice itself only this operand counts.
        let is_inside = |id: &ValueId, node: usize| match node == end {
            true => *id == value,
            false => inside.contains(&node),
        };
        let is_only = |id: &ValueId| {
            let uses = uses.get(id).map_or(&[][..], Vec::as_slice);
            !outputs.contains(id) && uses.iter().all(|&(node, _)| is_inside(id, node))
        };
        if results().any(|id| uses.contains_key(id)) && results().all(is_only) {
            inside.insert(index);
        }
    }
    inside
}

/// A body of these nodes that gives `value`. Values from outside are read by their names, constants
/// come along under names of their own.
fn body(graph: &Graph, nodes: Vec<Node>, value: ValueId, prefix: &str) -> Graph {
    let mut body = Graph::new(prefix);
    let made: HashSet<ValueId> =
        nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()).collect();
    let mut ids: HashMap<ValueId, ValueId> = HashMap::new();
    let mut inner = |body: &mut Graph, id: ValueId| {
        *ids.entry(id).or_insert_with(|| {
            let outer = graph.value(id);
            let own = outer.constant.is_some() && !made.contains(&id);
            let name = if own { format!("{prefix}/{}", outer.name) } else { outer.name.clone() };
            body.add_value(Value { name, ..outer.clone() })
        })
    };
    for mut node in nodes {
        for id in node.inputs.iter_mut().chain(&mut node.outputs).flatten() {
            *id = inner(&mut body, *id);
        }
        body.nodes.push(node);
    }
    let result = inner(&mut body, value);
    let result = if made.contains(&value) {
        result
    } else {
        body.node("Identity").input(result).output(&format!("{prefix}/chosen"))
    };
    let chosen = graph.value(value);
    let told = body.value_mut(result);
    (told.dtype, told.shape) = (chosen.dtype, chosen.shape.clone());
    body.outputs.push(result);
    body
}

#[cfg(test)]
mod tests {
    use sedge_tensor::DType;

    use super::*;
    use crate::passes;

    fn input(graph: &mut Graph, name: &str, dtype: DType) -> ValueId {
        let value = Value { name: name.into(), dtype: Some(dtype), ..Value::default() };
        let id = graph.add_value(value);
        graph.inputs.push(id);
        id
    }

    fn choose(graph: &mut Graph, condition: ValueId, [a, b]: [ValueId; 2], name: &str) -> ValueId {
        let node = graph.node(CHOOSE).domain(SEDGE_DOMAIN).input(condition).input(a).input(b);
        node.output(name)
    }

    fn operators(graph: &Graph) -> Vec<&str> {
        graph.nodes.iter().map(|node| node.op.as_str()).collect()
    }

    fn branch<'g>(node: &'g Node, name: &str) -> &'g Graph {
        match node.attributes.get(name) {
            Some(Attribute::Graph(body)) => body,
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn what_only_one_branch_needs_is_computed_there() {
        let mut graph = Graph::new("g");
        let condition = input(&mut graph, "condition", DType::Bool);
        let x = input(&mut graph, "x", DType::F32);
        let shared = graph.node("Relu").input(x).output("shared");
        let negative = graph.node("Neg").input(shared).output("negative");
        let then = graph.node("Exp").input(negative).output("then");
        let result = choose(&mut graph, condition, [then, shared], "result");
        graph.outputs = vec![result];
        passes::expand(&mut graph).unwrap();
        assert_eq!(operators(&graph), ["Relu", "If"]);
        assert_eq!(operators(branch(&graph.nodes[1], "then_branch")), ["Neg", "Exp"]);
        assert_eq!(operators(branch(&graph.nodes[1], "else_branch")), ["Identity"]);
        assert_eq!(graph.captured(&graph.nodes[1]), [shared]);
    }

    #[test]
    fn choices_lie_in_each_other() {
        let mut graph = Graph::new("g");
        let condition = input(&mut graph, "condition", DType::Bool);
        let x = input(&mut graph, "x", DType::F32);
        let one = graph.node("Neg").input(x).output("one");
        let other = graph.node("Exp").input(x).output("other");
        let inner = choose(&mut graph, condition, [one, other], "inner");
        let last = graph.node("Abs").input(inner).output("last");
        let result = choose(&mut graph, condition, [last, x], "result");
        graph.outputs = vec![result];
        passes::expand(&mut graph).unwrap();
        assert_eq!(operators(&graph), ["If"]);
        let then = branch(&graph.nodes[0], "then_branch");
        assert_eq!(operators(then), ["If", "Abs"]);
        assert_eq!(operators(branch(&then.nodes[0], "else_branch")), ["Exp"]);
    }
}
