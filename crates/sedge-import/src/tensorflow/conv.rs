//! Convolutions: weights into ONNX's order, padding into numbers.

use sedge_graph::{Dim, ValueId};

use super::Refusal;
use super::builder::Op;
use super::window::Window;
use crate::permute::permuted;

impl Op<'_, '_> {
    /// Weights with their dimensions permuted: constants are rearranged here, once; computed ones
    /// by a Transpose.
    pub(super) fn weights(&mut self, index: usize, order: &[usize]) -> Result<ValueId, Refusal> {
        let value = self.operand(index)?;
        let key = (value, order.to_vec());
        if let Some(&known) = self.context.weights.get(&key) {
            return Ok(known);
        }
        let rank = self.rank(value)?;
        if rank != order.len() {
            return Err(Refusal(format!("its weights have {rank} dimensions")));
        }
        let rearranged = match self.constant(value) {
            Some(constant) => {
                let bytes = constant.bytes().len();
                let constant = permuted(constant, order)?;
                let left = self.context.copy_budget.checked_sub(bytes);
                self.context.copy_budget = left.ok_or_else(|| {
                    Refusal::new("its weights are shared so often that rearranging would not end")
                })?;
                self.add_constant(constant)
            }
            None => {
                let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
                self.transpose(value, &order)
            }
        };
        self.context.weights.insert(key, rearranged);
        Ok(rearranged)
    }

    /// Says how many channels a picture has that is an input and does not say it itself.
    fn tell_channels(&mut self, picture: ValueId, channels: usize) {
        let shape = &mut self.context.graph.value_mut(picture).shape;
        if let Some([_, channel @ (Dim::Unknown | Dim::Symbol(_)), _, _]) = shape.as_deref_mut() {
            *channel = Dim::Fixed(channels);
        }
    }
}

/// Conv2D: weights are height, width, input channel of a group, output channel.
pub(super) fn conv_2d(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let filter = op.operand(1)?;
    let window = Window::of_convolution(op, [op.dim(filter, 0), op.dim(filter, 1)])?;
    let picture = op.picture(0)?;
    let group = match (op.dim(picture, 1), op.dim(filter, 2)) {
        (Some(channels), Some(of_group)) if of_group > 0 && channels % of_group == 0 => {
            channels / of_group
        }
        (None, Some(of_group)) => {
            op.tell_channels(picture, of_group);
            1
        }
        _ => return Err(Refusal::new("its weights do not fit the channels of its input")),
    };
    let weights = op.weights(1, &[3, 2, 0, 1])?;
    convolve(op, picture, weights, &window, group)
}

/// DepthwiseConv2dNative: weights are height, width, input channel, outputs for each of them.
pub(super) fn depthwise(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let filter = op.operand(1)?;
    let window = Window::of_convolution(op, [op.dim(filter, 0), op.dim(filter, 1)])?;
    let picture = op.picture(0)?;
    let (Some(channels), Some(multiplier)) = (op.dim(filter, 2), op.dim(filter, 3)) else {
        return Err(Refusal::new("the size of its weights is not known"));
    };
    op.tell_channels(picture, channels);
    if op.dim(picture, 1).is_some_and(|n| n != channels) || channels == 0 {
        return Err(Refusal::new("its weights do not fit the channels of its input"));
    }
    // Output channel c * multiplier + m is weight [.., c, m].
    let weights = op.weights(1, &[2, 3, 0, 1])?;
    let outputs = channels.checked_mul(multiplier).and_then(|n| i64::try_from(n).ok());
    let outputs = outputs.ok_or_else(|| Refusal::new("its weights are too large"))?;
    let (height, width) = (op.dim(filter, 0), op.dim(filter, 1));
    let spatial = [height, width].map(|n| n.map_or(-1, |n| n as i64));
    let weights = match op.constant(weights).cloned() {
        Some(constant) => {
            let shape = [outputs, 1, spatial[0], spatial[1]].map(|n| n as usize);
            let constant = constant.reshaped(shape).map_err(|error| error.to_string())?;
            op.add_constant(constant)
        }
        None => op.apply_ints("Reshape", weights, &[outputs, 1, spatial[0], spatial[1]]),
    };
    convolve(op, picture, weights, &window, channels)
}

fn convolve(
    op: &mut Op<'_, '_>,
    picture: ValueId,
    weights: ValueId,
    window: &Window,
    group: usize,
) -> Result<(), Refusal> {
    let size = op.size_of(picture);
    let name = op.name("conv");
    let node = op.start("Conv").input(picture).input(weights).attribute("group", group as i64);
    let value = window.describe(node, size).output(&name);
    op.finish_picture(value)
}

/// Conv2DBackpropInput, as a transposed convolution: operands are the output's shape, weights
/// (height, width, output channel, input channel) and data.
pub(super) fn transposed(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let filter = op.operand(1)?;
    let window = Window::of_convolution(op, [op.dim(filter, 0), op.dim(filter, 1)])?;
    let picture = op.picture(2)?;
    let weights = op.weights(1, &[3, 2, 0, 1])?;
    let (high, wide) = if op.is_channels_first()? { (2, 3) } else { (1, 2) };
    let wanted = op.contents(0).unwrap_or_default();
    let known = |axis: usize| match wanted.get(axis) {
        Some(super::dims::Element::Known(n)) => usize::try_from(*n).ok(),
        _ => None,
    };
    let wanted = [known(high), known(wide)];
    let size = op.size_of(picture);
    let name = op.name("convtranspose");
    let node = op.start("ConvTranspose").input(picture).input(weights);
    let value = window.describe_back(node, size, wanted)?.output(&name);
    op.finish_picture(value)
}

/// BiasAdd: along the channels.
pub(super) fn bias_add(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (value, mut bias) = (op.operand(0)?, op.operand(1)?);
    if op.is_channels_first()? {
        let trailing: Vec<i64> = (1..op.rank(value)?.saturating_sub(1) as i64).collect();
        if !trailing.is_empty() {
            bias = op.apply_ints("Unsqueeze", bias, &trailing);
        }
    }
    let value = op.apply("Add", &[value, bias]);
    op.finish(value)
}
