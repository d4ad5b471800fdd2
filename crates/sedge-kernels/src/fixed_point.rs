//! Fixed-point multiplication as TensorFlow Lite's integer kernels define it.
//!
//! Sources: `QuantizeMultiplier` in `tensorflow/lite/kernels/internal/quantization_util.cc`,
//! `SaturatingRoundingDoublingHighMul` and `RoundingDivideByPOT` in gemmlowp's
//! `fixedpoint/fixedpoint.h`.

/// A positive real factor as 31 bits of mantissa and a power of two:
/// `factor = mantissa * 2^(shift - 31)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Multiplier {
    /// In `[2^30, 2^31)`, or 0.
    pub mantissa: i32,
    /// Positive shifts enlarge.
    pub shift: i32,
}

impl Multiplier {
    /// The nearest multiplier of a factor that is not negative.
    pub fn new(factor: f64) -> Self {
        if factor.is_nan() || factor <= 0.0 {
            return Self::default();
        }
        let (fraction, mut shift) = split(factor);
        let mut mantissa = (fraction * (1i64 << 31) as f64).round() as i64;
        if mantissa == 1 << 31 {
            mantissa /= 2;
            shift += 1;
        }
        if shift < -31 {
            return Self::default();
        }
        if shift > 30 {
            return Self { mantissa: i32::MAX, shift: 30 };
        }
        Self { mantissa: mantissa as i32, shift }
    }

    /// `value * factor`, rounded twice: to 32 bits of the high product, then by the shift, where
    /// ties go away from zero.
    pub(crate) fn apply(self, value: i32) -> i32 {
        let left = self.shift.max(0) as u32;
        let high = high_product(value.wrapping_shl(left), self.mantissa);
        shift_right(high, (-self.shift).max(0) as u32)
    }
}

/// A positive number as fraction in `[0.5, 1)` and exponent: C's `frexp`.
fn split(x: f64) -> (f64, i32) {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32;
    if exponent == 0 {
        // Subnormal: far below anything a multiplier can express.
        return (0.5, -1000);
    }
    (f64::from_bits(bits & !(0x7ff << 52) | (1022 << 52)), exponent - 1022)
}

/// The upper half of twice the product, rounded half up.
pub(crate) fn high_product(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// Division by a power of two, ties away from zero.
pub(crate) fn shift_right(value: i32, by: u32) -> i32 {
    if by == 0 {
        return value;
    }
    ((i64::from(value) + (1i64 << (by - 1)) + i64::from(value >> 31)) >> by) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_become_mantissa_and_shift() {
        for (factor, mantissa, shift) in [
            (1.0, 1 << 30, 1),
            (0.5, 1 << 30, 0),
            (0.75, 3 << 29, 0),
            (0.1, 1717986918, -3),
            (1.0 - 1e-12, 1 << 30, 1),
            (0.0, 0, 0),
            (1e-12, 0, 0),
        ] {
            assert_eq!(Multiplier::new(factor), Multiplier { mantissa, shift }, "{factor}");
        }
    }

    #[test]
    fn ties_go_away_from_zero() {
        let quarter = Multiplier::new(0.25);
        assert_eq!([6, 5, -5, -6].map(|x| quarter.apply(x)), [2, 2, -1, -2]);
        assert_eq!(Multiplier::new(4.0).apply(-3), -12);
    }
}
