use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use sedge_graph::{Dim, Graph, NodeBuilder, Value, ValueId, shapes};
use sedge_tensor::{DType, Tensor};

use super::branches::Branches;
use super::dims::Contents;
use super::lists;
use super::loops::Loops;
use super::program::{Output, Program};
use super::proto::{Content, List};
use super::variables::Variables;
use super::{Error, Refusal, tensor};

pub(super) const TO_CHANNELS_FIRST: [i64; 4] = [0, 3, 1, 2];
pub(super) const TO_CHANNELS_LAST: [i64; 4] = [0, 2, 3, 1];

/// Longest name that a result inside a function gets: the function may be called often.
const MAX_INNER_NAME: usize = 256;

/// The graph while it grows, and which of its values stand for which result of the file.
pub(super) struct Context<'p> {
    pub(super) graph: Graph,
    pub(super) program: &'p Program<'p>,
    pub(super) variables: &'p Variables<'p>,
    values: HashMap<Output, ValueId>,
    /// Nodes that are inputs of the graph.
    inputs: HashSet<usize>,
    /// Values with channels second, by the value that has them last.
    views: HashMap<ValueId, ValueId>,
    /// Rearranged weights, by value and permutation.
    pub(super) weights: HashMap<(ValueId, Vec<usize>), ValueId>,
    /// What is known of the elements of shapes that are computed.
    pub(super) contents: HashMap<ValueId, Contents>,
    /// Values about which something was noted since the last operator.
    pub(super) noted: Vec<ValueId>,
    /// Bytes that may still be copied to rearrange weights, which operators may share.
    pub(super) copy_budget: usize,
    /// Bytes that constants may still grow to beyond what the file gives.
    pub(super) fill_budget: usize,
    pub(super) loops: Rc<Loops>,
    /// Rounds of loops that were written out.
    pub(super) rounds: usize,
    /// The lists of tensors, by the values that stand for them.
    pub(super) lists: HashMap<ValueId, lists::List>,
    /// Places that lists may still have.
    pub(super) list_room: usize,
    pub(super) branches: Branches,
    /// Results behind branches that are not taken: of a node all, or one.
    gone: HashSet<(usize, Option<usize>)>,
}

impl<'p> Context<'p> {
    pub(super) fn new(
        program: &'p Program<'p>,
        variables: &'p Variables<'p>,
        loops: Loops,
        copy_budget: usize,
    ) -> Self {
        Self {
            graph: Graph::new(""),
            program,
            variables,
            values: HashMap::new(),
            inputs: HashSet::new(),
            views: HashMap::new(),
            weights: HashMap::new(),
            contents: HashMap::new(),
            noted: Vec::new(),
            copy_budget,
            fill_budget: tensor::MAX_FILLED_BYTES,
            loops: Rc::new(loops),
            rounds: 0,
            lists: HashMap::new(),
            list_room: lists::MAX_PLACES,
            branches: Branches::default(),
            gone: HashSet::new(),
        }
    }

    /// Makes a placeholder an input of the graph. `old` files write an unknown shape as that of a
    /// scalar; an open first size is `batch`, when that is given.
    pub(super) fn input(&mut self, node: usize, name: &str, old: bool, batch: Option<usize>) {
        let dtype = match self.program.attribute(node, "dtype") {
            Some(&Content::Type(number)) => tensor::dtype_of(number),
            _ => None,
        };
        let shape = match self.program.attribute(node, "shape") {
            Some(Content::Shape(shape)) => tensor::dims(shape),
            _ => None,
        };
        let symbol = |(axis, dim): (usize, Dim)| match (axis, dim) {
            (0, Dim::Unknown) => batch.map_or_else(|| Dim::Symbol("batch".to_owned()), Dim::Fixed),
            (axis, Dim::Unknown) => Dim::Symbol(format!("{name}.{axis}")),
            (_, dim) => dim,
        };
        let shape = shape.filter(|shape| !old || !shape.is_empty());
        let shape = shape.map(|shape| shape.into_iter().enumerate().map(symbol).collect());
        let value = Value { name: name.to_owned(), dtype, shape, ..Value::default() };
        let value = self.graph.add_value(value);
        self.graph.inputs.push(value);
        self.inputs.insert(node);
        self.values.insert(Output { node, index: 0 }, value);
    }

    /// True for a node that is an input of the graph.
    pub(super) fn is_input(&self, node: usize) -> bool {
        self.inputs.contains(&node)
    }

    /// The value of a result that was made before.
    pub(super) fn value(&self, output: Output) -> Option<ValueId> {
        let source = self.program.source(output)?;
        self.values.get(&source).copied().filter(|_| !self.is_gone(source))
    }

    fn is_gone(&self, Output { node, index }: Output) -> bool {
        self.gone.contains(&(node, Some(index))) || self.gone.contains(&(node, None))
    }

    /// Says that nothing comes out of this result of a `Switch`: its branch is not taken.
    pub(super) fn lose(&mut self, output: Output) {
        self.gone.insert((output.node, Some(output.index)));
    }

    /// True for a node that lies behind a branch that turned out not to be taken. In a loop that may
    /// be otherwise in the next round.
    pub(super) fn passes_over(&mut self, node: usize) -> bool {
        if self.gone.is_empty() {
            return false;
        }
        for results in [None, Some(0), Some(1)] {
            self.gone.remove(&(node, results));
        }
        let operands = self.loops.operands(self.program, node);
        let mut gone = operands.iter().map(|&operand| self.is_gone(operand));
        let is_gone = match self.program.nodes[node].op {
            "Merge" => gone.len() > 0 && gone.all(|gone| gone),
            _ => gone.any(|gone| gone),
        };
        if is_gone {
            self.gone.insert((node, None));
        }
        is_gone
    }

    /// A condition, where it is known.
    pub(super) fn truth(&self, value: ValueId) -> Option<bool> {
        match self.graph.constant(Some(value))?.to_i64()?.as_slice() {
            &[one] => Some(one != 0),
            _ => None,
        }
    }

    /// Lets `value` stand for a result.
    pub(super) fn bind(&mut self, output: Output, value: ValueId) {
        self.values.insert(output, value);
    }

    /// Runs `build` and learns the shapes of what it made; arithmetic on shapes becomes constants.
    pub(super) fn grow<T>(&mut self, build: impl FnOnce(&mut Self) -> T) -> T {
        let start = self.graph.nodes.len();
        let result = build(self);
        shapes::fold_from(&mut self.graph, start);
        self.fold_noted(start);
        result
    }

    /// Declares an output under a name that nothing else may have.
    pub(super) fn output(&mut self, value: ValueId, name: &str) {
        let taken = self.graph.outputs.contains(&value) || self.graph.inputs.contains(&value);
        let value = if taken || self.graph.value(value).constant.is_some() {
            self.graph.node("Identity").input(value).output(name)
        } else {
            value
        };
        if !self.graph.rename(value, name)
            && let Some(holder) = self.graph.find(name)
            && !self.graph.inputs.contains(&holder)
        {
            let spare = Value { name: format!("{name}/other"), ..Value::default() };
            let spare = self.graph.add_value(spare);
            let free = format!("{}/", self.graph.value(spare).name);
            self.graph.rename(holder, &free);
            self.graph.rename(value, name);
        }
        self.graph.outputs.push(value);
    }

    /// Checks that the graph hangs together.
    pub(super) fn finish(mut self) -> Result<Graph, Error> {
        for index in 0..self.graph.nodes.len() {
            if let Some(result) = self.graph.nodes[index].output(0) {
                self.graph.nodes[index].name = self.graph.value(result).name.clone();
            }
        }
        self.graph.sort()?;
        Ok(self.graph)
    }
}

/// One operator being translated: access to its operands by position, and the graph.
pub(super) struct Op<'c, 'p> {
    pub(super) context: &'c mut Context<'p>,
    pub(super) node: usize,
}

impl<'p> Op<'_, 'p> {
    /// The operator's type.
    pub(super) fn kind(&self) -> &'p str {
        self.context.program.nodes[self.node].op
    }

    /// How many operands there are.
    pub(super) fn count(&self) -> usize {
        self.context.program.nodes[self.node].inputs.len()
    }

    /// Operand `index`.
    pub(super) fn operand(&self, index: usize) -> Result<ValueId, Refusal> {
        let source = self.context.program.operand(self.node, index);
        let source = source.ok_or_else(|| Refusal(format!("operand {index} is missing")))?;
        self.context.value(source).ok_or_else(|| {
            let name = self.context.program.nodes[source.node].name;
            Refusal(format!("operand {index} is result {} of '{name}'", source.index))
        })
    }

    /// Operands `from` and on.
    pub(super) fn operands(&self, from: usize) -> Result<Vec<ValueId>, Refusal> {
        (from..self.count()).map(|index| self.operand(index)).collect()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'p Content> {
        self.context.program.attribute(self.node, name)
    }

    /// A true or false attribute; false when it is not there.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.attribute(name), Some(Content::Bool(true)))
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        match self.attribute(name) {
            Some(&Content::Int(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        match self.attribute(name) {
            Some(&Content::Float(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> &'p [u8] {
        match self.attribute(name) {
            Some(Content::Text(text)) => text,
            _ => &[],
        }
    }

    fn list(&self, name: &str) -> Option<&'p List> {
        match self.attribute(name) {
            Some(Content::List(list)) => Some(list),
            _ => None,
        }
    }

    /// A list of integers; empty when it is not there.
    pub(super) fn int_list(&self, name: &str) -> &'p [i64] {
        self.list(name).map_or(&[], |list| &list.ints)
    }

    /// An element type.
    pub(super) fn dtype_attribute(&self, name: &str) -> Result<DType, Refusal> {
        let number = match self.attribute(name) {
            Some(&Content::Type(number)) => number,
            _ => return Err(Refusal(format!("it does not say its element type ({name})"))),
        };
        tensor::dtype_of(number)
            .ok_or_else(|| Refusal(format!("element type {number} is not supported")))
    }

    /// The element type of a value, where it is known.
    pub(super) fn dtype(&self, value: ValueId) -> Option<DType> {
        self.context.graph.value(value).dtype
    }

    /// The dimensions of a value, where their number is known.
    pub(super) fn dims(&self, value: ValueId) -> Option<&[Dim]> {
        self.context.graph.value(value).shape.as_deref()
    }

    /// The size of one dimension, from the end when `axis` is negative.
    pub(super) fn dim(&self, value: ValueId, axis: i64) -> Option<usize> {
        let dims = self.dims(value)?;
        let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
        dims.get(usize::try_from(axis).ok()?)?.fixed()
    }

    pub(super) fn rank(&self, value: ValueId) -> Result<usize, Refusal> {
        let rank = self.dims(value).map(<[Dim]>::len);
        rank.ok_or_else(|| Refusal::new("the number of dimensions of its operand is not known"))
    }

    /// The constant behind a value.
    pub(super) fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.context.graph.constant(Some(value))
    }

    /// The integers of operand `index`, when they are known while importing.
    pub(super) fn known_ints(&self, index: usize) -> Option<Vec<i64>> {
        self.constant(self.operand(index).ok()?)?.to_i64()
    }

    /// The integers of an operand that must be constant.
    pub(super) fn ints(&self, index: usize, what: &str) -> Result<Vec<i64>, Refusal> {
        self.known_ints(index)
            .ok_or_else(|| Refusal(format!("{what} (operand {index}) is not a constant")))
    }

    /// The one integer of an operand that must be constant.
    pub(super) fn single(&self, index: usize, what: &str) -> Result<i64, Refusal> {
        match self.ints(index, what)?.as_slice() {
            [one] => Ok(*one),
            list => Err(Refusal(format!("{what} is one number, the file gives {}", list.len()))),
        }
    }

    /// The one real number of an operand that must be constant.
    pub(super) fn number(&self, index: usize, what: &str) -> Result<f32, Refusal> {
        let constant = self.constant(self.operand(index)?);
        match constant.and_then(Tensor::to_f32).as_deref() {
            Some(&[one]) => Ok(one),
            _ => Err(Refusal(format!("{what} (operand {index}) is not a constant number"))),
        }
    }

    /// True when the operator's pictures have their channels second already.
    pub(super) fn is_channels_first(&self) -> Result<bool, Refusal> {
        match self.text("data_format") {
            b"NCHW" => Ok(true),
            b"NHWC" | b"" => Ok(false),
            other => Err(Refusal(format!(
                "its layout is {}, only NHWC and NCHW are supported",
                String::from_utf8_lossy(other)
            ))),
        }
    }

    /// Operand `index` with channels second.
    pub(super) fn picture(&mut self, index: usize) -> Result<ValueId, Refusal> {
        let value = self.operand(index)?;
        let known = &mut self.context.graph.value_mut(value).shape;
        let rank = known.get_or_insert_with(|| vec![Dim::Unknown; 4]).len();
        if rank != 4 {
            return Err(Refusal(format!("operand {index} has {rank} dimensions, not 4")));
        }
        if self.is_channels_first()? {
            return Ok(value);
        }
        if let Some(&view) = self.context.views.get(&value) {
            return Ok(view);
        }
        let view = self.transpose(value, &TO_CHANNELS_FIRST);
        let start = self.context.graph.nodes.len() - 1;
        shapes::fold_from(&mut self.context.graph, start);
        self.context.views.insert(value, view);
        Ok(view)
    }

    /// Gives result 0 the value of an operator on pictures.
    pub(super) fn finish_picture(&mut self, value: ValueId) -> Result<(), Refusal> {
        let value = match self.is_channels_first()? {
            true => value,
            false => self.transpose(value, &TO_CHANNELS_LAST),
        };
        self.finish(value)
    }

    /// Gives result 0 its value.
    pub(super) fn finish(&mut self, value: ValueId) -> Result<(), Refusal> {
        self.finish_at(0, value);
        Ok(())
    }

    /// Gives result `index` its value.
    pub(super) fn finish_at(&mut self, index: usize, value: ValueId) {
        self.context.bind(Output { node: self.node, index }, value);
    }

    /// A name for an intermediate result.
    pub(super) fn name(&self, suffix: &str) -> String {
        let name = self.context.program.nodes[self.node].name;
        let end = name.char_indices().nth(MAX_INNER_NAME).map_or(name.len(), |(at, _)| at);
        format!("{}/{suffix}", &name[..end])
    }

    /// Starts a node.
    pub(super) fn start(&mut self, op: &str) -> NodeBuilder<'_> {
        self.context.graph.node(op)
    }

    /// A node without attributes.
    pub(super) fn apply(&mut self, op: &str, operands: &[ValueId]) -> ValueId {
        let name = self.name(&op.to_lowercase());
        let mut node = self.start(op);
        for &operand in operands {
            node = node.input(operand);
        }
        node.output(&name)
    }

    /// A node of one operand and a list of integers.
    pub(super) fn apply_ints(&mut self, op: &str, value: ValueId, ints: &[i64]) -> ValueId {
        let name = self.name(&op.to_lowercase());
        self.start(op).input(value).ints(ints).output(&name)
    }

    /// New results for a node of several.
    pub(super) fn fresh(&mut self, count: usize) -> Vec<ValueId> {
        let name = self.name("part");
        let value = || Value { name: name.clone(), ..Value::default() };
        (0..count).map(|_| self.context.graph.add_value(value())).collect()
    }

    /// A constant made here.
    pub(super) fn add_constant(&mut self, tensor: Tensor) -> ValueId {
        let name = self.name("constant");
        self.context.graph.add_constant(name, tensor)
    }

    /// A one-dimensional `i64` constant.
    pub(super) fn add_ints(&mut self, ints: &[i64]) -> ValueId {
        self.add_constant(Tensor::vector(ints.to_vec()))
    }

    /// Operand `index` as one-dimensional `i64`, constant or computed: shapes, axes, pads.
    pub(super) fn shape_operand(&mut self, index: usize) -> Result<ValueId, Refusal> {
        if let Some(ints) = self.known_ints(index) {
            return Ok(self.add_ints(&ints));
        }
        let value = self.operand(index)?;
        let flat = match self.dims(value) {
            Some([_]) => value,
            _ => self.apply_ints("Reshape", value, &[-1]),
        };
        Ok(self.cast(flat, DType::I64))
    }

    /// `value` converted to another element type.
    pub(super) fn cast(&mut self, value: ValueId, to: DType) -> ValueId {
        if self.dtype(value) == Some(to) {
            return value;
        }
        let name = self.name("cast");
        let number = sedge_graph::onnx::dtype_number(to);
        self.start("Cast").input(value).attribute("to", number).output(&name)
    }

    /// `value` with its dimensions in another order.
    pub(super) fn transpose(&mut self, value: ValueId, order: &[i64]) -> ValueId {
        let name = self.name("transpose");
        self.start("Transpose").input(value).attribute("perm", order).output(&name)
    }
}
