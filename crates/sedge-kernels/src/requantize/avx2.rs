use std::arch::x86_64::*;

use super::{LANES, Requantize, Tables, Tile};

/// Eight sums.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load(from: &[i32]) -> __m256i {
    let from = &from[..8];
    // SAFETY: the slice has eight elements.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// The tables of eight lanes, in registers.
pub(crate) struct Lanes {
    fixed: bool,
    factor: __m256i,
    odd_factor: __m256i,
    left: __m256i,
    right: __m256i,
    half: __m256i,
    away: __m256i,
    zero: __m256i,
    low: __m256i,
    high: __m256i,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn new(r: &Requantize, at: usize) -> Self {
        let none = _mm256_setzero_si256();
        let all = |value: i32| _mm256_set1_epi32(value);
        let (zero, low, high) = (all(r.zero), all(r.low), all(r.high));
        match &r.tables {
            Tables::Fixed { mantissa, left, right, half, away } => {
                let factor = load(&mantissa[at..]);
                Self {
                    fixed: true,
                    factor,
                    odd_factor: _mm256_srli_epi64(factor, 32),
                    left: load(&left[at..]),
                    right: load(&right[at..]),
                    half: load(&half[at..]),
                    away: load(&away[at..]),
                    zero,
                    low,
                    high,
                }
            }
            Tables::Float { scale } => Self {
                fixed: false,
                factor: load(bytemuck::cast_slice(&scale[at..at + 8])),
                odd_factor: none,
                left: none,
                right: none,
                half: none,
                away: none,
                zero,
                low,
                high,
            },
        }
    }

    /// Results before they are narrowed to bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn apply(&self, sums: __m256i) -> __m256i {
        let value = if self.fixed {
            let sums = _mm256_sllv_epi32(sums, self.left);
            let nudge = _mm256_set1_epi64x(1 << 30);
            let even = _mm256_add_epi64(_mm256_mul_epi32(sums, self.factor), nudge);
            let odd_sums = _mm256_srli_epi64(sums, 32);
            let odd = _mm256_add_epi64(_mm256_mul_epi32(odd_sums, self.odd_factor), nudge);
            let (even, odd) = (_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1));
            let high = _mm256_blend_epi32(even, odd, 0b1010_1010);
            let tie = _mm256_and_si256(_mm256_srai_epi32(high, 31), self.away);
            let rounded = _mm256_add_epi32(_mm256_add_epi32(high, tie), self.half);
            _mm256_srav_epi32(rounded, self.right)
        } else {
            let value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_castsi256_ps(self.factor));
            let low = _mm256_cvtepi32_ps(_mm256_sub_epi32(self.low, self.zero));
            let high = _mm256_cvtepi32_ps(_mm256_sub_epi32(self.high, self.zero));
            _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(value, low), high))
        };
        let value = _mm256_max_epi32(_mm256_add_epi32(value, self.zero), self.low);
        _mm256_min_epi32(value, self.high)
    }
}

/// Writes up to 16 bytes from two vectors of results.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store(first: __m256i, second: __m256i, output: &mut [u8]) {
    let words = _mm256_permute4x64_epi64(_mm256_packs_epi32(first, second), 0xd8);
    let bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0xd8);
    let bytes = _mm256_castsi256_si128(bytes);
    if let Some(to) = output.first_chunk_mut::<LANES>() {
        // SAFETY: there is room for the 16 bytes.
        return unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), bytes) };
    }
    let mut all = [0u8; LANES];
    // SAFETY: there is room for the 16 bytes.
    unsafe { _mm_storeu_si128(all.as_mut_ptr().cast(), bytes) };
    output.copy_from_slice(&all[..output.len()]);
}

#[target_feature(enable = "avx2")]
pub(super) fn tile(
    r: &Requantize,
    tile: &Tile<'_>,
    lane: usize,
    (output, step, width): (&mut [u8], usize, usize),
) {
    let lanes = [Lanes::new(r, lane), Lanes::new(r, lane + 8)];
    let none = [0; LANES];
    let zeros = tile.zeros.unwrap_or(&none);
    for (i, &row_sum) in tile.rows.iter().enumerate() {
        let row_sum = _mm256_set1_epi32(row_sum);
        let [first, second] = [0, 8].map(|at| {
            let sums = load(&tile.sums[i * tile.stride + at..]);
            let sums = _mm256_add_epi32(sums, load(&tile.constants[at..]));
            let about_zero = _mm256_mullo_epi32(load(&zeros[at..]), row_sum);
            lanes[at / 8].apply(_mm256_sub_epi32(sums, about_zero))
        });
        store(first, second, &mut output[i * step..][..width]);
    }
}
