//! Averages, means and maxima.

use sedge_graph::{Node, ValueId};
use sedge_kernels::{Affine, Level, Mean};
use sedge_tensor::{DType, Tensor};

use super::Writer;
use super::requantize::Channels;

/// Pixels of a window up to which its average in floats tells ties from what is next to them: that
/// is `1 / 2n` away, and averages below 256 are pushed and rounded by less than 2^-12.5.
const MOST_PIXELS: usize = 2048;

impl Writer<'_> {
    /// Averages of the integers, ties away from zero.
    pub(super) fn average(
        &mut self,
        node: &Node,
        input: ValueId,
        from: Affine,
        (low, high): (u8, u8),
    ) -> Option<ValueId> {
        let pixels: usize = match node.ints("kernel_shape").filter(|_| node.is("AveragePool")) {
            Some(kernel) => kernel.iter().map(|&n| usize::try_from(n).unwrap_or(0)).product(),
            None => self.source.value(input).fixed_shape()?.get(2..)?.iter().product(),
        };
        if !(1..=MOST_PIXELS).contains(&pixels) {
            return None;
        }
        let bytes = self.bytes(input)?;
        let raw = self.raw(bytes, from.signed);
        let average = self.like(node, vec![Some(raw)], "average");
        // The sum is exact. Two roundings follow in the runtime, together less than this.
        let pushed = self.with("Mul", average, Tensor::scalar(1.0 + (-21f32).exp2()));
        let mut whole = self.one("Round", pushed);
        if from.signed {
            whole = self.with("Add", whole, Tensor::scalar(128f32));
        }
        let limit = |end: u8| Tensor::scalar(f32::from(end));
        let node = self.out.node("Clip").input(whole).constant(limit(low)).constant(limit(high));
        let limited = node.output("limited");
        Some(self.cast(limited, DType::U8))
    }

    /// Means of pictures, which `axes` tell the layout of.
    pub(super) fn mean(
        &mut self,
        (input, from): (ValueId, Affine),
        to: Affine,
        axes: &[i64],
        keeps_dimensions: bool,
    ) -> Option<ValueId> {
        let shape = &self.source.value(input).shape.as_ref().filter(|shape| shape.len() == 4)?;
        let size = |axis: usize| shape[axis].fixed();
        let mut axes: Vec<i64> = axes.iter().map(|axis| axis.rem_euclid(4)).collect();
        axes.sort_unstable();
        let (pixels, channels) = match axes.as_slice() {
            [2, 3] => (size(2)?.checked_mul(size(3)?)?, size(1)?),
            [1, 2] => (size(1)?.checked_mul(size(2)?)?, size(3)?),
            _ => return None,
        };
        // Sums of bytes must fit their integers; a shape may state any number of channels.
        if !(1..=1 << 22).contains(&pixels) || !(1..=1 << 20).contains(&channels) {
            return None;
        }
        let along = match (axes[0], keeps_dimensions) {
            (2, true) => Channels::Second(4),
            (_, true) => Channels::Last,
            (_, false) => Channels::Second(2),
        };
        let mean = Mean::new(Level::Portable, (pixels, channels), keeps_dimensions, from, to);
        let (start, requantize) = mean.arithmetic();
        let bytes = self.bytes(input)?;
        let integers = self.cast(bytes, DType::I32);
        let node = self.out.node("ReduceSum").input(integers).ints(&axes);
        let sums = node.attribute("keepdims", i64::from(keeps_dimensions)).output("sums");
        let bias = vec![start; channels];
        self.requantize(sums, requantize, Some(&bias), along)
    }

    /// In floats, which hold bytes and have the faster operator.
    pub(super) fn max_pool(&mut self, node: &Node, input: ValueId) -> Option<ValueId> {
        let bytes = self.bytes(input)?;
        let floats = self.cast(bytes, DType::F32);
        let greatest = self.like(node, vec![Some(floats)], "greatest");
        Some(self.cast(greatest, DType::U8))
    }
}
