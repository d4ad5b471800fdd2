//! Between real numbers and bytes, and tables for operators of one operand.

use crate::Rounding;
use crate::fixed_point::Multiplier;

/// The affine meaning of bytes: `real = (byte - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Real value of one step.
    pub scale: f32,
    /// The byte that stands for zero, sign flipped where the model's bytes are signed.
    pub zero: u8,
    /// True where the model's bytes are signed.
    pub signed: bool,
}

impl Affine {
    /// The model's own integer behind a byte.
    pub fn raw(&self, byte: u8) -> i32 {
        i32::from(byte) - if self.signed { 128 } else { 0 }
    }

    /// The model's own zero point.
    pub fn raw_zero(&self) -> i32 {
        self.raw(self.zero)
    }

    /// The real number a byte stands for.
    pub fn real(&self, byte: u8) -> f32 {
        (i32::from(byte) - i32::from(self.zero)) as f32 * self.scale
    }

    /// The byte nearest to a real number, ties to even: ONNX's `QuantizeLinear`.
    pub fn nearest_even(&self, real: f32) -> u8 {
        self.offset((real / self.scale).round_ties_even())
    }

    /// The byte nearest to a real number, ties away from zero: TensorFlow Lite's.
    pub fn nearest_away(&self, real: f32) -> u8 {
        self.offset((real / self.scale).round())
    }

    /// The byte a number of steps above zero, limited to what there is.
    pub fn offset(&self, steps: f32) -> u8 {
        // Casts saturate, and what is no number becomes zero.
        (steps as i32).saturating_add(i32::from(self.zero)).clamp(0, 255) as u8
    }

    /// A table of all 256 bytes for `function` on real numbers.
    ///
    /// Source of the fixed form: `LUTPopulate` in `tensorflow/lite/kernels/internal/common.h`.
    pub fn table(&self, to: &Affine, tflite: bool, function: impl Fn(f32) -> f32) -> [u8; 256] {
        std::array::from_fn(|byte| {
            let real = function(self.real(byte as u8));
            if tflite {
                to.offset((real * (1.0 / to.scale)).round())
            } else {
                to.nearest_even(real)
            }
        })
    }

    /// A table of square roots, rounded down as TensorFlow Lite's SQRT does on bytes.
    pub fn square_roots(&self, to: &Affine) -> [u8; 256] {
        std::array::from_fn(|byte| to.offset((self.real(byte as u8).sqrt() / to.scale).floor()))
    }

    /// A table that brings bytes of this meaning to another, as TensorFlow Lite's QUANTIZE and its
    /// rectifiers do in fixed point. `slope` multiplies what is below zero.
    pub fn rescale(&self, to: &Affine, slope: f32, (low, high): (u8, u8)) -> [u8; 256] {
        let ratio = f64::from(self.scale) / f64::from(to.scale);
        let above = Multiplier::new(ratio);
        let below = if slope == 1.0 {
            above
        } else {
            // The product of the floats is taken first, as the kernel does.
            Multiplier::new(f64::from(self.scale * slope.abs()) / f64::from(to.scale))
        };
        std::array::from_fn(|byte| {
            let steps = byte as i32 - i32::from(self.zero);
            let steps = match steps {
                0.. => above.apply(steps),
                _ if slope < 0.0 => -below.apply(steps),
                _ => below.apply(steps),
            };
            steps.saturating_add(i32::from(to.zero)).clamp(low.into(), high.into()) as u8
        })
    }

    /// A table as [`Affine::rescale`], as TensorFlow Lite's CONCATENATION does in floats.
    ///
    /// Source: `ConcatenationWithScaling` in `tensorflow/lite/kernels/internal/reference/concatenation.h`.
    pub fn rescale_in_floats(&self, to: &Affine) -> [u8; 256] {
        let scale = self.scale * (1.0 / to.scale);
        let bias = -(self.raw_zero() as f32) * scale;
        std::array::from_fn(|byte| to.offset((self.raw(byte as u8) as f32 * scale + bias).round()))
    }
}

/// The rounding a table or a sum follows is TensorFlow Lite's.
pub(crate) fn is_fixed(rounding: Rounding) -> bool {
    rounding != Rounding::Float
}

/// Bytes with their sign bit flipped: signed to unsigned and back.
pub fn flip_sign(from: &[u8], to: &mut [u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from ^ 0x80);
}

/// Real numbers to bytes.
pub fn quantize(from: &[f32], affine: Affine, tflite: bool, to: &mut [u8]) {
    if tflite {
        to.iter_mut().zip(from).for_each(|(to, &real)| *to = affine.nearest_away(real));
    } else {
        to.iter_mut().zip(from).for_each(|(to, &real)| *to = affine.nearest_even(real));
    }
}

/// Bytes to real numbers.
pub fn dequantize(from: &[u8], affine: Affine) -> Vec<f32> {
    from.iter().map(|&byte| affine.real(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halfway_cases_follow_their_framework() {
        let affine = Affine { scale: 0.5, zero: 100, signed: false };
        assert_eq!(
            [1.25, -1.25, 1e9, f32::NAN].map(|x| affine.nearest_even(x)),
            [102, 98, 255, 100]
        );
        assert_eq!([1.25, -1.25].map(|x| affine.nearest_away(x)), [103, 97]);
    }

    #[test]
    fn rescaling_to_the_same_meaning_changes_nothing() {
        let affine = Affine { scale: 0.013, zero: 7, signed: true };
        let same: [u8; 256] = std::array::from_fn(|byte| byte as u8);
        assert_eq!(affine.rescale(&affine, 1.0, (0, 255)), same);
        assert_eq!(affine.rescale_in_floats(&affine), same);
    }
}
