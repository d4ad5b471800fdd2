//! Softmax from a table of exponentials.

use sedge_graph::ValueId;
use sedge_kernels::{Affine, Rounding, Softmax};
use sedge_tensor::{DType, Tensor};

use super::Writer;

impl Writer<'_> {
    pub(super) fn softmax(
        &mut self,
        input: ValueId,
        axis: i64,
        beta: f32,
        from: Affine,
        to: Affine,
    ) -> Option<ValueId> {
        let rank = self.source.value(input).shape.as_ref()?.len() as i64;
        let axis = axis.rem_euclid(rank.max(1));
        let softmax = Softmax::new(Rounding::FixedAway, 1, beta, from, to);
        let bytes = self.bytes(input)?;
        let integers = self.cast(bytes, DType::I32);
        let greatest = self.greatest(integers, axis);
        let below = self.pair("Sub", integers, greatest);
        let places = self.with("Add", below, Tensor::scalar(255i32));
        let exponentials = self.choose(places, Tensor::vector(softmax.exponentials().to_vec()));
        // A sum of floats depends on its order; this one's last element has the kernel's.
        let node = self.out.node("CumSum").input(exponentials);
        let sums = node.constant(Tensor::scalar(axis)).output("sums");
        let sum = self.greatest(sums, axis);
        let scaled = self.with("Mul", sum, Tensor::scalar(to.scale));
        let inverse = self.one("Reciprocal", scaled);
        let steps = self.pair("Mul", exponentials, inverse);
        let steps = self.cast(steps, DType::F64);
        let bytes = self.with("Add", steps, Tensor::scalar(f64::from(to.zero) + 0.5));
        Some(self.floor(bytes, (0, 255)))
    }

    fn greatest(&mut self, x: ValueId, axis: i64) -> ValueId {
        self.out.node("ReduceMax").input(x).ints(&[axis]).output("greatest")
    }
}
