//! Found operators as steps.

use std::sync::Arc;

use sedge_graph::ValueId;
use sedge_kernels::{Average, Binary, Broadcast, Mean, Nhwc, Rounding, Softmax};
use sedge_tensor::DType;

use super::layer::build;
use super::{Builder, Layout, TO_LAST, TO_PLAIN};
use crate::integers::layer::{self, Layer};
use crate::integers::pattern::{Family, Found, Operator};
use crate::native::host::Host;
use crate::native::step::{Kernel, Step};

impl Builder<'_> {
    fn rounding(&self) -> Rounding {
        match self.search.family {
            Family::Tflite => Rounding::FixedAway,
            Family::Onnx => Rounding::Float,
        }
    }

    /// Appends the steps of an operator; `None` when it does not take these operands.
    pub(in crate::native) fn lower(&mut self, found: &Found) -> Option<()> {
        let (input, output) = (*found.inputs.first()?, *found.outputs.first()?);
        match &found.operator {
            Operator::Layer(layer) => self.layer(layer, input, output),
            Operator::Binary { arithmetic, from: [left, right], to, limits } => {
                let rounding = self.rounding();
                let binary =
                    Binary::new(self.level, rounding, *arithmetic, (*left, *right), *to, *limits);
                self.binary(binary, input, found.inputs[1], output)
            }
            Operator::Average { from, to, limits, node } => {
                let shape = layer::picture(self.graph, input)?;
                let global = node.op == "GlobalAveragePool";
                let kernel = kernel_of(node, global, shape)?;
                let window = layer::window(node, kernel, [shape.height, shape.width])?;
                let with_padding = node.int("count_include_pad") == Some(1);
                let (from, to, limits) = (*from, *to, *limits);
                let rounding = self.rounding();
                let average = Average { rounding, from, to, with_padding, limits };
                self.pooled(Kernel::Average { average, shape, window }, node, input, output)
            }
            Operator::MaxPool { node } => {
                let shape = layer::picture(self.graph, input)?;
                let kernel = kernel_of(node, false, shape)?;
                let window = layer::window(node, kernel, [shape.height, shape.width])?;
                self.pooled(Kernel::MaxPool { shape, window }, node, input, output)
            }
            Operator::Mean { from, to, axes, keeps_dimensions } => {
                let shape = self.shape(input)?;
                let &[n, a, b, c] = shape.as_slice() else { return None };
                let mut axes: Vec<i64> = axes.iter().map(|axis| axis.rem_euclid(4)).collect();
                axes.sort_unstable();
                let (layout, pixels, channels) = match axes.as_slice() {
                    [2, 3] => (Layout::Last, b * c, a),
                    [1, 2] => (Layout::Plain, a * b, c),
                    _ => return None,
                };
                let from_place = self.place(input, layout)?;
                let mean = Mean::new(self.level, (pixels, channels), *keeps_dimensions, *from, *to);
                let to = self.new_bytes(output, Layout::Plain)?;
                (n * channels == self.sizes[to]).then_some(())?;
                self.step(Kernel::Mean(mean), vec![from_place], to);
                Some(())
            }
            Operator::Softmax { beta, axis, from, to } => {
                let shape = self.shape(input)?;
                let rank = shape.len();
                let axis = usize::try_from(axis.rem_euclid(rank.max(1) as i64)).ok()?;
                let layout = match (self.layout(input), axis) {
                    (Layout::Last, 1) => Layout::Last,
                    _ if axis + 1 == rank => Layout::Plain,
                    _ => return None,
                };
                let softmax = Softmax::new(self.rounding(), shape[axis], *beta, *from, *to);
                let from = self.place(input, layout)?;
                let to = self.new_bytes(output, layout)?;
                self.same_size(from, to)?;
                self.step(Kernel::Softmax(softmax), vec![from], to);
                Some(())
            }
            Operator::Table(table) => {
                let layout = self.layout(input);
                let from = self.place(input, layout)?;
                let to = self.new_bytes(output, layout)?;
                self.same_size(from, to)?;
                self.step(Kernel::Table(table.clone()), vec![from], to);
                Some(())
            }
            Operator::Concat { axis, tables } => self.concat(*axis, tables, &found.inputs, output),
            Operator::Pad { pads, fill } => self.pad(pads, *fill, input, output),
            Operator::Transpose { order } => self.transpose(order, input, output),
            Operator::Reshape => {
                let from = self.place(input, Layout::Plain)?;
                self.same_bytes(output, Layout::Plain, from)
            }
            Operator::Quantize(to) => {
                self.shape(output)?;
                (self.graph.value(input).dtype? == DType::F32).then_some(())?;
                let from = *self.tensor_of.get(&input)?;
                let tflite = self.search.family == Family::Tflite;
                let place = self.new_bytes(output, Layout::Plain)?;
                self.push(Step {
                    kernel: Kernel::Quantize { to: *to, tflite },
                    bytes_in: Vec::new(),
                    bytes_out: Some(place),
                    length: self.sizes[place],
                    tensors_in: vec![from],
                    tensors_out: Vec::new(),
                });
                Some(())
            }
            Operator::Dequantize(from) => {
                let place = self.place(input, Layout::Plain)?;
                let shape = self.shape(input)?;
                let to = self.new_tensor(output);
                self.push(Step {
                    kernel: Kernel::Dequantize { from: *from, shape },
                    bytes_in: vec![place],
                    bytes_out: None,
                    length: 0,
                    tensors_in: Vec::new(),
                    tensors_out: vec![to],
                });
                Some(())
            }
            Operator::Detection(options) => {
                let kernel = Kernel::Detection(options.clone());
                self.on_tensors(kernel, &found.inputs, &found.outputs)
            }
        }
    }

    /// Appends the step of an operator on whole tensors.
    pub(in crate::native) fn host(
        &mut self,
        operator: &Arc<dyn Host>,
        inputs: &[ValueId],
        outputs: &[ValueId],
    ) -> Option<()> {
        self.on_tensors(Kernel::Host(operator.clone()), inputs, outputs)
    }

    /// A step from tensors to tensors.
    fn on_tensors(
        &mut self,
        kernel: Kernel,
        inputs: &[ValueId],
        outputs: &[ValueId],
    ) -> Option<()> {
        let from = inputs.iter().map(|&value| self.tensor(value));
        let tensors_in = from.collect::<Option<Vec<_>>>()?;
        let tensors_out = outputs.iter().map(|&value| self.new_tensor(value)).collect();
        self.push(Step {
            kernel,
            bytes_in: Vec::new(),
            bytes_out: None,
            length: 0,
            tensors_in,
            tensors_out,
        });
        Some(())
    }

    fn layer(&mut self, layer: &Layer, input: ValueId, output: ValueId) -> Option<()> {
        let (depth, outputs) = layer.channels();
        let (shape, layout) = if layer.is_picture() {
            (layer::picture(self.graph, input)?, Layout::Last)
        } else {
            let shape = self.shape(input)?;
            let (&channels, rows) = shape.split_last()?;
            let picture = Nhwc { batch: 1, height: 1, width: rows.iter().product(), channels };
            (picture, Layout::Plain)
        };
        let window = layer.window([shape.height, shape.width])?;
        let [height, width] = window.output([shape.height, shape.width])?;
        let length: usize = self.shape(output)?.iter().product();
        if shape.channels != depth || length != shape.batch * height * width * outputs {
            return None;
        }
        let from = self.place(input, layout)?;
        let to = self.new_bytes(output, layout)?;
        let layer = Box::new(build(layer, self.level, window)?);
        self.step(Kernel::Layer { layer, shape }, vec![from], to);
        Some(())
    }

    fn pooled(
        &mut self,
        kernel: Kernel,
        node: &sedge_graph::Node,
        input: ValueId,
        output: ValueId,
    ) -> Option<()> {
        let (Kernel::Average { shape, window, .. } | Kernel::MaxPool { shape, window }) = &kernel
        else {
            return None;
        };
        let [height, width] = window.output([shape.height, shape.width])?;
        let wanted = vec![shape.batch, shape.channels, height, width];
        // Sizes rounded up would need windows that hang over the padding.
        if node.int("ceil_mode") == Some(1) || self.shape(output)? != wanted {
            return None;
        }
        let from = self.place(input, Layout::Last)?;
        let to = self.new_bytes(output, Layout::Last)?;
        self.step(kernel, vec![from], to);
        Some(())
    }

    fn binary(
        &mut self,
        binary: Binary,
        left: ValueId,
        right: ValueId,
        output: ValueId,
    ) -> Option<()> {
        let (of_left, of_right, shape) =
            (self.shape(left)?, self.shape(right)?, self.shape(output)?);
        let layout = match (self.layout(left), self.layout(right)) {
            (Layout::Plain, Layout::Plain) => Layout::Plain,
            _ => Layout::Last,
        };
        let layout = if shape.len() == 4 { layout } else { Layout::Plain };
        let broadcast = Broadcast {
            left: repeats(&of_left, &shape, layout)?,
            right: repeats(&of_right, &shape, layout)?,
        };
        let whole: usize = shape.iter().product();
        if broadcast.left.max(broadcast.right) != whole {
            return None;
        }
        let mut operand = |value, of: &[usize], period| {
            // One that repeats as it lies needs no layout.
            let layout = if of.len() == 4 && period == whole { layout } else { Layout::Plain };
            self.place(value, layout)
        };
        let from = vec![
            operand(left, &of_left, broadcast.left)?,
            operand(right, &of_right, broadcast.right)?,
        ];
        let to = self.new_bytes(output, layout)?;
        self.step(Kernel::Binary { binary: Box::new(binary), broadcast }, from, to);
        Some(())
    }

    fn concat(
        &mut self,
        axis: i64,
        tables: &[[u8; 256]],
        inputs: &[ValueId],
        output: ValueId,
    ) -> Option<()> {
        let rank = self.shape(output)?.len();
        let axis = usize::try_from(axis.rem_euclid(rank.max(1) as i64)).ok()?;
        let last = rank == 4 && inputs.iter().any(|&value| self.layout(value) == Layout::Last);
        let layout = if last { Layout::Last } else { Layout::Plain };
        let mut from = Vec::new();
        let mut each = Vec::new();
        for (&value, table) in inputs.iter().zip(tables) {
            let shape = self.shape(value).filter(|shape| shape.len() == rank)?;
            let bytes = match layout {
                Layout::Plain => shape[axis..].iter().product(),
                Layout::Last => {
                    let at = TO_LAST.iter().position(|&a| a == axis)?;
                    TO_LAST[at..].iter().map(|&a| shape[a]).product()
                }
            };
            each.push(bytes);
            let mut place = self.place(value, layout)?;
            let changes = table.iter().enumerate().any(|(i, &byte)| i != usize::from(byte));
            if changes {
                self.sizes.push(self.sizes[place]);
                let to = self.sizes.len() - 1;
                self.step(Kernel::Table(Box::new(*table)), vec![place], to);
                place = to;
            }
            from.push(place);
        }
        let to = self.new_bytes(output, layout)?;
        let times = self.sizes[to].checked_div(each.iter().sum())?;
        let mut parts = from.iter().zip(&each);
        parts.all(|(&place, bytes)| self.sizes[place] == times * bytes).then_some(())?;
        self.step(Kernel::Concat { each }, from, to);
        Some(())
    }

    fn pad(&mut self, pads: &[i64], fill: u8, input: ValueId, output: ValueId) -> Option<()> {
        let shape = self.shape(input)?;
        let rank = shape.len();
        let pads: Vec<usize> =
            pads.iter().map(|&p| usize::try_from(p).ok()).collect::<Option<_>>()?;
        let layout = self.layout(input);
        let order: Vec<usize> =
            if layout == Layout::Last { TO_LAST.to_vec() } else { (0..rank).collect() };
        if pads.len() != 2 * rank {
            return None;
        }
        let pick = |list: &[usize]| order.iter().map(|&axis| list[axis]).collect::<Vec<_>>();
        let (before, after) = (pick(&pads[..rank]), pick(&pads[rank..]));
        let shape = pick(&shape);
        let from = self.place(input, layout)?;
        let to = self.new_bytes(output, layout)?;
        let padded = shape.iter().zip(&before).zip(&after).map(|((s, b), a)| s + b + a);
        (padded.product::<usize>() == self.sizes[to]).then_some(())?;
        self.step(Kernel::Pad { shape, before, after, fill }, vec![from], to);
        Some(())
    }

    fn transpose(&mut self, order: &[usize], input: ValueId, output: ValueId) -> Option<()> {
        let shape = self.shape(input).filter(|shape| shape.len() == order.len())?;
        let have = |layout| self.bytes.contains_key(&(input, layout));
        if order == TO_LAST && have(Layout::Last) {
            let place = self.place(input, Layout::Last)?;
            return self.same_bytes(output, Layout::Plain, place);
        }
        let from = self.place(input, Layout::Plain)?;
        if order == TO_PLAIN {
            return self.same_bytes(output, Layout::Last, from);
        }
        let to = self.new_bytes(output, Layout::Plain)?;
        self.same_size(from, to)?;
        self.step(Kernel::Transpose { shape, order: order.to_vec() }, vec![from], to);
        Some(())
    }
}

/// Elements after which an operand repeats over the whole; `None` when it does not repeat so.
fn repeats(operand: &[usize], whole: &[usize], layout: Layout) -> Option<usize> {
    let count: usize = operand.iter().product();
    if operand == whole || count == 1 {
        return Some(count);
    }
    let lead = whole.len().checked_sub(operand.len())?;
    let size = |axis: usize| if axis < lead { 1 } else { operand[axis - lead] };
    let order: Vec<usize> = match layout {
        Layout::Last => TO_LAST.to_vec(),
        Layout::Plain => (0..whole.len()).collect(),
    };
    let skipped = order.iter().take_while(|&&axis| size(axis) == 1).count();
    order[skipped..].iter().all(|&axis| size(axis) == whole[axis]).then_some(count)
}

/// Kernel of a pooling node.
fn kernel_of(node: &sedge_graph::Node, global: bool, shape: Nhwc) -> Option<[usize; 2]> {
    if global {
        return Some([shape.height, shape.width]);
    }
    match node.ints("kernel_shape")? {
        &[a, b] => Some([usize::try_from(a).ok()?, usize::try_from(b).ok()?]),
        _ => None,
    }
}
