//! From 32-bit sums of products back to bytes.

use crate::Level;
use crate::fixed_point::{Multiplier, high_product};

/// Whose rounding a requantisation follows.
///
/// Sources: TensorFlow Lite's builtin kernels without XNNPACK (what each does was found by
/// comparing with LiteRT 2.3 on x86-64, halfway cases included), and onnxruntime's
/// `MlasRequantizeOutput` in `core/mlas/lib/quantize.cpp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// TensorFlow Lite's matrix kernels: fixed point, both roundings half up.
    FixedUp,
    /// TensorFlow Lite's plain kernels: fixed point, the second rounding half away from zero.
    FixedAway,
    /// TensorFlow Lite's depthwise convolution per channel: whole groups of eight channels as
    /// [`Rounding::FixedUp`], the rest as [`Rounding::FixedAway`].
    FixedUpByEight,
    /// TensorFlow Lite's mean of pictures: the same in groups of sixteen.
    FixedUpBySixteen,
    /// onnxruntime: a float product, rounded half to even.
    Float,
}

/// The arithmetic of one channel in numbers, for who computes it by other means: a sum times
/// `factor` in steps of the result, rounded to `2^-bits`, ties up, and then to whole ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedPoint {
    /// Steps of the result for one of the sum: 31 bits of mantissa, so that a double holds it.
    pub factor: f64,
    /// Binary digits that the first rounding leaves.
    pub bits: u32,
    /// The second rounding's ties go away from zero, else up.
    pub away: bool,
}

/// Lanes of a block; all tables are padded to whole blocks.
pub(crate) const LANES: usize = 16;

/// Sums of products of some rows, 16 lanes each.
pub(crate) struct Tile<'a> {
    /// The first row's sums are the first 16.
    pub(crate) sums: &'a [i32],
    /// Sums from row to row.
    pub(crate) stride: usize,
    /// What is added to each lane.
    pub(crate) constants: &'a [i32; LANES],
    /// What a row's own sum is multiplied with and taken off each lane.
    pub(crate) zeros: Option<&'a [i32; LANES]>,
    /// The rows' own sums.
    pub(crate) rows: &'a [i32],
}

/// Turns the sums of one pixel's channels into bytes.
#[derive(Clone, Debug)]
pub struct Requantize {
    pub(crate) level: Level,
    pub(crate) channels: usize,
    tables: Tables,
    zero: i32,
    low: i32,
    high: i32,
}

/// One entry per lane; the channels are repeated until they fill whole blocks.
#[derive(Clone, Debug)]
enum Tables {
    Fixed {
        mantissa: Vec<i32>,
        left: Vec<i32>,
        right: Vec<i32>,
        /// Half of what is shifted out.
        half: Vec<i32>,
        /// All ones where ties go away from zero.
        away: Vec<i32>,
    },
    Float {
        scale: Vec<f32>,
    },
}

/// A sum in steps of the result.
#[inline(always)]
fn scaled(sum: i32, [mantissa, left, right, half, away]: [i32; 5]) -> i32 {
    let high = high_product(sum << left, mantissa);
    let tie = (high >> 31) & away;
    high.wrapping_add(tie).wrapping_add(half) >> right
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Lanes after which channels and blocks begin together.
pub(crate) fn period(channels: usize) -> usize {
    channels / greatest_common_divisor(channels, LANES).max(1) * LANES
}

/// The entry of a lane in a list of one or one per channel.
fn at<T: Copy + Default>(list: &[T], lane: usize, channels: usize) -> T {
    let channel = if list.len() == 1 { 0 } else { lane % channels };
    list.get(channel).copied().unwrap_or_default()
}

impl Requantize {
    /// `factors` has one real factor for all channels, or one for each. Results are limited to
    /// `[low, high]` after `zero` is added.
    pub fn new(
        level: Level,
        rounding: Rounding,
        channels: usize,
        factors: &[f64],
        zero: u8,
        (low, high): (u8, u8),
    ) -> Self {
        let (zero, limits) = (i32::from(zero), (low, high));
        if rounding == Rounding::Float {
            let scale = (0..period(channels)).map(|lane| at(factors, lane, channels) as f32);
            let tables = Tables::Float { scale: scale.collect() };
            let (low, high) = (low.into(), high.into());
            return Self { level, channels, tables, zero, low, high };
        }
        let multipliers: Vec<Multiplier> = factors.iter().map(|&f| Multiplier::new(f)).collect();
        Self::of_multipliers(level, rounding, channels, &multipliers, zero, limits)
    }

    /// The same with factors that are fixed-point numbers already.
    pub(crate) fn of_multipliers(
        level: Level,
        rounding: Rounding,
        channels: usize,
        factors: &[Multiplier],
        zero: i32,
        (low, high): (u8, u8),
    ) -> Self {
        let multipliers: Vec<Multiplier> =
            (0..period(channels)).map(|lane| at(factors, lane, channels)).collect();
        let right = |m: &Multiplier| (-m.shift).max(0);
        let is_away = |lane: usize| match rounding {
            Rounding::FixedUp => false,
            Rounding::FixedUpByEight => lane % channels >= channels / 8 * 8,
            Rounding::FixedUpBySixteen => lane % channels >= channels / 16 * 16,
            _ => true,
        };
        let away =
            |(lane, m): (usize, &Multiplier)| if is_away(lane) && right(m) > 0 { -1 } else { 0 };
        let half = |m: &Multiplier| match right(m) {
            0 => 0,
            by => 1i32.wrapping_shl(by as u32 - 1),
        };
        let tables = Tables::Fixed {
            mantissa: multipliers.iter().map(|m| m.mantissa).collect(),
            left: multipliers.iter().map(|m| m.shift.max(0)).collect(),
            right: multipliers.iter().map(right).collect(),
            half: multipliers.iter().map(half).collect(),
            away: multipliers.iter().enumerate().map(away).collect(),
        };
        let (low, high) = (low.into(), high.into());
        Self { level, channels, tables, zero, low, high }
    }

    /// The same with an offset that need not be a byte in place of the zero point.
    pub(crate) fn with_offset(self, zero: i32) -> Self {
        Self { zero, ..self }
    }

    /// The channels that sums belong to in turn.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// What is added after scaling, and the limits of the result.
    pub fn offset_and_limits(&self) -> (i32, (i32, i32)) {
        (self.zero, (self.low, self.high))
    }

    /// The arithmetic of a channel; `None` where it is onnxruntime's and for channels there are not.
    pub fn fixed_point(&self, channel: usize) -> Option<FixedPoint> {
        let Tables::Fixed { mantissa, left, right, away, .. } = &self.tables else { return None };
        let (&mantissa, &right) = (mantissa.get(channel)?, right.get(channel)?);
        let factor = f64::from(mantissa) * f64::from(left[channel] - right - 31).exp2();
        Some(FixedPoint { factor, bits: right as u32, away: away[channel] != 0 })
    }

    /// The byte of one sum. [`crate::Convolution`] and others turn 16 at a time.
    ///
    /// # Panics
    /// When there is no such channel.
    pub fn byte(&self, sum: i32, channel: usize) -> u8 {
        match &self.tables {
            Tables::Fixed { mantissa, left, right, half, away } => {
                let of = [mantissa, left, right, half, away].map(|table| table[channel]);
                scaled(sum, of).wrapping_add(self.zero).clamp(self.low, self.high) as u8
            }
            Tables::Float { .. } => {
                let mut sums = [0; LANES];
                sums[channel % LANES] = sum;
                self.portable(&sums, channel / LANES * LANES)[channel % LANES]
            }
        }
    }

    /// Lanes of the tables.
    pub(crate) fn period(&self) -> usize {
        period(self.channels)
    }

    /// Bytes of a block of sums whose first is that of lane `lane`, a multiple of 16 below
    /// [`Requantize::period`].
    pub(crate) fn block(&self, sums: &[i32; LANES], lane: usize) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        let tile = Tile { sums, stride: LANES, constants: &[0; LANES], zeros: None, rows: &[0] };
        self.tile(&tile, lane, (&mut bytes, LANES, LANES));
        bytes
    }

    /// Bytes of one block of lanes for several rows; `output` is memory from the first row's
    /// first byte on, the bytes from row to row, and the lanes that are wanted.
    pub(crate) fn tile(&self, tile: &Tile<'_>, lane: usize, output: (&mut [u8], usize, usize)) {
        #[cfg(target_arch = "x86_64")]
        match self.level {
            // SAFETY: the level was detected on this processor.
            Level::Vnni => return unsafe { avx512::tile(self, tile, lane, output) },
            // SAFETY: the level was detected on this processor.
            Level::Avx2 => return unsafe { avx2::tile(self, tile, lane, output) },
            Level::Portable => {}
        }
        let (output, step, width) = output;
        for (i, &row_sum) in tile.rows.iter().enumerate() {
            let mut sums = [0; LANES];
            sums.copy_from_slice(&tile.sums[i * tile.stride..][..LANES]);
            for (lane, sum) in sums.iter_mut().enumerate() {
                let zero = tile.zeros.map_or(0, |zeros| zeros[lane]);
                *sum =
                    sum.wrapping_add(tile.constants[lane]).wrapping_sub(zero.wrapping_mul(row_sum));
            }
            let bytes = self.portable(&sums, lane);
            output[i * step..][..width].copy_from_slice(&bytes[..width]);
        }
    }

    fn portable(&self, sums: &[i32; LANES], lane: usize) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        match &self.tables {
            Tables::Fixed { mantissa, left, right, half, away } => {
                for (i, byte) in bytes.iter_mut().enumerate() {
                    let at = lane + i;
                    let of = [mantissa[at], left[at], right[at], half[at], away[at]];
                    let value = scaled(sums[i], of);
                    *byte = value.wrapping_add(self.zero).clamp(self.low, self.high) as u8;
                }
            }
            Tables::Float { scale } => {
                let (low, high) = self.float_limits();
                for (i, byte) in bytes.iter_mut().enumerate() {
                    let value = (sums[i] as f32 * scale[lane + i]).clamp(low, high);
                    *byte = (value.round_ties_even() as i32 + self.zero) as u8;
                }
            }
        }
        bytes
    }

    /// The limits before the zero point is added.
    fn float_limits(&self) -> (f32, f32) {
        ((self.low - self.zero) as f32, (self.high - self.zero) as f32)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_level_rounds_alike(
            sums in prop::array::uniform16(-(1i32 << 30)..1 << 30),
            factors in prop::collection::vec(1e-9f64..0.9, 5),
            kind in 0..4,
            zero: u8,
        ) {
            let rounding = [
                Rounding::FixedUp,
                Rounding::FixedAway,
                Rounding::FixedUpByEight,
                Rounding::Float,
            ][kind as usize];
            let at = |level| {
                let r = Requantize::new(level, rounding, 5, &factors, zero, (3, 250));
                [0, 16, 64].map(|lane| r.block(&sums, lane))
            };
            let want = at(Level::Portable);
            for level in Level::available() {
                prop_assert_eq!(at(level), want);
            }
        }
    }
}
