//! Softmax along the last dimension.

use crate::quantize::is_fixed;
use crate::{Affine, Rounding};

/// A softmax with fixed quantisations.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// Exponentials by distance from the greatest byte, 255 being none.
    table: Box<[f32; 256]>,
    tflite: bool,
    to: Affine,
    length: usize,
}

impl Softmax {
    /// Rows of `length` bytes; `beta` scales the real inputs.
    ///
    /// Sources: `PopulateSoftmaxLookupTable` and `Softmax` in
    /// `tensorflow/lite/kernels/internal/optimized/optimized_ops.h`; `QlinearSoftmaxCPU` in
    /// onnxruntime's `contrib_ops/cpu/quantization/qlinear_softmax.cc`.
    pub fn new(rounding: Rounding, length: usize, beta: f32, from: Affine, to: Affine) -> Self {
        let tflite = is_fixed(rounding);
        // onnxruntime moves the exponentials up, to where their sum nearly fills a float.
        let reserve = 5.0;
        let room = (f64::from(f32::MAX / length.max(1) as f32).ln() - reserve).max(0.0);
        let shift = room / f64::from(from.scale);
        let scale = -from.scale * beta;
        let entry = |byte: usize| {
            let below = 255 - byte;
            if tflite {
                f64::from(scale * below as f32).exp() as f32
            } else {
                let real = (shift - below as f64) * f64::from(from.scale * beta);
                real.exp() as f32
            }
        };
        Self { table: Box::new(std::array::from_fn(entry)), tflite, to, length }
    }

    /// Exponentials by `255 - greatest + byte`, of bytes no greater than `greatest`.
    pub fn exponentials(&self) -> &[f32; 256] {
        &self.table
    }

    /// Runs over whole rows.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        let rows = input.chunks_exact(self.length.max(1));
        for (input, output) in rows.zip(output.chunks_exact_mut(self.length.max(1))) {
            let greatest = input.iter().copied().max().unwrap_or(0);
            let exponential =
                |byte: u8| self.table[usize::from(255 - greatest) + usize::from(byte)];
            // In order: the sum of floats depends on it.
            let sum = input.iter().fold(0f32, |sum, &byte| sum + exponential(byte));
            if self.tflite {
                let inverse = 1.0 / (sum * self.to.scale);
                for (to, &byte) in output.iter_mut().zip(input) {
                    *to = self.to.offset((exponential(byte) * inverse).round());
                }
            } else {
                let steps = (1.0 / self.to.scale).floor();
                for (to, &byte) in output.iter_mut().zip(input) {
                    *to = self.to.offset((exponential(byte) * steps / sum).round_ties_even());
                }
            }
        }
    }
}
