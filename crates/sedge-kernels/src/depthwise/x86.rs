use std::arch::x86_64::*;

use super::{Depthwise, LANES, Run};
use crate::requantize::{avx2, avx512};

/// The products of 16 lanes at every tap, in two vectors of eight.
#[inline]
#[target_feature(enable = "avx2")]
fn products(
    bytes: &[u8],
    offsets: &[usize],
    (weights, lanes, lane): (&[i16], usize, usize),
) -> (__m256i, __m256i) {
    // The weights of a pair stand side by side, so the bytes are brought side by side too.
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
        let (outer, inner) = unsafe {
            let at = weights.as_ptr();
            (_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(LANES).cast()))
        };
        let (near, far) = (_mm256_unpacklo_epi16(left, right), _mm256_unpackhi_epi16(left, right));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(near, outer));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(far, inner));
    }
    (_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31))
}

#[target_feature(enable = "avx2")]
pub(super) fn avx2(
    of: &Depthwise,
    lane: usize,
    run: &Run,
    bytes: &[u8],
    offsets: &[usize],
    output: &mut [u8],
) {
    let weights = (of.weights.as_slice(), of.constants.len(), lane);
    let tables =
        [avx2::Lanes::new(&of.requantize, lane), avx2::Lanes::new(&of.requantize, lane + 8)];
    let constants = [0, 8].map(|at| avx2::load(&of.constants[lane + at..]));
    let (mut from, mut to) = (lane, lane);
    while to < output.len() {
        let room = LANES.min(output.len() - to).min(run.end - lane);
        let (first, second) = products(&bytes[from..], offsets, weights);
        let first = tables[0].apply(_mm256_add_epi32(first, constants[0]));
        let second = tables[1].apply(_mm256_add_epi32(second, constants[1]));
        avx2::store(first, second, &mut output[to..to + room]);
        from += run.read;
        to += run.written;
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
pub(super) fn vnni(
    of: &Depthwise,
    lane: usize,
    run: &Run,
    bytes: &[u8],
    offsets: &[usize],
    output: &mut [u8],
) {
    let weights = (of.weights.as_slice(), of.constants.len(), lane);
    let tables = avx512::Lanes::new(&of.requantize, lane);
    let constants = avx512::load(&of.constants[lane..]);
    let (mut from, mut to) = (lane, lane);
    while to < output.len() {
        let room = LANES.min(output.len() - to).min(run.end - lane);
        let (first, second) = products(&bytes[from..], offsets, weights);
        let sums = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
        tables.store(_mm512_add_epi32(sums, constants), &mut output[to..to + room]);
        from += run.read;
        to += run.written;
    }
}
