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

/// Lanes of a block; all tables are padded to whole blocks.
pub(crate) const LANES: usize = 16;

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

    /// Lanes of the tables.
    pub(crate) fn period(&self) -> usize {
        period(self.channels)
    }

    /// Bytes of a block of sums whose first is that of lane `lane`, a multiple of 16 below
    /// [`Requantize::period`].
    #[inline]
    pub(crate) fn block(&self, sums: &[i32; LANES], lane: usize) -> [u8; LANES] {
        #[cfg(target_arch = "x86_64")]
        match self.level {
            // SAFETY: the level was detected on this processor.
            Level::Vnni => return unsafe { avx512::block(self, sums, lane) },
            // SAFETY: the level was detected on this processor.
            Level::Avx2 => return unsafe { avx2::block(self, sums, lane) },
            Level::Portable => {}
        }
        self.portable(sums, lane)
    }

    fn portable(&self, sums: &[i32; LANES], lane: usize) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        match &self.tables {
            Tables::Fixed { mantissa, left, right, half, away } => {
                for (i, byte) in bytes.iter_mut().enumerate() {
                    let at = lane + i;
                    let high = high_product(sums[i] << left[at], mantissa[at]);
                    let tie = (high >> 31) & away[at];
                    let value = high.wrapping_add(tie).wrapping_add(half[at]) >> right[at];
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
mod avx2 {
    use std::arch::x86_64::*;

    use super::{LANES, Requantize, Tables};

    #[target_feature(enable = "avx2")]
    pub(super) fn block(r: &Requantize, sums: &[i32; LANES], lane: usize) -> [u8; LANES] {
        let [low, high] = [0, 8].map(|i| half(r, load(&sums[i..]), lane + i));
        let words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
        let bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0xd8);
        let mut out = [0; LANES];
        // SAFETY: `out` has room for the 16 bytes.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm256_castsi256_si128(bytes)) };
        out
    }

    #[target_feature(enable = "avx2")]
    fn load(from: &[i32]) -> __m256i {
        let from = &from[..8];
        // SAFETY: the slice has eight elements.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn half(r: &Requantize, sums: __m256i, at: usize) -> __m256i {
        let value = match &r.tables {
            Tables::Fixed { mantissa, left, right, half, away } => {
                let sums = _mm256_sllv_epi32(sums, load(&left[at..]));
                let factor = load(&mantissa[at..]);
                let nudge = _mm256_set1_epi64x(1 << 30);
                let even = _mm256_add_epi64(_mm256_mul_epi32(sums, factor), nudge);
                let (odd_sums, odd_factor) =
                    (_mm256_srli_epi64(sums, 32), _mm256_srli_epi64(factor, 32));
                let odd = _mm256_add_epi64(_mm256_mul_epi32(odd_sums, odd_factor), nudge);
                let high = _mm256_blend_epi32(
                    _mm256_srli_epi64(even, 31),
                    _mm256_slli_epi64(odd, 1),
                    0b1010_1010,
                );
                let tie = _mm256_and_si256(_mm256_srai_epi32(high, 31), load(&away[at..]));
                let rounded = _mm256_add_epi32(_mm256_add_epi32(high, tie), load(&half[at..]));
                _mm256_srav_epi32(rounded, load(&right[at..]))
            }
            Tables::Float { scale } => {
                let scale = &scale[at..at + 8];
                // SAFETY: the slice has eight elements.
                let scale = unsafe { _mm256_loadu_ps(scale.as_ptr()) };
                let (low, high) = r.float_limits();
                let value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale);
                let value = _mm256_max_ps(value, _mm256_set1_ps(low));
                _mm256_cvtps_epi32(_mm256_min_ps(value, _mm256_set1_ps(high)))
            }
        };
        let value = _mm256_add_epi32(value, _mm256_set1_epi32(r.zero));
        let value = _mm256_max_epi32(value, _mm256_set1_epi32(r.low));
        _mm256_min_epi32(value, _mm256_set1_epi32(r.high))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{LANES, Requantize, Tables};

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(super) fn block(r: &Requantize, sums: &[i32; LANES], lane: usize) -> [u8; LANES] {
        let bytes = _mm512_cvtepi32_epi8(values(r, load(sums), lane));
        let mut out = [0; LANES];
        // SAFETY: `out` has room for the 16 bytes.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
        out
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn load(from: &[i32]) -> __m512i {
        let from = &from[..LANES];
        // SAFETY: the slice has sixteen elements.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn values(r: &Requantize, sums: __m512i, at: usize) -> __m512i {
        let value = match &r.tables {
            Tables::Fixed { mantissa, left, right, half, away } => {
                let sums = _mm512_sllv_epi32(sums, load(&left[at..]));
                let factor = load(&mantissa[at..]);
                let nudge = _mm512_set1_epi64(1 << 30);
                let even = _mm512_add_epi64(_mm512_mul_epi32(sums, factor), nudge);
                let (odd_sums, odd_factor) =
                    (_mm512_srli_epi64(sums, 32), _mm512_srli_epi64(factor, 32));
                let odd = _mm512_add_epi64(_mm512_mul_epi32(odd_sums, odd_factor), nudge);
                let high = _mm512_mask_blend_epi32(
                    0b1010_1010_1010_1010,
                    _mm512_srli_epi64(even, 31),
                    _mm512_slli_epi64(odd, 1),
                );
                let tie = _mm512_and_si512(_mm512_srai_epi32(high, 31), load(&away[at..]));
                let rounded = _mm512_add_epi32(_mm512_add_epi32(high, tie), load(&half[at..]));
                _mm512_srav_epi32(rounded, load(&right[at..]))
            }
            Tables::Float { scale } => {
                let scale = &scale[at..at + LANES];
                // SAFETY: the slice has sixteen elements.
                let scale = unsafe { _mm512_loadu_ps(scale.as_ptr()) };
                let (low, high) = r.float_limits();
                let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale);
                let value = _mm512_max_ps(value, _mm512_set1_ps(low));
                _mm512_cvtps_epi32(_mm512_min_ps(value, _mm512_set1_ps(high)))
            }
        };
        let value = _mm512_add_epi32(value, _mm512_set1_epi32(r.zero));
        let value = _mm512_max_epi32(value, _mm512_set1_epi32(r.low));
        _mm512_min_epi32(value, _mm512_set1_epi32(r.high))
    }
}

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
