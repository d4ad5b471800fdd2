use std::arch::x86_64::*;

use super::{LANES, Requantize, Tables, Tile};

/// Sixteen sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) fn load(from: &[i32]) -> __m512i {
    let from = &from[..LANES];
    // SAFETY: the slice has sixteen elements.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// The tables of sixteen lanes, in registers.
pub(crate) struct Lanes {
    fixed: bool,
    factor: __m512i,
    odd_factor: __m512i,
    left: __m512i,
    right: __m512i,
    half: __m512i,
    away: __m512i,
    zero: __m512i,
    low: __m512i,
    high: __m512i,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(crate) fn new(r: &Requantize, at: usize) -> Self {
        let none = _mm512_setzero_si512();
        let all = |value: i32| _mm512_set1_epi32(value);
        let (zero, low, high) = (all(r.zero), all(r.low), all(r.high));
        match &r.tables {
            Tables::Fixed { mantissa, left, right, half, away } => {
                let factor = load(&mantissa[at..]);
                Self {
                    fixed: true,
                    factor,
                    odd_factor: _mm512_srli_epi64(factor, 32),
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
                factor: load(bytemuck::cast_slice(&scale[at..at + LANES])),
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

    /// Writes up to 16 bytes from sums.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(crate) fn store(&self, sums: __m512i, output: &mut [u8]) {
        let value = if self.fixed {
            let sums = _mm512_sllv_epi32(sums, self.left);
            let nudge = _mm512_set1_epi64(1 << 30);
            let even = _mm512_add_epi64(_mm512_mul_epi32(sums, self.factor), nudge);
            let odd_sums = _mm512_srli_epi64(sums, 32);
            let odd = _mm512_add_epi64(_mm512_mul_epi32(odd_sums, self.odd_factor), nudge);
            let (even, odd) = (_mm512_srli_epi64(even, 31), _mm512_slli_epi64(odd, 1));
            let high = _mm512_mask_blend_epi32(0b1010_1010_1010_1010, even, odd);
            let tie = _mm512_and_si512(_mm512_srai_epi32(high, 31), self.away);
            let rounded = _mm512_add_epi32(_mm512_add_epi32(high, tie), self.half);
            _mm512_srav_epi32(rounded, self.right)
        } else {
            let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_castsi512_ps(self.factor));
            let low = _mm512_cvtepi32_ps(_mm512_sub_epi32(self.low, self.zero));
            let high = _mm512_cvtepi32_ps(_mm512_sub_epi32(self.high, self.zero));
            _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(value, low), high))
        };
        let value = _mm512_max_epi32(_mm512_add_epi32(value, self.zero), self.low);
        let bytes = _mm512_cvtepi32_epi8(_mm512_min_epi32(value, self.high));
        let room = output.len().min(LANES);
        let mask = (u32::MAX >> (32 - room)) as u16;
        // SAFETY: only as many bytes are written as there is room for.
        unsafe { _mm_mask_storeu_epi8(output.as_mut_ptr().cast(), mask, bytes) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn tile(
    r: &Requantize,
    tile: &Tile<'_>,
    lane: usize,
    (output, step, width): (&mut [u8], usize, usize),
) {
    let lanes = Lanes::new(r, lane);
    let constants = load(tile.constants);
    let Some(zeros) = tile.zeros else {
        for i in 0..tile.rows.len() {
            let sums = _mm512_add_epi32(load(&tile.sums[i * tile.stride..]), constants);
            lanes.store(sums, &mut output[i * step..][..width]);
        }
        return;
    };
    let zeros = load(zeros);
    for (i, &row_sum) in tile.rows.iter().enumerate() {
        let sums = _mm512_add_epi32(load(&tile.sums[i * tile.stride..]), constants);
        let about_zero = _mm512_mullo_epi32(zeros, _mm512_set1_epi32(row_sum));
        lanes.store(_mm512_sub_epi32(sums, about_zero), &mut output[i * step..][..width]);
    }
}
