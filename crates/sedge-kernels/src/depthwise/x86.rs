use std::arch::x86_64::*;

use super::{Depthwise, LANES};
use crate::requantize::{avx2, avx512};

/// The products of 16 lanes at every tap, in two vectors of eight.
#[inline]
#[target_feature(enable = "avx2")]
fn products(
    bytes: &[u8],
    offsets: &[usize],
    (weights, lanes, lane): (&[i16], usize, usize),
) -> (__m256i, __m256i) {
    // The weights of a pair stand side by side, so the bytes are brought side by side too; that
    // leaves four lanes of one half and four of the other in turn.
    let mut low = _mm256_setzero_si256();
    let mut high = _mm256_setzero_si256();
    for (pair, offsets) in offsets.as_chunks::<2>().0.iter().enumerate() {
        let [left, right] = offsets.map(|offset| {
            let from = &bytes[offset..][..LANES];
            // SAFETY: the slice has sixteen bytes.
            _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
        });
        let weights = &weights[(pair * lanes + lane) * 2..][..2 * LANES];
        // SAFETY: the slice has two vectors of sixteen numbers.
        let (first, second) = unsafe {
            let at = weights.as_ptr();
            (_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(LANES).cast()))
        };
        // Weights of lanes 0-3 and 8-11, then of 4-7 and 12-15, as the unpacked bytes are.
        let outer = _mm256_permute2x128_si256(first, second, 0x20);
        let inner = _mm256_permute2x128_si256(first, second, 0x31);
        let (near, far) = (_mm256_unpacklo_epi16(left, right), _mm256_unpackhi_epi16(left, right));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(near, outer));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(far, inner));
    }
    (_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31))
}

#[target_feature(enable = "avx2")]
pub(super) fn run_avx2(of: &Depthwise, bytes: &[u8], offsets: &[usize], output: &mut [u8]) {
    let lanes = of.constants.len();
    let mut lane = 0;
    for (block, output) in output.chunks_mut(LANES).enumerate() {
        let weights = (of.weights.as_slice(), lanes, lane);
        let (first, second) = products(&bytes[block * LANES..], offsets, weights);
        let constants = &of.constants[lane..lane + LANES];
        // SAFETY: the slice has two vectors of eight numbers.
        let (low, high) = unsafe {
            let at = constants.as_ptr();
            (_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(8).cast()))
        };
        let first = avx2::Lanes::new(&of.requantize, lane).apply(_mm256_add_epi32(first, low));
        let second =
            avx2::Lanes::new(&of.requantize, lane + 8).apply(_mm256_add_epi32(second, high));
        avx2::store(first, second, output);
        lane = if lane + LANES == lanes { 0 } else { lane + LANES };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
pub(super) fn run_vnni(of: &Depthwise, bytes: &[u8], offsets: &[usize], output: &mut [u8]) {
    let lanes = of.constants.len();
    let mut lane = 0;
    for (block, output) in output.chunks_mut(LANES).enumerate() {
        let weights = (of.weights.as_slice(), lanes, lane);
        let (first, second) = products(&bytes[block * LANES..], offsets, weights);
        let sums = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
        let sums = _mm512_add_epi32(sums, avx512::load(&of.constants[lane..]));
        avx512::Lanes::new(&of.requantize, lane).store(sums, output);
        lane = if lane + LANES == lanes { 0 } else { lane + LANES };
    }
}
