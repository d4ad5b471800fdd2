//! HARD_SWISH as TensorFlow Lite computes it: 16-bit fixed point with its own roundings.
//!
//! Sources: `HardSwish` in `tensorflow/lite/kernels/internal/reference/hard_swish.h` and
//! `HardSwishPrepare` in `tensorflow/lite/kernels/activations.cc`.

use crate::Affine;
use crate::fixed_point::{Multiplier, shift_right};

impl Affine {
    /// The operator as a table of all 256 bytes; `None` for scales it is not defined for.
    pub fn hard_swish(&self, to: &Affine) -> Option<[u8; 256]> {
        // Inputs gain seven bits; three, where the function becomes linear, is 2^15.
        let fine = self.scale / 128.0;
        let output = Multiplier::new(f64::from(fine / to.scale));
        let relu = Multiplier::new(f64::from(fine / (3.0 / 32768.0)));
        if output.shift > 0 || output.shift < -30 || relu.shift < -30 || relu.shift > 15 {
            return None;
        }
        let (to_output, to_relu) = (half(output.mantissa), half(relu.mantissa));
        Some(std::array::from_fn(|byte| {
            let fine = (byte as i32 - i32::from(self.zero)) * 128;
            let value = rounded_product(fine, to_output);
            let mut gate = fine;
            if relu.shift > 0 {
                gate = saturated(gate << (relu.shift - 1));
            }
            gate = rounded_product(gate, to_relu);
            if relu.shift > 0 {
                gate = saturated(gate << 1);
            } else {
                gate = shift_right(gate, relu.shift.unsigned_abs());
            }
            let gate = (gate + (1 << 15)) >> 1;
            let product = shift_right(product(gate, value), output.shift.unsigned_abs());
            (product + i32::from(to.zero)).clamp(0, 255) as u8
        }))
    }
}

/// The upper half of a mantissa, rounded.
fn half(mantissa: i32) -> i32 {
    if mantissa >= i32::MAX - (1 << 15) { i16::MAX.into() } else { (mantissa + (1 << 15)) >> 16 }
}

fn saturated(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

/// The upper half of twice the product of 16-bit numbers, towards zero.
fn product(a: i32, b: i32) -> i32 {
    saturated(a * b / (1 << 15))
}

/// The same, rounded half away from zero.
fn rounded_product(a: i32, b: i32) -> i32 {
    let nudge = if a * b >= 0 { 1 << 14 } else { 1 - (1 << 14) };
    saturated((a * b + nudge) / (1 << 15))
}
