//! The operators of a graph with functions put in place of their calls.

use std::collections::{BTreeMap, HashMap};

use super::Error;
use super::control::truth;
use super::proto::{Content, Function, GraphDef, NodeDef};

/// How deep functions may call each other; what Keras writes needs four.
const MAX_DEPTH: usize = 32;
/// Operators and operands there may be when every call is replaced. Functions that call each other
/// twice double with every level.
const MAX_OPERANDS: usize = 1 << 20;

/// One result of a node: the node's index and which of its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Output {
    pub(super) node: usize,
    pub(super) index: usize,
}

/// One operator.
#[derive(Debug)]
pub(super) struct Node<'p> {
    pub(super) name: &'p str,
    pub(super) op: &'p str,
    /// Operands in order; edges that only order execution are left out.
    pub(super) inputs: Vec<Output>,
    attributes: Option<&'p BTreeMap<String, super::proto::Attribute>>,
    /// The call whose function this node is in.
    caller: Option<usize>,
    /// Of a call: what its results are in the function's body.
    results: Option<Vec<Output>>,
}

/// All operators of a graph.
#[derive(Debug)]
pub(super) struct Program<'p> {
    pub(super) nodes: Vec<Node<'p>>,
    /// Nodes outside of functions by name.
    names: HashMap<&'p str, usize>,
    /// How many nodes are outside of functions; they come first.
    pub(super) outer: usize,
    library: HashMap<&'p str, &'p Function>,
    room: usize,
}

impl<'p> Program<'p> {
    /// Reads a graph.
    pub(super) fn read(graph: &'p GraphDef) -> Result<Self, Error> {
        let functions = graph.library.iter().flat_map(|library| &library.function);
        let named = functions.filter_map(|f| Some((f.signature.as_ref()?.name.as_str(), f)));
        let mut program = Self {
            nodes: Vec::new(),
            names: HashMap::new(),
            outer: graph.node.len(),
            library: named.collect(),
            room: MAX_OPERANDS,
        };
        program.names = program.body(&graph.node, HashMap::new(), None, 0)?;
        Ok(program)
    }

    /// Adds the nodes of a graph or function; `names` has a function's arguments.
    fn body(
        &mut self,
        definitions: &'p [NodeDef],
        mut names: HashMap<&'p str, usize>,
        caller: Option<usize>,
        depth: usize,
    ) -> Result<HashMap<&'p str, usize>, Error> {
        let first = self.nodes.len();
        for definition in definitions {
            self.charge(1 + definition.input.len())?;
            if names.insert(&definition.name, self.nodes.len()).is_some() {
                return Err(Error::Duplicate(definition.name.clone()));
            }
            self.nodes.push(Node {
                name: &definition.name,
                op: &definition.op,
                inputs: Vec::new(),
                attributes: Some(&definition.attr),
                caller,
                results: None,
            });
        }
        for (index, definition) in definitions.iter().enumerate() {
            let data = definition.input.iter().filter(|input| !input.starts_with('^'));
            let inputs: Result<Vec<_>, _> =
                data.map(|input| self.reference(&definition.name, input, &names)).collect();
            self.nodes[first + index].inputs = inputs?;
        }
        for index in first..first + definitions.len() {
            if let Some((function, skipped)) = self.callee(index)? {
                let results = self.call(index, skipped, function, depth + 1)?;
                self.nodes[index].results = Some(results);
            }
        }
        Ok(names)
    }

    fn charge(&mut self, operands: usize) -> Result<(), Error> {
        self.room = self.room.checked_sub(operands).ok_or(Error::Endless(MAX_OPERANDS))?;
        Ok(())
    }

    /// The function a node calls, if it is a call, and how many operands come before its arguments.
    fn callee(&self, node: usize) -> Result<Option<(&'p Function, usize)>, Error> {
        let Node { op, name, .. } = self.nodes[node];
        if let Some(&function) = self.library.get(op) {
            return Ok(Some((function, 0)));
        }
        let (attribute, skipped) = match op {
            "PartitionedCall" | "StatefulPartitionedCall" => ("f", 0),
            // A branch whose condition is known is called like any function.
            "If" | "StatelessIf" => match self.operand(node, 0).and_then(|c| truth(self, c)) {
                Some(true) => ("then_branch", 1),
                Some(false) => ("else_branch", 1),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let Some(Content::Function(called)) = self.attribute(node, attribute) else {
            return Err(Error::Function { call: name.to_owned(), name: String::new() });
        };
        let known = self.library.get(called.name.as_str()).copied();
        let missing = || Error::Function { call: name.to_owned(), name: called.name.clone() };
        known.ok_or_else(missing).map(|function| Some((function, skipped)))
    }

    /// Puts a function's body in place of a call; gives what the call's results are in it.
    fn call(
        &mut self,
        call: usize,
        skipped: usize,
        function: &'p Function,
        depth: usize,
    ) -> Result<Vec<Output>, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::Endless(MAX_OPERANDS));
        }
        let Some(signature) = &function.signature else { return Ok(Vec::new()) };
        let mut names = HashMap::new();
        for (index, argument) in signature.argument.iter().enumerate() {
            self.charge(2)?;
            let input = self.nodes[call].inputs.get(skipped + index).copied();
            let damaged =
                || Error::Dangling { node: signature.name.clone(), input: argument.name.clone() };
            names.insert(argument.name.as_str(), self.nodes.len());
            self.nodes.push(Node {
                name: &argument.name,
                op: "Identity",
                inputs: vec![input.ok_or_else(damaged)?],
                attributes: None,
                caller: Some(call),
                results: None,
            });
        }
        let names = self.body(&function.node, names, Some(call), depth)?;
        let result = |result: &'p super::proto::Argument| {
            let from = function.result.get(&result.name).map_or("", String::as_str);
            self.reference(&signature.name, from, &names)
        };
        signature.result.iter().map(result).collect()
    }

    /// What `node`, `node:index` (graphs) or `node:result:index` (functions) refers to.
    fn reference(
        &self,
        reader: &str,
        text: &str,
        names: &HashMap<&'p str, usize>,
    ) -> Result<Output, Error> {
        let dangling = || Error::Dangling { node: reader.to_owned(), input: text.to_owned() };
        let mut parts = text.split(':');
        let node = *parts.next().and_then(|name| names.get(name)).ok_or_else(dangling)?;
        let index = match (parts.next(), parts.next()) {
            (None, _) => Some(0),
            (Some(index), None) => index.parse().ok(),
            (Some(result), Some(index)) => {
                let index: Option<usize> = index.parse().ok();
                index.and_then(|index| index.checked_add(self.start_of(node, result)))
            }
        };
        // More than any operator has; it is an index into results later.
        let index = index.filter(|&index| index < MAX_OPERANDS).ok_or_else(dangling)?;
        Ok(Output { node, index })
    }

    /// The index of the first result that has this name in the operator's definition.
    fn start_of(&self, node: usize, result: &str) -> usize {
        let op = self.nodes[node].op;
        if let Some(signature) = self.library.get(op).and_then(|f| f.signature.as_ref()) {
            return signature.result.iter().position(|r| r.name == result).unwrap_or(0);
        }
        let names: &[&str] = match op {
            "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => {
                &["y", "batch_mean", "batch_variance"]
            }
            "TopKV2" => &["values", "indices"],
            "NonMaxSuppressionV4" => &["selected_indices", "valid_outputs"],
            "NonMaxSuppressionV5" => &["selected_indices", "selected_scores", "valid_outputs"],
            "CombinedNonMaxSuppression" => {
                &["nmsed_boxes", "nmsed_scores", "nmsed_classes", "valid_detections"]
            }
            "Switch" => &["output_false", "output_true"],
            "Merge" => &["output", "value_index"],
            "Unique" => &["y", "idx"],
            _ => &[],
        };
        names.iter().position(|name| *name == result).unwrap_or(0)
    }

    /// A node outside of functions, and which of its results: `name` or `name:index`.
    pub(super) fn find(&self, tensor: &str) -> Option<Output> {
        self.reference("", tensor, &self.names).ok()
    }

    /// Where a result really comes from: through the calls of functions.
    pub(super) fn source(&self, mut output: Output) -> Option<Output> {
        // Each step leads into a function that was called deeper.
        while let Some(results) = &self.nodes[output.node].results {
            output = *results.get(output.index)?;
        }
        Some(output)
    }

    /// Where an operand comes from.
    pub(super) fn operand(&self, node: usize, index: usize) -> Option<Output> {
        self.source(*self.nodes[node].inputs.get(index)?)
    }

    /// How many results a call has; `None` for an operator.
    pub(super) fn results(&self, node: usize) -> Option<usize> {
        self.nodes[node].results.as_ref().map(Vec::len)
    }

    /// An attribute; inside functions it may stand with the call.
    pub(super) fn attribute(&self, node: usize, name: &str) -> Option<&'p Content> {
        let (mut node, mut name) = (node, name);
        for _ in 0..=MAX_DEPTH {
            match self.nodes[node].attributes?.get(name)?.content.as_ref()? {
                Content::Placeholder(other) => {
                    node = self.nodes[node].caller?;
                    name = other;
                }
                content => return Some(content),
            }
        }
        None
    }
}
