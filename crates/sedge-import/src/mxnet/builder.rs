use std::collections::{HashMap, HashSet};

use sedge_graph::{Dim, Graph, NodeBuilder, Value, ValueId, onnx, shapes};
use sedge_tensor::{DType, Tensor};

use super::attributes::Attributes;
use super::symbol::{Entry, Node, Symbol};
use super::training::{self, Wanted};
use super::weights::Weights;
use super::{Error, Refusal, operators};

/// The graph while it grows, and which of its values stand for which result of the symbol.
#[derive(Debug)]
pub(super) struct Context<'m> {
    pub(super) graph: Graph,
    pub(super) symbol: &'m Symbol,
    pub(super) weights: &'m Weights,
    values: HashMap<Entry, ValueId>,
    /// What MXNet calls the results.
    names: HashMap<Entry, String>,
    /// Values that carry a name of the symbol.
    bound: HashSet<ValueId>,
    /// Nodes whose shapes are inferred already.
    inferred: usize,
}

impl<'m> Context<'m> {
    pub(super) fn new(symbol: &'m Symbol, weights: &'m Weights) -> Self {
        Self {
            graph: Graph::new("mxnet"),
            symbol,
            weights,
            values: HashMap::new(),
            names: HashMap::new(),
            bound: HashSet::new(),
            inferred: 0,
        }
    }

    /// Declares a variable as an input of the graph.
    pub(super) fn input(&mut self, variable: usize, dtype: DType, shape: Option<Vec<Dim>>) {
        let name = self.symbol.nodes[variable].name.clone();
        let value = Value { name, dtype: Some(dtype), shape, ..Value::default() };
        let id = self.graph.add_value(value);
        self.graph.inputs.push(id);
        self.bound.insert(id);
        self.values.insert(Entry { node: variable, output: 0 }, id);
    }

    fn operand(&mut self, entry: Entry) -> Result<ValueId, Refusal> {
        if let Some(&value) = self.values.get(&entry) {
            return Ok(value);
        }
        let node = &self.symbol.nodes[entry.node];
        let weight = self.weights.get(&node.name).filter(|_| node.is_variable());
        let Some(weight) = weight.cloned() else {
            return Err(Refusal(format!(
                "result {} of '{}' does not exist",
                entry.output, node.name
            )));
        };
        let value = self.graph.add_constant(node.name.clone(), weight);
        self.bound.insert(value);
        self.values.insert(entry, value);
        Ok(value)
    }

    /// Adds the nodes for an operator of the symbol.
    pub(super) fn translate(&mut self, index: usize) -> Result<(), Error> {
        let node = &self.symbol.nodes[index];
        self.infer();
        let build = operators::builder(&node.op)
            .ok_or_else(|| Error::Unsupported(vec![(node.op.clone(), 1)]))?;
        build(&mut Op { context: self, node, index }).map_err(|refusal| Error::Operator {
            operator: node.op.clone(),
            node: node.name.clone(),
            reason: refusal.to_string(),
        })
    }

    fn infer(&mut self) {
        shapes::infer_from(&mut self.graph, self.inferred);
        self.inferred = self.graph.nodes.len();
    }

    /// Declares the outputs and checks that the graph hangs together.
    pub(super) fn finish(mut self, wanted: &Wanted) -> Result<Graph, Error> {
        self.infer();
        for &head in &wanted.heads {
            let value = self.operand(head).map_err(|refusal| Error::Symbol(refusal.to_string()))?;
            let is_constant = self.graph.value(value).constant.is_some();
            let is_taken =
                self.graph.inputs.contains(&value) || self.graph.outputs.contains(&value);
            let name = match self.names.get(&head) {
                Some(name) => name.clone(),
                None => self.graph.value(value).name.clone(),
            };
            let output = if is_constant || is_taken {
                if is_constant {
                    self.graph.rename(value, &format!("{name}/constant"));
                }
                self.graph.node("Identity").input(value).output(&name)
            } else {
                self.graph.rename(value, &name);
                value
            };
            self.graph.outputs.push(output);
        }
        for index in 0..self.graph.nodes.len() {
            if let Some(result) = self.graph.nodes[index].output(0) {
                self.graph.nodes[index].name = self.graph.value(result).name.clone();
            }
        }
        self.graph.sort()?;
        self.infer();
        Ok(self.graph)
    }
}

/// One operator being translated: access to its operands by position, and the graph.
#[derive(Debug)]
pub(super) struct Op<'c, 'm> {
    context: &'c mut Context<'m>,
    node: &'m Node,
    index: usize,
}

impl<'m> Op<'_, 'm> {
    /// The operator's name.
    pub(super) fn kind(&self) -> &'m str {
        &self.node.op
    }

    pub(super) fn attributes(&self) -> &'m Attributes {
        &self.node.attributes
    }

    /// Number of operands.
    pub(super) fn count(&self) -> usize {
        training::operands(self.node).len()
    }

    /// Operand `index`.
    pub(super) fn input(&mut self, index: usize) -> Result<ValueId, Refusal> {
        let entry = training::operands(self.node).get(index);
        let entry = entry.ok_or_else(|| Refusal(format!("operand {index} is missing")))?;
        self.context.operand(*entry)
    }

    /// All operands.
    pub(super) fn inputs(&mut self) -> Result<Vec<ValueId>, Refusal> {
        (0..self.count()).map(|index| self.input(index)).collect()
    }

    /// The weight that operand `index` is.
    pub(super) fn weight(&mut self, index: usize) -> Result<Tensor, Refusal> {
        let value = self.input(index)?;
        let constant = self.context.graph.constant(Some(value)).cloned();
        constant.ok_or_else(|| Refusal(format!("operand {index} is not a weight")))
    }

    /// What is known of a value's shape.
    pub(super) fn shape(&mut self, value: ValueId) -> Option<Vec<Dim>> {
        self.context.infer();
        self.context.graph.value(value).shape.clone()
    }

    /// The shape of a value that must have a known number of dimensions.
    pub(super) fn ranked(&mut self, value: ValueId) -> Result<Vec<Dim>, Refusal> {
        self.shape(value).ok_or_else(|| {
            Refusal::new(
                "the number of dimensions of its operand is not known. Hint: put a model-shapes.json with \
                 the input's shape beside the graph, such as [{\"name\": \"data\", \"shape\": [1, 3, 224, 224]}]",
            )
        })
    }

    /// Number of dimensions.
    pub(super) fn rank(&mut self, value: ValueId) -> Result<usize, Refusal> {
        Ok(self.ranked(value)?.len())
    }

    /// The sizes of a value, if they are all known.
    pub(super) fn sizes(&mut self, value: ValueId) -> Option<Vec<usize>> {
        self.shape(value)?.iter().map(Dim::fixed).collect()
    }

    pub(super) fn dtype(&mut self, value: ValueId) -> DType {
        self.context.infer();
        self.context.graph.value(value).dtype.unwrap_or(DType::F32)
    }

    /// States what inference cannot know of a value.
    pub(super) fn state_shape(&mut self, value: ValueId, shape: Vec<Dim>) {
        self.context.graph.value_mut(value).shape = Some(shape);
    }

    /// A possibly negative axis as an index.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Refusal> {
        let index = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        let index = index.and_then(|index| usize::try_from(index).ok());
        let refusal = || Refusal(format!("axis {axis} is none of {rank}"));
        index.filter(|&index| index < rank).ok_or_else(refusal)
    }

    /// A name for an intermediate result.
    pub(super) fn name(&self, suffix: &str) -> String {
        format!("{}/{suffix}", self.node.name)
    }

    /// Starts a node.
    pub(super) fn node(&mut self, op: &str) -> NodeBuilder<'_> {
        self.context.graph.node(op)
    }

    /// A value that a node with several results will make.
    pub(super) fn fresh(&mut self, suffix: &str) -> ValueId {
        let name = self.name(suffix);
        self.context.graph.add_value(Value { name, ..Value::default() })
    }

    /// A node without attributes.
    pub(super) fn apply(&mut self, op: &str, operands: &[ValueId]) -> ValueId {
        let name = self.name(&op.to_lowercase());
        let mut node = self.node(op);
        for &operand in operands {
            node = node.input(operand);
        }
        node.output(&name)
    }

    pub(super) fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = self.name("constant");
        self.context.graph.add_constant(name, tensor)
    }

    /// A one-dimensional `i64` constant.
    pub(super) fn ints(&mut self, ints: &[i64]) -> ValueId {
        self.constant(Tensor::vector(ints.to_vec()))
    }

    /// A scalar of the element type of `like`.
    pub(super) fn scalar_like(&mut self, like: ValueId, value: f32) -> ValueId {
        let scalar = match self.dtype(like) {
            DType::F64 => Tensor::scalar(f64::from(value)),
            DType::F16 => Tensor::scalar(half::f16::from_f32(value)),
            DType::I64 => Tensor::scalar(value as i64),
            DType::I32 => Tensor::scalar(value as i32),
            _ => Tensor::scalar(value),
        };
        self.constant(scalar)
    }

    /// `value` converted to another element type.
    pub(super) fn cast(&mut self, value: ValueId, to: DType) -> ValueId {
        let name = self.name("cast");
        let number = onnx::dtype_number(to);
        self.node("Cast").input(value).attribute("to", number).output(&name)
    }

    /// `value` with its dimensions in another order.
    pub(super) fn transpose(&mut self, value: ValueId, permutation: &[i64]) -> ValueId {
        let name = self.name("transpose");
        self.node("Transpose").input(value).attribute("perm", permutation).output(&name)
    }

    /// `value` under another shape, with ONNX's codes 0 (as before) and -1 (the rest).
    pub(super) fn reshape(&mut self, value: ValueId, shape: &[i64]) -> ValueId {
        let name = self.name("reshape");
        self.node("Reshape").input(value).ints(shape).output(&name)
    }

    /// `value` without the elements before `start` and from `end` on.
    pub(super) fn slice(&mut self, value: ValueId, axis: i64, start: i64, end: i64) -> ValueId {
        let name = self.name("slice");
        let node = self.node("Slice").input(value);
        node.ints(&[start]).ints(&[end]).ints(&[axis]).output(&name)
    }

    /// `value` of a function of one operand and one attribute.
    pub(super) fn with(
        &mut self,
        op: &str,
        value: ValueId,
        attribute: &str,
        setting: impl Into<sedge_graph::Attribute>,
    ) -> ValueId {
        let name = self.name(&op.to_lowercase());
        self.node(op).input(value).attribute(attribute, setting).output(&name)
    }

    /// Gives the operator its result.
    pub(super) fn finish(&mut self, value: ValueId) -> Result<(), Refusal> {
        self.finish_all(vec![value])
    }

    /// Gives the operator its results.
    pub(super) fn finish_all(&mut self, values: Vec<ValueId>) -> Result<(), Refusal> {
        let numbered = values.len() > 1 || operators::has_hidden_results(&self.node.op);
        for (output, value) in values.into_iter().enumerate() {
            let number = if numbered { output.to_string() } else { String::new() };
            let (entry, name) =
                (Entry { node: self.index, output }, format!("{}_output{number}", self.node.name));
            if self.context.bound.insert(value) {
                // A second node of the same name keeps the name it was made with.
                self.context.graph.rename(value, &name);
            }
            self.context.values.insert(entry, value);
            self.context.names.insert(entry, name);
        }
        Ok(())
    }
}
