use sedge_tensor::Tensor;

use crate::{Attribute, Graph, Node, Value, ValueId};

/// Adds a node to a graph, operand by operand: `graph.node("Conv").input(x).input(w).output("y")`.
#[derive(Debug)]
pub struct NodeBuilder<'g> {
    graph: &'g mut Graph,
    node: Node,
}

impl Graph {
    /// Starts a node of the default ONNX domain at the end of the node list.
    pub fn node(&mut self, op: &str) -> NodeBuilder<'_> {
        let node = Node { op: op.to_owned(), ..Node::default() };
        NodeBuilder { graph: self, node }
    }
}

impl<'g> NodeBuilder<'g> {
    /// Sets the operator domain.
    pub fn domain(mut self, domain: &str) -> Self {
        self.node.domain = domain.to_owned();
        self
    }

    /// Sets the node's name.
    pub fn named(mut self, name: &str) -> Self {
        self.node.name = name.to_owned();
        self
    }

    /// Appends an operand.
    pub fn input(mut self, value: ValueId) -> Self {
        self.node.inputs.push(Some(value));
        self
    }

    /// Appends an operand that may be left out.
    pub fn optional(mut self, value: Option<ValueId>) -> Self {
        self.node.inputs.push(value);
        self
    }

    /// Appends a constant operand.
    pub fn constant(mut self, tensor: Tensor) -> Self {
        let id =
            self.graph.add_constant(format!("{}_constant", self.node.op.to_lowercase()), tensor);
        self.node.inputs.push(Some(id));
        self
    }

    /// Appends a one-dimensional `i64` constant: shapes, axes, pads.
    pub fn ints(self, values: &[i64]) -> Self {
        self.constant(Tensor::vector(values.to_vec()))
    }

    /// Appends a scalar `f32` constant.
    pub fn scalar(self, value: f32) -> Self {
        self.constant(Tensor::scalar(value))
    }

    /// Sets an attribute.
    pub fn attribute(mut self, name: &str, value: impl Into<Attribute>) -> Self {
        self.node.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// Finishes the node with one new result of (about) this name.
    pub fn output(self, name: &str) -> ValueId {
        let id = self.graph.add_value(Value { name: name.to_owned(), ..Value::default() });
        self.output_to(id);
        id
    }

    /// Finishes the node with one result that exists already.
    pub fn output_to(self, value: ValueId) {
        self.outputs_to(vec![Some(value)]);
    }

    /// Finishes the node with results that exist already.
    pub fn outputs_to(mut self, values: Vec<Option<ValueId>>) {
        self.node.outputs = values;
        self.graph.nodes.push(self.node);
    }
}
