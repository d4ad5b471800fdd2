//! Averages and maxima over windows.

use crate::fixed_point::Multiplier;
use crate::requantize::{LANES, Requantize};
use crate::{Affine, Level, Nhwc, Rounding, Threads, Window};

/// Channels taken together, so that their sums stay in registers.
const GROUP: usize = 32;

/// Calls `act(taps, channels, output)` for groups of channels of every result; `taps` are the
/// places in the input of the window's pixels that are inside the picture.
fn over_windows(
    threads: Threads,
    shape: Nhwc,
    window: &Window,
    output: &mut [u8],
    act: impl Fn(&[usize], &mut [u8]) + Sync,
) {
    let c = shape.channels;
    let [height, width] = window.output([shape.height, shape.width]).unwrap_or_default();
    assert_eq!(output.len(), shape.batch * height * width * c);
    let work = output.len() * window.taps();
    threads.over_rows(output, width * c, work, |first, output| {
        let mut taps = Vec::with_capacity(window.taps());
        for (i, line) in output.chunks_exact_mut(width * c).enumerate() {
            let (picture, y) = ((first + i) / height, (first + i) % height);
            let (top, bottom) = window.inside(0, y, shape.height);
            for (x, pixel) in line.chunks_exact_mut(c).enumerate() {
                let (left, right) = window.inside(1, x, shape.width);
                taps.clear();
                for i in top..bottom {
                    let line = window.start(0, y) + (i * window.dilations[0]) as isize;
                    for j in left..right {
                        let column = window.start(1, x) + (j * window.dilations[1]) as isize;
                        let line = picture * shape.height + line as usize;
                        taps.push((line * shape.width + column as usize) * c);
                    }
                }
                for (group, pixel) in pixel.chunks_mut(GROUP).enumerate() {
                    taps.iter_mut().for_each(|tap| *tap += if group == 0 { 0 } else { GROUP });
                    act(&taps, pixel);
                }
            }
        }
    });
}

/// The greatest byte of every window.
///
/// # Panics
/// When the lengths do not fit the shape.
pub fn max_pool(
    threads: Threads,
    (input, shape): (&[u8], Nhwc),
    window: &Window,
    output: &mut [u8],
) {
    assert_eq!(input.len(), shape.len());
    over_windows(threads, shape, window, output, |taps, output| {
        output.fill(0);
        for &tap in taps {
            let from = &input[tap..][..output.len()];
            output.iter_mut().zip(from).for_each(|(to, from)| *to = (*to).max(*from));
        }
    });
}

/// The average of every window.
///
/// TensorFlow Lite averages the integers and rounds ties away from zero (`AveragePool` in
/// `tensorflow/lite/kernels/internal/optimized`); onnxruntime averages dequantised floats
/// (`contrib_ops/cpu/quantization/qlinear_pool.cc`).
#[derive(Clone, Copy, Debug)]
pub struct Average {
    /// Whose arithmetic.
    pub rounding: Rounding,
    /// Meaning of the input.
    pub from: Affine,
    /// Meaning of the result; TensorFlow Lite's is the input's.
    pub to: Affine,
    /// Counts pixels outside the picture too, as zeros.
    pub with_padding: bool,
    /// What an activation leaves of the result.
    pub limits: (u8, u8),
}

impl Average {
    /// Runs over `input`; `output` must have the size the window gives.
    ///
    /// # Panics
    /// When the lengths do not fit the shape.
    pub fn run(
        &self,
        threads: Threads,
        (input, shape): (&[u8], Nhwc),
        window: &Window,
        output: &mut [u8],
    ) {
        assert_eq!(input.len(), shape.len());
        let (from, (low, high)) = (self.from, self.limits);
        over_windows(threads, shape, window, output, |taps, output| {
            let all = if self.with_padding { window.taps() } else { taps.len() };
            if self.rounding == Rounding::Float {
                let mut sums = [0f32; GROUP];
                for &tap in taps {
                    let bytes = &input[tap..][..output.len()];
                    sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += from.real(byte));
                }
                let zero = self.to.raw_zero() as f32;
                for (to, sum) in output.iter_mut().zip(sums) {
                    let raw = (sum / all as f32 / self.to.scale + zero).round_ties_even();
                    *to = self.to.offset(raw - zero).clamp(low, high);
                }
                return;
            }
            let mut sums = [0i32; GROUP];
            for &tap in taps {
                let bytes = &input[tap..][..output.len()];
                sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += i32::from(byte));
            }
            let count = (all as i32).max(1);
            let shift = if from.signed { 128 } else { 0 };
            for (to, sum) in output.iter_mut().zip(sums) {
                let sum = sum - shift * taps.len() as i32;
                let half = if sum > 0 { count / 2 } else { -(count / 2) };
                *to = ((sum + half) / count + shift).clamp(low.into(), high.into()) as u8;
            }
        });
    }
}

/// TensorFlow Lite's MEAN over height and width, in fixed point.
///
/// With its dimensions kept, the sum is scaled and the zero points are settled in whole steps
/// (`MeanImpl` in `tensorflow/lite/kernels/internal/optimized/optimized_ops.h`); else zero points
/// are taken off first and the multiplier is divided (`EvalMeanReferenceOps` in
/// `tensorflow/lite/kernels/reduce.cc`). What they do with ties was found by comparing with LiteRT.
#[derive(Clone, Debug)]
pub struct Mean {
    requantize: Requantize,
    /// What a picture's sum of bytes begins with.
    start: i32,
    pixels: usize,
}

impl Mean {
    /// Averages `pixels` pixels of `channels` channels.
    pub fn new(
        level: Level,
        (pixels, channels): (usize, usize),
        keeps_dimensions: bool,
        from: Affine,
        to: Affine,
    ) -> Self {
        let ratio = f64::from(from.scale) / f64::from(to.scale);
        let count = pixels.max(1) as i32;
        let new = |rounding, factor: Multiplier| {
            Requantize::of_multipliers(level, rounding, channels, &[factor], 0, (0, 255))
        };
        if keeps_dimensions {
            let zeros = (f64::from(from.raw_zero()) * ratio).round() as i32;
            let bias = to.raw_zero().saturating_sub(zeros);
            let shift = if to.signed { 128 } else { 0 };
            let factor = Multiplier::new(ratio / f64::from(count));
            let requantize =
                new(Rounding::FixedUpBySixteen, factor).with_offset(bias.saturating_add(shift));
            let start = if from.signed { -128 * count } else { 0 };
            return Self { requantize, start, pixels };
        }
        let whole = Multiplier::new(ratio);
        let by = count.ilog2().min(31u32.saturating_add_signed(whole.shift));
        let mantissa = ((i64::from(whole.mantissa) << by) / i64::from(count)) as i32;
        let factor = Multiplier { mantissa, shift: whole.shift - by as i32 };
        let requantize = new(Rounding::FixedAway, factor).with_offset(to.zero.into());
        Self { requantize, start: -i32::from(from.zero) * count, pixels }
    }

    /// What a picture's sum of bytes begins with, and what it goes through.
    pub fn arithmetic(&self) -> (i32, &Requantize) {
        (self.start, &self.requantize)
    }

    /// Runs over pictures of `channels` channels, one result pixel each.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        let channels = self.requantize.channels;
        let pictures = input.chunks_exact(self.pixels * channels);
        for (input, output) in pictures.zip(output.chunks_exact_mut(channels)) {
            for (block, output) in output.chunks_mut(LANES).enumerate() {
                let mut sums = [self.start; LANES];
                for pixel in input.chunks_exact(channels) {
                    let bytes = &pixel[block * LANES..][..output.len()];
                    sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += i32::from(byte));
                }
                let lane = block * LANES % self.requantize.period();
                let bytes = self.requantize.block(&sums, lane);
                output.copy_from_slice(&bytes[..output.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_that_are_far_apart_overflow_nowhere() {
        let of = |scale: f32, zero: u8, signed: bool| Affine { scale, zero, signed };
        for (from, to) in [
            (of(1e30, 255, false), of(1e-30, 0, true)),
            (of(1e30, 0, true), of(1e-30, 255, false)),
            (of(1e-30, 255, false), of(1e30, 0, true)),
        ] {
            for keeps_dimensions in [false, true] {
                let mean = Mean::new(Level::Portable, (4, 1), keeps_dimensions, from, to);
                mean.run(&[0, 255, 3, 7], &mut [0]);
            }
        }
    }
}
