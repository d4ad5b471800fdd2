//! From found operators to steps: layouts, places, sizes.

mod layer;
mod operators;

use std::collections::HashMap;
use std::sync::Arc;

use sedge_graph::{Graph, ValueId};
use sedge_kernels::Level;
use sedge_tensor::{DType, Tensor, element_count};

pub(super) use layer::Built;

use super::memory;
use super::plan::dequantized_constant;
use super::step::{Kernel, Plan, Step};
use crate::integers::affine;
use crate::integers::pattern::Search;

/// How a value's bytes lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Layout {
    /// In the order of its dimensions.
    Plain,
    /// Four dimensions, the second of them moved to the end.
    Last,
}

const TO_LAST: [usize; 4] = [0, 2, 3, 1];
const TO_PLAIN: [usize; 4] = [0, 3, 1, 2];

/// A plan while it grows.
pub(super) struct Builder<'g> {
    graph: &'g Graph,
    search: &'g Search<'g>,
    level: Level,
    steps: Vec<Step>,
    /// Bytes of each place.
    sizes: Vec<usize>,
    bytes: HashMap<(ValueId, Layout), usize>,
    constants: Vec<(usize, Arc<[u8]>)>,
    tensors: usize,
    tensor_of: HashMap<ValueId, usize>,
    constant_tensors: Vec<(usize, Tensor)>,
    inputs: Vec<usize>,
}

impl<'g> Builder<'g> {
    pub(super) fn new(graph: &'g Graph, search: &'g Search<'g>, level: Level) -> Self {
        let mut builder = Self {
            graph,
            search,
            level,
            steps: Vec::new(),
            sizes: Vec::new(),
            bytes: HashMap::new(),
            constants: Vec::new(),
            tensors: 0,
            tensor_of: HashMap::new(),
            constant_tensors: Vec::new(),
            inputs: Vec::new(),
        };
        for &input in &graph.inputs {
            let place = builder.new_tensor(input);
            builder.inputs.push(place);
        }
        builder
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn new_tensor(&mut self, value: ValueId) -> usize {
        self.tensors += 1;
        self.tensor_of.insert(value, self.tensors - 1);
        self.tensors - 1
    }

    fn new_bytes(&mut self, value: ValueId, layout: Layout) -> Option<usize> {
        let length = element_count(&self.shape(value)?)?;
        self.sizes.push(length);
        self.bytes.insert((value, layout), self.sizes.len() - 1);
        Some(self.sizes.len() - 1)
    }

    fn shape(&self, value: ValueId) -> Option<Vec<usize>> {
        self.graph.value(value).fixed_shape()
    }

    /// Lets a value's bytes be those that lie at a place; `None` when its shape, which the file may
    /// state at will, has another number of them.
    fn same_bytes(&mut self, value: ValueId, layout: Layout, place: usize) -> Option<()> {
        (element_count(&self.shape(value)?)? == self.sizes[place]).then_some(())?;
        self.bytes.insert((value, layout), place);
        Some(())
    }

    /// `None` when one place is larger than the other.
    fn same_size(&self, from: usize, to: usize) -> Option<()> {
        (self.sizes[from] == self.sizes[to]).then_some(())
    }

    /// Pushes a step from bytes to bytes.
    fn step(&mut self, kernel: Kernel, from: Vec<usize>, to: usize) {
        self.push(Step {
            kernel,
            bytes_in: from,
            bytes_out: Some(to),
            length: self.sizes[to],
            tensors_in: Vec::new(),
            tensors_out: Vec::new(),
        });
    }

    /// The place of a value as a tensor.
    pub(super) fn tensor(&mut self, value: ValueId) -> Option<usize> {
        if let Some(&place) = self.tensor_of.get(&value) {
            return Some(place);
        }
        let constant = self.graph.constant(Some(value)).cloned();
        if let Some(tensor) = constant.or_else(|| dequantized_constant(self.search, value)) {
            let place = self.new_tensor(value);
            self.constant_tensors.push((place, tensor));
            return Some(place);
        }
        let from = self.place(value, Layout::Plain)?;
        let (dtype, shape) = (self.graph.value(value).dtype?, self.shape(value)?);
        let place = self.new_tensor(value);
        self.push(Step {
            kernel: Kernel::ToTensor { dtype, shape },
            bytes_in: vec![from],
            bytes_out: None,
            length: 0,
            tensors_in: Vec::new(),
            tensors_out: vec![place],
        });
        Some(place)
    }

    /// The layout a value is already in.
    fn layout(&self, value: ValueId) -> Layout {
        if self.bytes.contains_key(&(value, Layout::Last)) { Layout::Last } else { Layout::Plain }
    }

    /// The place of a value's bytes in a layout; they are brought there when they are not.
    fn place(&mut self, value: ValueId, layout: Layout) -> Option<usize> {
        if let Some(&place) = self.bytes.get(&(value, layout)) {
            return Some(place);
        }
        let shape = self.shape(value)?;
        let other = if layout == Layout::Plain { Layout::Last } else { Layout::Plain };
        if let Some(&from) = self.bytes.get(&(value, other)) {
            let &[n, c, h, w] = shape.as_slice() else { return None };
            if c == 1 || h * w == 1 {
                self.bytes.insert((value, layout), from);
                return Some(from);
            }
            let (shape, order) = match layout {
                Layout::Plain => (vec![n, h, w, c], TO_PLAIN),
                Layout::Last => (shape, TO_LAST),
            };
            let to = self.new_bytes(value, layout)?;
            self.step(Kernel::Transpose { shape, order: order.to_vec() }, vec![from], to);
            return Some(to);
        }
        if layout == Layout::Last {
            self.place(value, Layout::Plain)?;
            return self.place(value, layout);
        }
        let dtype = self.graph.value(value).dtype;
        if let Some(tensor) = self.graph.constant(Some(value)) {
            let bytes = affine::unsigned(tensor)?;
            let place = self.new_bytes(value, layout)?;
            self.constants.push((place, bytes.into()));
            return Some(place);
        }
        let from = *self.tensor_of.get(&value)?;
        if !affine::is_byte(self.graph, value) {
            return None;
        }
        let to = self.new_bytes(value, layout)?;
        self.push(Step {
            kernel: Kernel::FromTensor { signed: dtype == Some(DType::I8) },
            bytes_in: Vec::new(),
            bytes_out: Some(to),
            length: self.sizes[to],
            tensors_in: vec![from],
            tensors_out: Vec::new(),
        });
        Some(to)
    }

    /// Makes outputs tensors and gives every place its memory.
    pub(super) fn finish(mut self) -> Option<Plan> {
        let graph = self.graph;
        let outputs = graph.outputs.iter().map(|&value| self.tensor(value));
        let outputs = outputs.collect::<Option<Vec<_>>>()?;
        let fixed: Vec<usize> = self.constants.iter().map(|(place, _)| *place).collect();
        let memory = memory::share(&mut self.steps, &self.sizes, &fixed)?;
        let constants = self.constants.into_iter().zip(&memory.fixed);
        Some(Plan {
            constants: constants.map(|((_, bytes), &buffer)| (buffer, bytes)).collect(),
            steps: self.steps,
            buffers: memory.buffers,
            tensors: self.tensors,
            constant_tensors: self.constant_tensors,
            inputs: self.inputs,
            outputs,
        })
    }
}
