//! Sums, differences and products of two operands, element by element.

use crate::fixed_point::Multiplier;
use crate::quantize::is_fixed;
use crate::requantize::LANES;
use crate::{Affine, Level, Requantize, Rounding, Threads};

/// What is done with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

/// How the second operand is laid over the first: its element for element `i` is `i % period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Elements of the first operand's pattern.
    pub left: usize,
    /// Elements of the second operand's pattern.
    pub right: usize,
}

/// One operator with fixed quantisations.
#[derive(Clone, Debug)]
pub struct Binary {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Every byte's share of the sum, by byte.
    Shares {
        left: Box<[i32; 256]>,
        right: Box<[i32; 256]>,
        requantize: Requantize,
    },
    Products {
        zeros: [i32; 2],
        requantize: Requantize,
    },
    Floats {
        left: Box<[f32; 256]>,
        right: Box<[f32; 256]>,
        multiply: bool,
        ratio: f32,
        to: Affine,
        limits: (u8, u8),
    },
}

/// Bits by which operands of a sum are shifted up before they are scaled down: `left_shift` of
/// 8-bit operands in `tensorflow/lite/kernels/add.cc`.
const HEADROOM: u32 = 20;

impl Binary {
    /// `left` and `right` are the operands' meanings, `to` the result's, `limits` what an
    /// activation leaves of it.
    pub fn new(
        level: Level,
        rounding: Rounding,
        arithmetic: Arithmetic,
        (left, right): (Affine, Affine),
        to: Affine,
        limits: (u8, u8),
    ) -> Self {
        let form = if is_fixed(rounding) {
            Self::fixed(level, arithmetic, (left, right), to, limits)
        } else {
            Self::float(arithmetic, (left, right), to, limits)
        };
        Self { form }
    }

    fn fixed(
        level: Level,
        arithmetic: Arithmetic,
        (left, right): (Affine, Affine),
        to: Affine,
        limits: (u8, u8),
    ) -> Form {
        let requantize = |factor: f64| {
            Requantize::new(level, Rounding::FixedAway, 1, &[factor], to.zero, limits)
        };
        if arithmetic == Arithmetic::Multiply {
            let factor = left.scale * right.scale / to.scale;
            let zeros = [left.zero, right.zero].map(i32::from);
            return Form::Products { zeros, requantize: requantize(factor.into()) };
        }
        let twice = 2.0 * f64::from(left.scale.max(right.scale));
        let shares = |from: Affine, sign: i32| {
            let multiplier = Multiplier::new(f64::from(from.scale) / twice);
            Box::new(std::array::from_fn(|byte| {
                let steps = byte as i32 - i32::from(from.zero);
                sign * multiplier.apply(steps << HEADROOM)
            }))
        };
        let sign = if arithmetic == Arithmetic::Subtract { -1 } else { 1 };
        let factor = twice / f64::from((1u32 << HEADROOM) as f32 * to.scale);
        Form::Shares {
            left: shares(left, 1),
            right: shares(right, sign),
            requantize: requantize(factor),
        }
    }

    /// A sum or difference in fixed point: the share of every byte of either operand, and what
    /// their sums go through.
    pub fn shares(&self) -> Option<([&[i32; 256]; 2], &Requantize)> {
        match &self.form {
            Form::Shares { left, right, requantize } => Some(([left, right], requantize)),
            _ => None,
        }
    }

    /// A product in fixed point: what products of steps above zero go through.
    pub fn products(&self) -> Option<&Requantize> {
        match &self.form {
            Form::Products { requantize, .. } => Some(requantize),
            _ => None,
        }
    }

    /// Sources: `MlasQLinearAdd` in `core/mlas/lib/qladd.cpp` and `MlasQLinearMul` in
    /// `qlmul.cpp` of onnxruntime; differences it computes between dequantise and quantise.
    fn float(
        arithmetic: Arithmetic,
        (left, right): (Affine, Affine),
        to: Affine,
        limits: (u8, u8),
    ) -> Form {
        let boxed = |of: &dyn Fn(u8) -> f32| Box::new(std::array::from_fn(|byte| of(byte as u8)));
        let (left_ratio, right_ratio) = (left.scale / to.scale, right.scale / to.scale);
        let fixed = to.raw_zero() as f32
            - (left_ratio * left.raw_zero() as f32 + right_ratio * right.raw_zero() as f32);
        let (left, right, ratio) = match arithmetic {
            Arithmetic::Add => (
                boxed(&|byte| fixed + left.raw(byte) as f32 * left_ratio),
                boxed(&|byte| right.raw(byte) as f32 * right_ratio),
                0.0,
            ),
            Arithmetic::Subtract => {
                (boxed(&|byte| left.real(byte)), boxed(&|byte| -right.real(byte)), to.scale)
            }
            Arithmetic::Multiply => {
                let steps = |from: Affine| {
                    boxed(&move |byte| (i32::from(byte) - i32::from(from.zero)) as f32)
                };
                (steps(left), steps(right), left.scale * right.scale / to.scale)
            }
        };
        Form::Floats {
            left,
            right,
            multiply: arithmetic == Arithmetic::Multiply,
            ratio,
            to,
            limits,
        }
    }

    /// Runs over whole tensors; `output` decides how many elements there are.
    ///
    /// # Panics
    /// When an operand is shorter than its pattern.
    pub fn run(
        &self,
        threads: Threads,
        (left, right): (&[u8], &[u8]),
        broadcast: Broadcast,
        output: &mut [u8],
    ) {
        assert!(left.len() >= broadcast.left && right.len() >= broadcast.right);
        let work = output.len() * 4;
        threads.over_rows(output, 1, work, |first, output| {
            for (block, output) in output.chunks_mut(LANES).enumerate() {
                let at = first + block * LANES;
                let left = lanes(left, broadcast.left, at, output.len());
                let right = lanes(right, broadcast.right, at, output.len());
                let bytes = self.block(&left, &right);
                output.copy_from_slice(&bytes[..output.len()]);
            }
        });
    }

    fn block(&self, left: &[u8; LANES], right: &[u8; LANES]) -> [u8; LANES] {
        let mut sums = [0i32; LANES];
        match &self.form {
            Form::Shares { left: of_left, right: of_right, requantize } => {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = of_left[usize::from(left[i])] + of_right[usize::from(right[i])];
                }
                requantize.block(&sums, 0)
            }
            Form::Products { zeros, requantize } => {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = (i32::from(left[i]) - zeros[0]) * (i32::from(right[i]) - zeros[1]);
                }
                requantize.block(&sums, 0)
            }
            Form::Floats { left: of_left, right: of_right, multiply, ratio, to, limits } => {
                std::array::from_fn(|i| {
                    let (a, b) = (of_left[usize::from(left[i])], of_right[usize::from(right[i])]);
                    let byte = if *multiply {
                        let raw = (a * b * ratio + to.raw_zero() as f32).round_ties_even();
                        to.offset(raw - to.raw_zero() as f32)
                    } else if *ratio == 0.0 {
                        to.offset((a + b).round_ties_even() - to.raw_zero() as f32)
                    } else {
                        to.nearest_even(a + b)
                    };
                    byte.clamp(limits.0, limits.1)
                })
            }
        }
    }
}

/// The next elements of a repeating operand.
fn lanes(from: &[u8], period: usize, at: usize, count: usize) -> [u8; LANES] {
    let start = at % period;
    if let Some(whole) = from[start..period].first_chunk::<LANES>() {
        return *whole;
    }
    let mut out = [0; LANES];
    for (i, out) in out[..count].iter_mut().enumerate() {
        *out = from[(start + i) % period];
    }
    out
}
