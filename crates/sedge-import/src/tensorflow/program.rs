//! The operators of a graph with functions put in place of their calls.

use std::collections::{BTreeMap, HashMap, HashSet};

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
    /// Nodes for whose end others wait without reading a result.
    pub(super) awaited: HashSet<usize>,
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
            awaited: HashSet::new(),
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
            let waits = definition.input.iter().filter_map(|input| input.strip_prefix('^'));
            self.awaited.extend(waits.filter_map(|name| names.get(name)));
            let data = definition.input.iter().filter(|input| !input.starts_with('^'));
            let inputs: Result<Vec<_>, _> =
                data.map(|input| self.reference(&definition.name, input, &names)).collect();
            self.nodes[first + index].inputs = inputs?;
        }
        for index in first..first + definitions.len() {
            if matches!(self.nodes[index].op, "While" | "StatelessWhile") {
                self.nodes[index].results = Some(self.circle(index, depth + 1)?);
            } else if self.is_open_branch(index) {
                self.nodes[index].results = Some(self.fork(index, depth + 1)?);
            } else if let Some((function, skipped)) = self.callee(index)? {
                let arguments = self.nodes[index].inputs.get(skipped..).unwrap_or(&[]).to_vec();
                self.nodes[index].results =
                    Some(self.call(index, &arguments, function, depth + 1)?);
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
        let op = self.nodes[node].op;
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
        Ok(Some((self.function(node, attribute)?, skipped)))
    }

    /// The function that an attribute names.
    fn function(&self, node: usize, attribute: &str) -> Result<&'p Function, Error> {
        let missing =
            |name: &str| Error::Function { call: self.nodes[node].name.into(), name: name.into() };
        let Some(Content::Function(called)) = self.attribute(node, attribute) else {
            return Err(missing(""));
        };
        self.library.get(called.name.as_str()).copied().ok_or_else(|| missing(&called.name))
    }

    /// Writes a `While` as the circle of operators that a loop of TensorFlow 1 is: `Enter`, `Merge`,
    /// `Switch`, `NextIteration` and `Exit` for every variable around one `LoopCond`. Gives what its
    /// results are.
    fn circle(&mut self, call: usize, depth: usize) -> Result<Vec<Output>, Error> {
        let (test, body) = (self.function(call, "cond")?, self.function(call, "body")?);
        let first = |node: usize| Output { node, index: 0 };
        let variables = self.nodes[call].inputs.clone();
        self.charge(8 * variables.len())?;
        let enters: Vec<usize> =
            variables.iter().map(|&value| self.add(call, "Enter", vec![value])).collect();
        let merges: Vec<usize> =
            enters.iter().map(|&enter| self.add(call, "Merge", vec![first(enter)])).collect();
        let arguments: Vec<Output> = merges.iter().map(|&merge| first(merge)).collect();
        let truth = self.call(call, &arguments, test, depth)?;
        let dangling = |what: &str| Error::Dangling {
            node: self.nodes[call].name.to_owned(),
            input: what.to_owned(),
        };
        let truth = *truth.first().ok_or_else(|| dangling("cond"))?;
        if body.signature.as_ref().map_or(0, |signature| signature.result.len()) != merges.len() {
            return Err(dangling("body"));
        }
        let condition = first(self.add(call, "LoopCond", vec![truth]));
        let switch = |program: &mut Self, &merge: &usize| {
            program.add(call, "Switch", vec![first(merge), condition])
        };
        let switches: Vec<usize> = merges.iter().map(|merge| switch(self, merge)).collect();
        let arguments: Vec<Output> =
            switches.iter().map(|&node| Output { node, index: 1 }).collect();
        let results = self.call(call, &arguments, body, depth)?;
        for (&merge, result) in merges.iter().zip(results) {
            let next = self.add(call, "NextIteration", vec![result]);
            self.nodes[merge].inputs.push(first(next));
        }
        let exit = |&switch: &usize| first(self.add(call, "Exit", vec![first(switch)]));
        Ok(switches.iter().map(exit).collect())
    }

    /// True for an `If` whose condition is computed.
    fn is_open_branch(&self, node: usize) -> bool {
        matches!(self.nodes[node].op, "If" | "StatelessIf")
            && self.operand(node, 0).is_some_and(|flag| truth(self, flag).is_none())
    }

    /// Writes an `If` as the operators that a condition of TensorFlow 1 is: a `Switch` before every
    /// operand of its branches and a `Merge` behind every result. Gives what its results are.
    fn fork(&mut self, call: usize, depth: usize) -> Result<Vec<Output>, Error> {
        let branches = [self.function(call, "else_branch")?, self.function(call, "then_branch")?];
        let operands = self.nodes[call].inputs.clone();
        self.charge(4 * operands.len())?;
        let Some((&condition, operands)) = operands.split_first() else { return Ok(Vec::new()) };
        let switch =
            |program: &mut Self, value: Output| program.add(call, "Switch", vec![value, condition]);
        let switches: Vec<usize> = operands.iter().map(|&value| switch(self, value)).collect();
        let mut results = Vec::new();
        for (index, function) in branches.into_iter().enumerate() {
            let arguments: Vec<Output> =
                switches.iter().map(|&node| Output { node, index }).collect();
            results.push(self.call(call, &arguments, function, depth)?);
        }
        let [otherwise, then] = results.as_slice() else { return Ok(Vec::new()) };
        let pairs: Vec<Vec<Output>> =
            otherwise.iter().zip(then).map(|(&a, &b)| vec![a, b]).collect();
        self.charge(3 * pairs.len())?;
        let merge = |pair: Vec<Output>| Output { node: self.add(call, "Merge", pair), index: 0 };
        Ok(pairs.into_iter().map(merge).collect())
    }

    /// Adds an operator that stands for a part of a call.
    fn add(&mut self, call: usize, op: &'static str, inputs: Vec<Output>) -> usize {
        let name = self.nodes[call].name;
        self.nodes.push(Node {
            name,
            op,
            inputs,
            attributes: None,
            caller: Some(call),
            results: None,
        });
        self.nodes.len() - 1
    }

    /// Puts a function's body in place of a call; gives what the call's results are in it.
    fn call(
        &mut self,
        call: usize,
        arguments: &[Output],
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
            let input = arguments.get(index).copied();
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
            "TensorArrayV3" => &["handle", "flow"],
            "TensorListPopBack" => &["output_handle", "tensor"],
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

    /// The name of the loop that an `Enter` of TensorFlow 1 leads into.
    pub(super) fn frame(&self, node: usize) -> Option<&[u8]> {
        match self.attribute(node, "frame_name")? {
            Content::Text(name) => Some(name),
            _ => None,
        }
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
