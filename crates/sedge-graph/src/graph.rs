use std::collections::{BTreeMap, HashMap, HashSet};

use sedge_tensor::{DType, Quantization, Tensor};
use serde::{Deserialize, Serialize};

use crate::Attribute;

/// A handle of a [`Value`] inside one [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

/// One dimension of a value's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dim {
    /// Known at import.
    Fixed(usize),
    /// Known only when a request comes; equal names are equal sizes.
    Symbol(String),
    /// Nothing is known.
    Unknown,
}

impl Dim {
    /// The size when it is known.
    pub fn fixed(&self) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(*n),
            _ => None,
        }
    }
}

/// What flows along an edge: an input, an intermediate result, an output or a constant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Value {
    /// Unique in the graph; inputs and outputs keep the source file's names.
    pub name: String,
    /// Element type, when known.
    pub dtype: Option<DType>,
    /// Shape, when the rank is known.
    pub shape: Option<Vec<Dim>>,
    /// Meaning of a quantised integer input or output.
    pub quantization: Option<Quantization>,
    /// The value itself, for weights and other constants.
    pub constant: Option<Tensor>,
}

impl Value {
    /// The shape when every dimension is known.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        self.shape.as_ref()?.iter().map(Dim::fixed).collect()
    }
}

/// One operator application.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Unique where the source has names; may be empty.
    pub name: String,
    /// Operator type, such as `Conv`.
    pub op: String,
    /// Operator domain; empty for ONNX's own.
    pub domain: String,
    /// Operands in order; `None` for an optional one left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Results in order; `None` for an optional one nobody wants.
    pub outputs: Vec<Option<ValueId>>,
    /// Static parameters.
    pub attributes: BTreeMap<String, Attribute>,
}

impl Node {
    /// True for the operator `op` of the default ONNX domain.
    pub fn is(&self, op: &str) -> bool {
        self.domain.is_empty() && self.op == op
    }

    /// The `index`-th operand, when it is there.
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// The `index`-th result, when it is there.
    pub fn output(&self, index: usize) -> Option<ValueId> {
        self.outputs.get(index).copied().flatten()
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attributes.get(name) {
            Some(Attribute::Int(value)) => Some(*value),
            _ => None,
        }
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        match self.attributes.get(name) {
            Some(Attribute::Float(value)) => Some(*value),
            _ => None,
        }
    }

    /// A list-of-integers attribute.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name) {
            Some(Attribute::Ints(values)) => Some(values),
            _ => None,
        }
    }

    /// A string attribute.
    pub fn string(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name) {
            Some(Attribute::String(value)) => Some(value),
            _ => None,
        }
    }
}

/// Why a graph does not hang together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// A value is used but neither an input, a constant nor any node's result.
    #[error("node '{node}' ({op}) reads '{value}', which nothing produces")]
    Dangling {
        /// The reading node.
        node: String,
        /// Its operator.
        op: String,
        /// The missing value.
        value: String,
    },
    /// An output of the graph is never produced.
    #[error("graph output '{0}' is never produced")]
    MissingOutput(String),
    /// Two nodes claim one value.
    #[error("value '{0}' is produced twice")]
    ProducedTwice(String),
    /// The nodes depend on each other in a circle.
    #[error("the nodes form a cycle through '{0}'")]
    Cycle(String),
}

/// A model: nodes over values, in an order in which they can run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Name given by the source file.
    pub name: String,
    /// What a request must bring, in the source's order.
    pub inputs: Vec<ValueId>,
    /// What the model answers, in the source's order.
    pub outputs: Vec<ValueId>,
    /// Operators, topologically ordered after [`Graph::sort`].
    pub nodes: Vec<Node>,
    /// Free-form facts the file carries about itself.
    pub metadata: BTreeMap<String, String>,
    values: Vec<Value>,
    names: HashMap<String, ValueId>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds a value; a name that is taken or empty gets a numbered suffix.
    pub fn add_value(&mut self, mut value: Value) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        if value.name.is_empty() || self.names.contains_key(&value.name) {
            let stem = if value.name.is_empty() { "value" } else { &value.name };
            let mut suffix = self.values.len();
            let mut name = format!("{stem}_{suffix}");
            while self.names.contains_key(&name) {
                // Not by one: a file may have taken the next thousands of numbers.
                suffix = suffix.wrapping_mul(5).wrapping_add(1);
                name = format!("{stem}_{suffix}");
            }
            value.name = name;
        }
        self.names.insert(value.name.clone(), id);
        self.values.push(value);
        id
    }

    /// Adds a named constant.
    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        self.add_value(Value {
            name: name.into(),
            dtype: Some(tensor.dtype()),
            shape: Some(tensor.shape().iter().map(|&n| Dim::Fixed(n)).collect()),
            quantization: None,
            constant: Some(tensor),
        })
    }

    /// The value behind a handle.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The value behind a handle, to change. Its name must stay.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    /// Looks a value up by name.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.names.get(name).copied()
    }

    /// Gives a value another name; `false` when the name is taken by another.
    pub fn rename(&mut self, id: ValueId, name: &str) -> bool {
        match self.names.get(name) {
            Some(&holder) => holder == id,
            None => {
                let old = std::mem::replace(&mut self.value_mut(id).name, name.to_owned());
                self.names.remove(&old);
                self.names.insert(name.to_owned(), id);
                true
            }
        }
    }

    /// Every value with its handle, used or not.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter().enumerate().map(|(i, v)| (ValueId(i as u32), v))
    }

    /// The constant behind an operand.
    pub fn constant(&self, id: Option<ValueId>) -> Option<&Tensor> {
        self.value(id?).constant.as_ref()
    }

    /// A small integer constant as a list: shapes, axes, pads.
    pub fn constant_ints(&self, id: Option<ValueId>) -> Option<Vec<i64>> {
        self.constant(id)?.to_i64()
    }

    /// For every value, the index of the node that produces it.
    pub fn producers(&self) -> HashMap<ValueId, usize> {
        let outputs = |(i, node): (usize, &Node)| {
            node.outputs.iter().flatten().map(move |&v| (v, i)).collect::<Vec<_>>()
        };
        self.nodes.iter().enumerate().flat_map(outputs).collect()
    }

    /// For every value, the nodes that read it (directly or from inside a body) as
    /// `(node, operand)`; a body's use has operand `usize::MAX`.
    pub fn consumers(&self) -> HashMap<ValueId, Vec<(usize, usize)>> {
        let mut uses: HashMap<ValueId, Vec<(usize, usize)>> = HashMap::new();
        for (i, node) in self.nodes.iter().enumerate() {
            for (operand, value) in node.inputs.iter().enumerate() {
                if let Some(value) = value {
                    uses.entry(*value).or_default().push((i, operand));
                }
            }
            for value in self.captured(node) {
                uses.entry(value).or_default().push((i, usize::MAX));
            }
        }
        uses
    }

    /// Values of this graph that the bodies of `node` read by name.
    pub fn captured(&self, node: &Node) -> Vec<ValueId> {
        let mut names = HashSet::new();
        for attribute in node.attributes.values() {
            if let Attribute::Graph(body) = attribute {
                body.free_names(&mut names);
            }
        }
        let mut ids: Vec<_> = names.iter().filter_map(|name| self.find(name)).collect();
        ids.sort();
        ids
    }

    /// Names this graph reads but does not define.
    fn free_names(&self, into: &mut HashSet<String>) {
        let produced = self.producers();
        let free = |id: &ValueId| {
            self.value(*id).constant.is_none()
                && !produced.contains_key(id)
                && !self.inputs.contains(id)
        };
        for node in &self.nodes {
            for id in node.inputs.iter().flatten().filter(|id| free(id)) {
                into.insert(self.value(*id).name.clone());
            }
            let mut inner = HashSet::new();
            for attribute in node.attributes.values() {
                if let Attribute::Graph(body) = attribute {
                    body.free_names(&mut inner);
                }
            }
            into.extend(
                inner.into_iter().filter(|name| self.find(name).is_none_or(|id| free(&id))),
            );
        }
        into.extend(
            self.outputs.iter().filter(|id| free(id)).map(|id| self.value(*id).name.clone()),
        );
    }

    /// Puts the nodes into an order in which they can run and checks that everything read is
    /// produced exactly once.
    pub fn sort(&mut self) -> Result<(), GraphError> {
        self.check_produced_once()?;
        let producers = self.producers();
        let mut ready: Vec<bool> = self.values.iter().map(|v| v.constant.is_some()).collect();
        for &input in &self.inputs {
            ready[input.0 as usize] = true;
        }
        let operands = |node: &Node| -> Vec<ValueId> {
            node.inputs.iter().flatten().copied().chain(self.captured(node)).collect()
        };
        let needs: Vec<Vec<ValueId>> = self.nodes.iter().map(operands).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut state = vec![0u8; self.nodes.len()];
        for start in 0..self.nodes.len() {
            // Depth first with an explicit stack: graphs come from outside and may be deep.
            let mut stack = vec![(start, 0)];
            while let Some((node, next)) = stack.pop() {
                if state[node] == 2 {
                    continue;
                }
                state[node] = 1;
                let Some(&value) = needs[node].get(next) else {
                    state[node] = 2;
                    order.push(node);
                    for output in self.nodes[node].outputs.iter().flatten() {
                        ready[output.0 as usize] = true;
                    }
                    continue;
                };
                stack.push((node, next + 1));
                if ready[value.0 as usize] {
                    continue;
                }
                let name = || self.value(value).name.clone();
                match producers.get(&value) {
                    Some(&producer) if state[producer] == 1 => {
                        return Err(GraphError::Cycle(name()));
                    }
                    Some(&producer) => stack.push((producer, 0)),
                    None => {
                        let Node { name: node, op, .. } = &self.nodes[node];
                        return Err(GraphError::Dangling {
                            node: node.clone(),
                            op: op.clone(),
                            value: name(),
                        });
                    }
                }
            }
        }
        if let Some(&missing) = self.outputs.iter().find(|id| !ready[id.0 as usize]) {
            return Err(GraphError::MissingOutput(self.value(missing).name.clone()));
        }
        let mut nodes: Vec<_> = std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        self.nodes = order.into_iter().filter_map(|i| nodes[i].take()).collect();
        Ok(())
    }

    fn check_produced_once(&self) -> Result<(), GraphError> {
        let mut seen: HashSet<ValueId> = self.inputs.iter().copied().collect();
        for id in self.nodes.iter().flat_map(|node| node.outputs.iter().flatten()) {
            if !seen.insert(*id) || self.value(*id).constant.is_some() {
                return Err(GraphError::ProducedTwice(self.value(*id).name.clone()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Graph {
        let mut graph = Graph::new("chain");
        let x = graph.add_value(Value { name: "x".into(), ..Value::default() });
        graph.inputs.push(x);
        let a = graph.node("Relu").input(x).output("a");
        let b = graph.node("Neg").input(a).output("b");
        graph.outputs.push(b);
        graph
    }

    #[test]
    fn sorting_puts_producers_first() {
        let mut graph = chain();
        graph.nodes.reverse();
        graph.sort().unwrap();
        assert_eq!(graph.nodes[0].op, "Relu");
    }

    #[test]
    fn broken_graphs_are_named() {
        let mut dangling = chain();
        dangling.nodes.remove(0);
        assert!(matches!(dangling.sort(), Err(GraphError::Dangling { value, .. }) if value == "a"));

        let mut cycle = chain();
        let b = cycle.find("b");
        cycle.nodes[0].inputs = vec![b];
        assert!(matches!(cycle.sort(), Err(GraphError::Cycle(_))));

        let mut twice = chain();
        let node = twice.nodes[0].clone();
        twice.nodes.push(node);
        assert_eq!(twice.sort(), Err(GraphError::ProducedTwice("a".into())));
    }

    #[test]
    fn taken_names_get_a_suffix() {
        let mut graph = chain();
        let id = graph.add_value(Value { name: "a".into(), ..Value::default() });
        assert_ne!(graph.value(id).name, "a");
        assert!(!graph.rename(id, "b"));
        assert!(graph.rename(id, "free"));
        assert_eq!(graph.find("free"), Some(id));
    }

    #[test]
    fn a_file_that_takes_thousands_of_numbered_names_costs_no_more() {
        let mut graph = Graph::new("g");
        let named = |name: String| Value { name, ..Value::default() };
        for number in 20_000..40_000 {
            graph.add_value(named(format!("a_{number}")));
        }
        graph.add_value(named("a".into()));
        // One after the other, each would have to pass all that are taken.
        let ids: Vec<_> = (0..20_000).map(|_| graph.add_value(named("a".into()))).collect();
        let names: HashSet<_> = ids.iter().map(|&id| graph.value(id).name.clone()).collect();
        assert_eq!(names.len(), ids.len());
    }
}
