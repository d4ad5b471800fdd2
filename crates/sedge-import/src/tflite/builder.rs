use std::collections::{HashMap, HashSet};

use sedge_graph::{Dim, Graph, NodeBuilder, Value, ValueId};
use sedge_tensor::{DType, Tensor};

use super::model::{Model, Operator, TensorInfo};
use super::reader::MAX_RANK;
use super::{Error, Refusal};

/// How an operator's operands are laid out: as the file has them, or channels first, as ONNX's
/// image operators want them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Layout {
    AsStored,
    ChannelsFirst,
}

/// What an operator's operands mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Domain {
    /// The elements as the file has them: integers where the tensor is quantised.
    Stored,
    /// Real numbers: quantised tensors are dequantised.
    Real,
    /// The integers of a quantised tensor as floats, with step 1 and zero at 0. For operators
    /// whose rounding is defined on the integers.
    Raw,
}

pub(super) const TO_CHANNELS_FIRST: [i64; 4] = [0, 3, 1, 2];
/// Elements of a constant that says how an operator works: axes, sizes, positions.
const LONGEST_LIST: usize = 1 << 12;
const TO_CHANNELS_LAST: [i64; 4] = [0, 2, 3, 1];

/// The graph while it grows, and which of its values stand for which tensor of the file.
#[derive(Debug)]
pub(super) struct Context<'m> {
    pub(super) graph: Graph,
    pub(super) model: &'m Model<'m>,
    views: HashMap<(usize, Layout, Domain), ValueId>,
    /// Values that carry the name of a tensor of the file.
    bound: HashSet<ValueId>,
    /// Constants made at import, by tensor: results of operators on constants.
    folded: HashMap<usize, Tensor>,
    /// Results of DEQUANTIZE of a constant: the constant's tensor.
    pub(super) dequantized: HashMap<usize, usize>,
    /// Rearranged weights, by tensor and permutation.
    pub(super) weights: HashMap<(usize, Vec<usize>), ValueId>,
    /// Scale and zero point constants of a tensor.
    pub(super) parameters: HashMap<usize, (ValueId, Option<ValueId>)>,
    /// Container and name of the variable that each handle stands for.
    pub(super) handles: HashMap<usize, [String; 2]>,
    /// Tensors that variables have as their values.
    pub(super) variables: HashMap<[String; 2], usize>,
    pub(super) copy_budget: usize,
}

impl<'m> Context<'m> {
    pub(super) fn new(model: &'m Model<'m>) -> Self {
        let mut context = Self {
            graph: Graph::new(model.name.clone()),
            model,
            views: HashMap::new(),
            bound: HashSet::new(),
            folded: HashMap::new(),
            dequantized: HashMap::new(),
            weights: HashMap::new(),
            parameters: HashMap::new(),
            handles: HashMap::new(),
            variables: HashMap::new(),
            copy_budget: model.copy_budget,
        };
        for &tensor in &model.inputs {
            context.input(tensor);
        }
        context
    }

    fn input(&mut self, tensor: usize) {
        let info = &self.model.tensors[tensor];
        let mut shape = info.shape.clone();
        if let Some([first @ Dim::Unknown, ..]) = shape.as_deref_mut() {
            *first = Dim::Symbol("batch".to_owned());
        }
        let id = self.graph.add_value(Value {
            name: info.name.clone(),
            dtype: info.dtype,
            shape,
            quantization: info.quantized().cloned(),
            constant: None,
        });
        self.graph.inputs.push(id);
        self.bound.insert(id);
        self.views.insert((tensor, Layout::AsStored, Domain::Stored), id);
    }

    /// Declares the outputs and checks that the graph hangs together.
    pub(super) fn finish(mut self) -> Result<Graph, Error> {
        for &tensor in &self.model.outputs {
            let info = &self.model.tensors[tensor];
            let value = self.stored(tensor).map_err(|refusal| Error::Output {
                name: info.name.clone(),
                reason: refusal.to_string(),
            })?;
            let is_constant = self.graph.value(value).constant.is_some();
            let is_taken =
                self.graph.outputs.contains(&value) || self.graph.inputs.contains(&value);
            let output = if is_constant || is_taken {
                if is_constant {
                    self.graph.rename(value, &format!("{}/constant", info.name));
                }
                let copy = self.graph.node("Identity").input(value).output(&info.name);
                self.describe(tensor, copy);
                copy
            } else {
                value
            };
            self.graph.value_mut(output).quantization = info.quantized().cloned();
            self.graph.outputs.push(output);
        }
        self.name_nodes();
        self.graph.sort()?;
        Ok(self.graph)
    }

    /// Names every node after its first result, which is unique, as node names must be.
    fn name_nodes(&mut self) {
        for index in 0..self.graph.nodes.len() {
            if let Some(result) = self.graph.nodes[index].output(0) {
                self.graph.nodes[index].name = self.graph.value(result).name.clone();
            }
        }
    }

    fn describe(&mut self, tensor: usize, value: ValueId) {
        let info = &self.model.tensors[tensor];
        let value = self.graph.value_mut(value);
        value.dtype = info.dtype;
        value.shape.clone_from(&info.shape);
    }

    /// Lets `value` stand for a tensor, with the tensor's name.
    fn bind(&mut self, tensor: usize, value: ValueId) {
        let name = &self.model.tensors[tensor].name;
        if !name.is_empty() && !self.graph.rename(value, name) {
            // Taken: by an intermediate result, which gives way, or by a tensor of the same name.
            if let Some(holder) = self.graph.find(name).filter(|id| !self.bound.contains(id)) {
                let spare = Value { name: format!("{name}/other"), ..Value::default() };
                let spare = self.graph.add_value(spare);
                let free = format!("{}/", self.graph.value(spare).name);
                self.graph.rename(holder, &free);
                self.graph.rename(value, name);
            }
        }
        self.bound.insert(value);
        self.describe(tensor, value);
        self.views.insert((tensor, Layout::AsStored, Domain::Stored), value);
    }

    /// The constant behind a tensor.
    pub(super) fn constant(&self, tensor: usize) -> Option<&Tensor> {
        self.folded.get(&tensor).or(self.model.tensors[tensor].constant.as_ref())
    }

    /// Makes a tensor a constant known at import.
    pub(super) fn fold(&mut self, tensor: usize, constant: Tensor) {
        self.folded.insert(tensor, constant);
    }

    /// Charges a copy of `bytes` against what this file may make the importer copy.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.copy_budget = self.copy_budget.checked_sub(bytes).ok_or_else(|| {
            Refusal::new("its weights are shared so often that rearranging them would not end")
        })?;
        Ok(())
    }

    /// The value that holds a tensor's elements as the file has them.
    pub(super) fn stored(&mut self, tensor: usize) -> Result<ValueId, Refusal> {
        let key = (tensor, Layout::AsStored, Domain::Stored);
        if let Some(&value) = self.views.get(&key) {
            return Ok(value);
        }
        let info = &self.model.tensors[tensor];
        if let Some(storage) = info.storage {
            return Err(Refusal(format!("'{}' uses {storage}", info.name)));
        }
        let value = match self.constant(tensor).cloned() {
            Some(constant) => {
                let value = self.graph.add_constant(info.name.clone(), constant);
                self.bound.insert(value);
                value
            }
            None => match self.dequantized.get(&tensor).copied() {
                Some(source) => self.view(source, Layout::AsStored, Domain::Real)?,
                None => {
                    return Err(Refusal(format!("nothing produces its operand '{}'", info.name)));
                }
            },
        };
        self.views.insert(key, value);
        Ok(value)
    }

    /// A tensor in some layout and meaning; each is made once.
    pub(super) fn view(
        &mut self,
        tensor: usize,
        layout: Layout,
        domain: Domain,
    ) -> Result<ValueId, Refusal> {
        let info = &self.model.tensors[tensor];
        let domain = match info.quantized() {
            Some(_) => domain,
            None => Domain::Stored,
        };
        if let Some(&value) = self.views.get(&(tensor, layout, domain)) {
            return Ok(value);
        }
        let value = match (layout, domain) {
            (Layout::AsStored, Domain::Stored) => self.stored(tensor)?,
            // Transposed before it is dequantised: the integers are a quarter of the bytes, and
            // dequantise, operator and quantise stay side by side for engines that fuse them.
            (Layout::ChannelsFirst, Domain::Stored) => {
                let value = self.stored(tensor)?;
                self.graph
                    .node("Transpose")
                    .input(value)
                    .attribute("perm", TO_CHANNELS_FIRST.to_vec())
                    .output(&format!("{}/nchw", info.name))
            }
            (_, Domain::Real) => {
                let value = self.view(tensor, layout, Domain::Stored)?;
                self.dequantize(tensor, value)?
            }
            (_, Domain::Raw) => {
                let value = self.view(tensor, layout, Domain::Stored)?;
                self.raw(tensor, value)?
            }
        };
        self.views.insert((tensor, layout, domain), value);
        Ok(value)
    }
}

/// One operator being translated: access to its operands by position, and the graph.
#[derive(Debug)]
pub(super) struct Op<'c, 'm> {
    pub(super) context: &'c mut Context<'m>,
    pub(super) operator: &'m Operator<'m>,
}

impl<'m> Op<'_, 'm> {
    /// The tensor of operand `index`.
    pub(super) fn tensor(&self, index: usize) -> Result<usize, Refusal> {
        let operand = self.operator.inputs.get(index).copied().flatten();
        operand.ok_or_else(|| Refusal(format!("operand {index} is missing")))
    }

    /// True when the optional operand `index` is given.
    pub(super) fn has(&self, index: usize) -> bool {
        self.tensor(index).is_ok()
    }

    /// What the file says about operand `index`.
    pub(super) fn info(&self, index: usize) -> Result<&'m TensorInfo, Refusal> {
        Ok(&self.context.model.tensors[self.tensor(index)?])
    }

    fn result_tensor(&self, index: usize) -> Result<usize, Refusal> {
        let result = self.operator.outputs.get(index).copied().flatten();
        result.ok_or_else(|| Refusal(format!("result {index} is missing")))
    }

    /// What the file says about result `index`.
    pub(super) fn result(&self, index: usize) -> Result<&'m TensorInfo, Refusal> {
        Ok(&self.context.model.tensors[self.result_tensor(index)?])
    }

    /// Number of dimensions of operand `index`.
    pub(super) fn rank(&self, index: usize) -> Result<usize, Refusal> {
        self.info(index)?
            .rank()
            .ok_or_else(|| Refusal(format!("operand {index} has no known rank")))
    }

    /// The constant of operand `index`, if it is one.
    pub(super) fn constant(&self, index: usize) -> Option<&Tensor> {
        self.context.constant(self.tensor(index).ok()?)
    }

    /// The integers of a constant operand, if it is one. Long ones are left alone: a file may have
    /// many operators share one, and each would read it again.
    pub(super) fn known_ints(&self, index: usize) -> Option<Vec<i64>> {
        self.constant(index).filter(|constant| constant.len() <= LONGEST_LIST)?.to_i64()
    }

    /// The integers of an option, which are as many as a tensor has dimensions.
    pub(super) fn option_ints(&self, field: usize) -> Result<Vec<i64>, Refusal> {
        let options = self.operator.options;
        if options.vector(field, 4)?.is_some_and(|bytes| bytes.len() > 4 * MAX_RANK) {
            return Err(Refusal::new("its options list more than a tensor has dimensions"));
        }
        Ok(options.i32s(field)?.into_iter().map(i64::from).collect())
    }

    /// The integers of an operand that must be constant.
    pub(super) fn ints(&self, index: usize, what: &str) -> Result<Vec<i64>, Refusal> {
        self.known_ints(index)
            .ok_or_else(|| Refusal(format!("{what} (operand {index}) is not a constant")))
    }

    /// Operand `index` in some layout and meaning.
    pub(super) fn view(
        &mut self,
        index: usize,
        layout: Layout,
        domain: Domain,
    ) -> Result<ValueId, Refusal> {
        let tensor = self.tensor(index)?;
        if layout == Layout::ChannelsFirst && self.rank(index).is_ok_and(|rank| rank != 4) {
            return Err(Refusal(format!("operand {index} has not four dimensions")));
        }
        self.context.view(tensor, layout, domain)
    }

    /// Operand `index` as the file stores it.
    pub(super) fn stored(&mut self, index: usize) -> Result<ValueId, Refusal> {
        self.view(index, Layout::AsStored, Domain::Stored)
    }

    /// Operand `index` as real numbers.
    pub(super) fn real(&mut self, index: usize) -> Result<ValueId, Refusal> {
        self.view(index, Layout::AsStored, Domain::Real)
    }

    /// Operand `index` as one-dimensional `i64`, constant or computed: shapes, axes, pads.
    pub(super) fn shape_operand(&mut self, index: usize) -> Result<ValueId, Refusal> {
        match self.known_ints(index) {
            Some(ints) => Ok(self.ints_constant(&ints)),
            None => {
                let value = self.stored(index)?;
                Ok(self.cast(value, DType::I64))
            }
        }
    }

    /// A one-dimensional `i64` constant.
    pub(super) fn ints_constant(&mut self, ints: &[i64]) -> ValueId {
        let name = self.name("ints");
        self.context.graph.add_constant(name, Tensor::vector(ints.to_vec()))
    }

    /// `value` converted to another element type.
    pub(super) fn cast(&mut self, value: ValueId, to: DType) -> ValueId {
        let name = self.name("cast");
        let number = sedge_graph::onnx::dtype_number(to);
        self.node("Cast").input(value).attribute("to", number).output(&name)
    }

    /// A name for an intermediate result, after the tensor this operator makes.
    pub(super) fn name(&self, suffix: &str) -> String {
        let result = self.result(0).map_or("", |result| result.name.as_str());
        format!("{result}/{suffix}")
    }

    /// Starts a node.
    pub(super) fn node(&mut self, op: &str) -> NodeBuilder<'_> {
        self.context.graph.node(op)
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

    /// `value` in another shape.
    pub(super) fn reshaped(&mut self, value: ValueId, shape: &[i64]) -> ValueId {
        let name = self.name("reshaped");
        self.node("Reshape").input(value).ints(shape).output(&name)
    }

    /// A scalar constant operand.
    pub(super) fn scalar(&mut self, value: f32) -> ValueId {
        let name = self.name("scalar");
        self.context.graph.add_constant(name, Tensor::scalar(value))
    }

    /// `value` with its dimensions in another order.
    pub(super) fn transpose(&mut self, value: ValueId, permutation: &[i64]) -> ValueId {
        let name = self.name("transpose");
        self.node("Transpose").input(value).attribute("perm", permutation).output(&name)
    }

    /// Gives result `index` its value: `value` in the layout and meaning it was computed in.
    pub(super) fn finish(
        &mut self,
        index: usize,
        value: ValueId,
        layout: Layout,
        domain: Domain,
    ) -> Result<(), Refusal> {
        let tensor = self.result_tensor(index)?;
        let mut value = match (self.result(index)?.quantized(), domain) {
            (None, _) | (_, Domain::Stored) => value,
            (Some(_), Domain::Real) => self.context.quantize(tensor, value)?,
            (Some(_), Domain::Raw) => self.context.round(tensor, value)?,
        };
        if layout == Layout::ChannelsFirst {
            value = self.transpose(value, &TO_CHANNELS_LAST);
        }
        self.context.bind(tensor, value);
        Ok(())
    }

    /// Result `index` from real numbers, laid out as the file has them.
    pub(super) fn finish_real(&mut self, index: usize, value: ValueId) -> Result<(), Refusal> {
        self.finish(index, value, Layout::AsStored, Domain::Real)
    }

    /// Result `index` from elements as the file stores them.
    pub(super) fn finish_stored(&mut self, index: usize, value: ValueId) -> Result<(), Refusal> {
        self.finish(index, value, Layout::AsStored, Domain::Stored)
    }

    /// Makes result `index` a constant known at import.
    pub(super) fn finish_constant(
        &mut self,
        index: usize,
        constant: Tensor,
    ) -> Result<(), Refusal> {
        let tensor = self.result_tensor(index)?;
        self.context.fold(tensor, constant);
        Ok(())
    }

    /// Makes result `index` the dequantised constant operand 0.
    pub(super) fn finish_dequantized(&mut self, index: usize) -> Result<(), Refusal> {
        let (source, result) = (self.tensor(0)?, self.result_tensor(index)?);
        self.context.dequantized.insert(result, source);
        Ok(())
    }

    /// True when operand `index` and the result 0 have the same quantisation, or none.
    pub(super) fn same_quantization(&self, index: usize) -> Result<bool, Refusal> {
        let (operand, result) = (self.info(index)?, self.result(0)?);
        Ok(operand.dtype == result.dtype && operand.quantized() == result.quantized())
    }
}
