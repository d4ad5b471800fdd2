//! Convolutions: weights into ONNX's order, padding into numbers.

use sedge_graph::{NodeBuilder, ValueId};
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::{Domain, Layout, Op};
use super::quantize::{per_tensor_or_axis, zero_points};
use super::schema::PADDING_SAME;
use crate::permute::permuted;

/// How a window moves over height and width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) same: bool,
    pub(super) kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) dilations: [usize; 2],
}

impl Window {
    fn check(self) -> Result<Self, Refusal> {
        // Bounds that keep every product below far from overflow.
        let sound = |n: &usize| (1..=1 << 14).contains(n);
        let [kernel, strides, dilations] = [self.kernel, self.strides, self.dilations];
        if kernel.iter().chain(&strides).chain(&dilations).all(sound) {
            Ok(self)
        } else {
            Err(Refusal(format!(
                "its window makes no sense: kernel {kernel:?}, strides {strides:?}, dilations {dilations:?}"
            )))
        }
    }

    /// A window of the size of the weights at operand `index`, for strides in height and width.
    pub(super) fn new(
        op: &Op<'_, '_>,
        index: usize,
        same: bool,
        strides: [i32; 2],
    ) -> Result<Self, Refusal> {
        let strides = strides.map(|n| usize::try_from(n).unwrap_or(0));
        Self { same, kernel: kernel(op, index)?, strides, dilations: [1, 1] }.check()
    }

    /// Reads the options shared by convolutions and pooling: padding, stride_w, stride_h.
    pub(super) fn read(
        op: &Op<'_, '_>,
        kernel: [usize; 2],
        dilations: [usize; 2],
    ) -> Result<Self, Refusal> {
        let options = op.operator.options;
        let strides = [options.i32(2, 0)?, options.i32(1, 0)?];
        Self {
            same: options.i8(0, 0)? == PADDING_SAME,
            kernel,
            strides: strides.map(|n| usize::try_from(n).unwrap_or(0)),
            dilations,
        }
        .check()
    }

    /// Padding in ONNX's order (top, left, bottom, right) for an input of this height and width.
    pub(super) fn pads(&self, size: [usize; 2]) -> [i64; 4] {
        let mut pads = [0; 4];
        if self.same {
            for axis in 0..2 {
                let covered = (self.kernel[axis] - 1) * self.dilations[axis] + 1;
                let steps = size[axis].div_ceil(self.strides[axis]).max(1);
                let total = ((steps - 1) * self.strides[axis] + covered).saturating_sub(size[axis]);
                pads[axis] = (total / 2) as i64;
                pads[axis + 2] = (total - total / 2) as i64;
            }
        }
        pads
    }

    /// Adds strides, kernel and padding to a node over an input of this height and width.
    pub(super) fn describe<'g>(
        &self,
        node: NodeBuilder<'g>,
        size: [Option<usize>; 2],
    ) -> NodeBuilder<'g> {
        let node = node
            .attribute("kernel_shape", ints(self.kernel))
            .attribute("strides", ints(self.strides));
        match size {
            [Some(height), Some(width)] => {
                node.attribute("pads", self.pads([height, width]).to_vec())
            }
            _ if self.same => node.attribute("auto_pad", "SAME_UPPER"),
            _ => node,
        }
    }
}

pub(super) fn ints(values: [usize; 2]) -> Vec<i64> {
    values.iter().map(|&n| n as i64).collect()
}

/// Height and width of operand `index`, where known.
pub(super) fn height_width(op: &Op<'_, '_>, index: usize) -> Result<[Option<usize>; 2], Refusal> {
    let info = op.info(index)?;
    Ok([info.dim(1), info.dim(2)])
}

impl Op<'_, '_> {
    /// Weights with their dimensions permuted: constants are rearranged here, once, in their own
    /// element type; computed ones by a Transpose.
    pub(super) fn weights(&mut self, index: usize, order: &[usize]) -> Result<ValueId, Refusal> {
        let tensor = self.tensor(index)?;
        let source = self.context.dequantized.get(&tensor).copied().unwrap_or(tensor);
        let key = (source, order.to_vec());
        if let Some(&value) = self.context.weights.get(&key) {
            return Ok(value);
        }
        let info = &self.context.model.tensors[source];
        if self.info(index)?.rank().is_some_and(|rank| rank != order.len()) {
            return Err(Refusal(format!("its weights have not {} dimensions", order.len())));
        }
        let Some(constant) = self.context.constant(source) else {
            let value = self.real(index)?;
            let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
            return Ok(self.transpose(value, &order));
        };
        let constant = permuted(constant, order)?;
        if order.iter().enumerate().any(|(new, &old)| new != old) {
            self.context.charge(constant.bytes().len())?;
        }
        let graph = &mut self.context.graph;
        let mut value = graph.add_constant(info.name.clone(), constant);
        if let (Some(quantization), Some(dtype)) = (info.quantized(), info.dtype) {
            let scale = per_tensor_or_axis(Tensor::vector(quantization.scale.clone()));
            let zero = per_tensor_or_axis(zero_points(dtype, &quantization.zero_point)?);
            let name = format!("{}/real", info.name);
            let mut node = graph.node("DequantizeLinear").input(value).constant(scale);
            node = node.constant(zero);
            if quantization.scale.len() > 1 {
                let axis = order.iter().position(|&old| old == quantization.axis);
                let axis = axis.ok_or_else(|| {
                    Refusal::new("its weights are quantised along an axis they do not have")
                })?;
                node = node.attribute("axis", axis as i64);
            }
            value = node.output(&name);
        }
        self.context.weights.insert(key, value);
        Ok(value)
    }

    /// The bias at operand `index` of an operator with data at `data` and weights at `weights`.
    ///
    /// An integer bias counts in steps of the product of the two scales, whatever scale the file
    /// gives for it: it is added to the sum of products of integers.
    pub(super) fn bias(
        &mut self,
        index: usize,
        data: usize,
        weights: usize,
    ) -> Result<Option<ValueId>, Refusal> {
        if !self.has(index) {
            return Ok(None);
        }
        let scales = match (self.info(data)?.quantized(), self.info(weights)?.quantized()) {
            (Some(data), Some(weights)) => Some((data.scale[0], &weights.scale)),
            _ => None,
        };
        let info = self.info(index)?;
        let (Some((data, weights)), Some(DType::I32 | DType::I64), Some(bias)) =
            (scales, info.dtype, self.constant(index).cloned())
        else {
            return self.real(index).map(Some);
        };
        let product = |weight: &f32| (f64::from(data) * f64::from(*weight)) as f32;
        let scale: Vec<f32> = weights.iter().map(product).collect();
        if bias.dtype() == DType::I64 {
            // The bias of 16-bit activations; DequantizeLinear knows no 64-bit integers.
            self.context.charge(bias.len() * 8)?;
            let real = bias.to_i64().unwrap_or_default();
            let scale = |i: usize| f64::from(scale[i % scale.len()]);
            let real = real.iter().enumerate().map(|(i, &q)| (q as f64 * scale(i)) as f32);
            let real = Tensor::vector(real.collect::<Vec<f32>>());
            return Ok(Some(self.context.graph.add_constant(format!("{}/real", info.name), real)));
        }
        let bias = self.context.graph.add_constant(info.name.clone(), bias);
        let name = format!("{}/real", info.name);
        let per_axis = scale.len() > 1;
        let mut node = self.node("DequantizeLinear").input(bias);
        node = node.constant(per_tensor_or_axis(Tensor::vector(scale)));
        if per_axis {
            node = node.attribute("axis", 0i64);
        }
        Ok(Some(node.output(&name)))
    }
}

/// Height and width of the weights at operand `index`.
fn kernel(op: &Op<'_, '_>, index: usize) -> Result<[usize; 2], Refusal> {
    let info = op.info(index)?;
    match (info.dim(1), info.dim(2)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err(Refusal::new("the size of its weights is unknown")),
    }
}

fn dilations(op: &Op<'_, '_>, width_field: usize) -> Result<[usize; 2], Refusal> {
    let options = op.operator.options;
    let factors = [options.i32(width_field + 1, 1)?, options.i32(width_field, 1)?];
    Ok(factors.map(|n| usize::try_from(n).unwrap_or(0)))
}

fn convolution(
    op: &mut Op<'_, '_>,
    window: Window,
    order: &[usize],
    group: usize,
    activation: i8,
) -> Result<(), Refusal> {
    let size = height_width(op, 0)?;
    let data = op.view(0, Layout::ChannelsFirst, Domain::Real)?;
    let weights = op.weights(1, order)?;
    let bias = op.bias(2, 0, 1)?;
    let name = op.name("conv");
    let mut node = op.node("Conv").input(data).input(weights);
    if let Some(bias) = bias {
        node = node.input(bias);
    }
    let node = window.describe(node, size).attribute("group", group as i64);
    let value = node.attribute("dilations", ints(window.dilations)).output(&name);
    let value = op.activate(value, activation, Domain::Real)?;
    op.finish(0, value, Layout::ChannelsFirst, Domain::Real)
}

/// CONV_2D: weights are output channel, height, width, input channel of a group.
pub(super) fn conv_2d(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let window = Window::read(op, kernel(op, 1)?, dilations(op, 4)?)?;
    let group = match (op.info(0)?.dim(3), op.info(1)?.dim(3)) {
        (Some(channels), Some(of_group)) if of_group > 0 && channels % of_group == 0 => {
            channels / of_group
        }
        (None, _) => 1,
        _ => return Err(Refusal::new("its weights do not fit the channels of its input")),
    };
    convolution(op, window, &[0, 3, 1, 2], group.max(1), options.i8(3, 0)?)
}

/// DEPTHWISE_CONV_2D: weights are 1, height, width, output channel; every input channel has its
/// own block of output channels.
pub(super) fn depthwise_conv_2d(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let window = Window::read(op, kernel(op, 1)?, dilations(op, 5)?)?;
    let multiplier = usize::try_from(options.i32(3, 0)?).ok().filter(|&n| n > 0);
    let channels = match (op.info(0)?.dim(3), op.info(1)?.dim(3), multiplier) {
        (Some(channels), _, _) => channels,
        // Redundant in the file, needed only where the channels of the input are unknown.
        (None, Some(outputs), Some(multiplier)) => outputs / multiplier,
        _ => return Err(Refusal::new("the channels of its input are unknown")),
    };
    if op.info(1)?.dim(3).is_none_or(|outputs| channels == 0 || outputs % channels != 0) {
        return Err(Refusal::new("its weights do not fit the channels of its input"));
    }
    convolution(op, window, &[3, 0, 1, 2], channels, options.i8(4, 0)?)
}

/// TRANSPOSE_CONV: operands are the output's shape, weights (output channel, height, width, input
/// channel), data and bias.
pub(super) fn transpose_conv(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let window = Window::read(op, kernel(op, 1)?, [1, 1])?;
    let activation = op.operator.options.i8(3, 0)?;
    let wanted = match op.known_ints(0).as_deref() {
        Some(&[_, height, width, _]) => [usize::try_from(height).ok(), usize::try_from(width).ok()],
        _ => [op.result(0)?.dim(1), op.result(0)?.dim(2)],
    };
    transposed(op, window, [2, 1, 3], wanted, activation)
}

/// A transposed convolution to an output of this height and width; `at` are the operands that are
/// its data, weights and bias.
pub(super) fn transposed(
    op: &mut Op<'_, '_>,
    window: Window,
    at: [usize; 3],
    wanted: [Option<usize>; 2],
    activation: i8,
) -> Result<(), Refusal> {
    let data = op.view(at[0], Layout::ChannelsFirst, Domain::Real)?;
    let weights = op.weights(at[1], &[3, 0, 1, 2])?;
    let bias = op.bias(at[2], at[0], at[1])?;
    let sizes = (height_width(op, at[0])?, wanted);
    let name = op.name("convtranspose");
    let mut node = op.node("ConvTranspose").input(data).input(weights);
    if let Some(bias) = bias {
        node = node.input(bias);
    }
    node = node
        .attribute("kernel_shape", ints(window.kernel))
        .attribute("strides", ints(window.strides));
    if let ([Some(height), Some(width)], [Some(high), Some(wide)]) = sizes {
        // The padding is that of the convolution that this one reverses, whose input is this
        // one's output.
        let start = window.pads([high, wide]);
        let (mut pads, mut extra) = ([start[0], start[1], 0, 0], [0; 2]);
        for (axis, (from, to)) in [(height, high), (width, wide)].into_iter().enumerate() {
            let full = (from as i64 - 1) * window.strides[axis] as i64 + window.kernel[axis] as i64;
            let end = full - start[axis] - to as i64;
            pads[axis + 2] = end.max(0);
            extra[axis] = (-end).max(0);
        }
        node = node.attribute("pads", pads.to_vec());
        if extra != [0; 2] {
            node = node.attribute("output_padding", extra.to_vec());
        }
    } else if window.same {
        node = node.attribute("auto_pad", "SAME_UPPER");
    }
    let value = node.output(&name);
    let value = op.activate(value, activation, Domain::Real)?;
    op.finish(0, value, Layout::ChannelsFirst, Domain::Real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_pixel_last() {
        let window = |kernel, stride, dilation| Window {
            same: true,
            kernel: [kernel; 2],
            strides: [stride; 2],
            dilations: [dilation; 2],
        };
        assert_eq!(window(3, 2, 1).pads([224, 224]), [0, 0, 1, 1]);
        assert_eq!(window(3, 2, 1).pads([225, 224]), [1, 0, 1, 1]);
        assert_eq!(window(3, 1, 2).pads([10, 10]), [2, 2, 2, 2]);
        assert_eq!(window(1, 2, 1).pads([7, 7]), [0, 0, 0, 0]);
    }
}
