//! Convolution of every channel by itself.
//!
//! One output line is a run of lanes, one per pixel and channel. With stride 1 the lanes of a whole
//! line read contiguous bytes at every tap, so that few channels fill vectors as well as many;
//! weights and tables repeat along the line.

use crate::gather::{Padded, SLACK, with_padded};
use crate::requantize::{LANES, Requantize, period};
use crate::{Level, Nhwc, Threads, Window};

/// A depthwise convolution with as many output as input channels.
#[derive(Clone, Debug)]
pub struct Depthwise {
    window: Window,
    input_zero: u8,
    channels: usize,
    /// `[pair of taps][lane][2]`, the weights' zero point taken off.
    weights: Vec<i16>,
    /// Per lane bias and products with the input's zero point.
    constants: Vec<i32>,
    requantize: Requantize,
}

impl Depthwise {
    /// `weights` are signed integers as (tap, channel); see [`crate::Convolution::new`].
    ///
    /// # Panics
    /// When the lengths do not fit each other.
    pub fn new(
        window: Window,
        input_zero: u8,
        weights: &[i8],
        weight_zeros: &[i32],
        bias: Option<&[i32]>,
        requantize: Requantize,
    ) -> Self {
        let (channels, taps) = (requantize.channels, window.taps());
        assert_eq!(weights.len(), taps * channels, "weights fill the window");
        let zero = |channel: usize| {
            let index = if weight_zeros.len() == 1 { 0 } else { channel };
            weight_zeros.get(index).copied().unwrap_or(0)
        };
        let at = |tap: usize, channel: usize| {
            if tap < taps {
                i32::from(weights[tap * channels + channel]) - zero(channel)
            } else {
                0
            }
        };
        let lanes = period(channels);
        let pair = |(tap, lane): (usize, usize)| {
            [at(tap, lane % channels) as i16, at(tap + 1, lane % channels) as i16]
        };
        let constant = |lane: usize| {
            let channel = lane % channels;
            let sum: i32 = (0..taps).map(|tap| at(tap, channel)).sum();
            let bias = bias.map_or(0, |bias| bias[channel]);
            bias.wrapping_sub(sum * i32::from(input_zero))
        };
        Self {
            window,
            input_zero,
            channels,
            weights: (0..taps)
                .step_by(2)
                .flat_map(|tap| (0..lanes).map(move |lane| (tap, lane)))
                .flat_map(pair)
                .collect(),
            constants: (0..lanes).map(constant).collect(),
            requantize,
        }
    }

    /// Runs over `input`; `output` must have the size the window gives.
    ///
    /// # Panics
    /// When the lengths do not fit the shape.
    pub fn run(&self, threads: Threads, (input, shape): (&[u8], Nhwc), output: &mut [u8]) {
        assert_eq!((input.len(), shape.channels), (shape.len(), self.channels));
        let size = self.window.output([shape.height, shape.width]);
        let [height, width] = size.unwrap_or_default();
        assert_eq!(output.len(), shape.batch * height * width * self.channels);
        // A multiplication here costs about four times one of a matrix product.
        let work = 4 * output.len() * self.window.taps();
        let line_bytes = width * self.channels;
        threads.over_rows(output, line_bytes, work, |first, output| {
            let mut line = first;
            let mut rest = output;
            while !rest.is_empty() {
                let (picture, y) = (line / height, line % height);
                let lines = (height - y).min(rest.len() / line_bytes);
                let (now, later) = rest.split_at_mut(lines * line_bytes);
                let zero = self.input_zero;
                let wanted = (y, y + lines);
                with_padded((input, shape), &self.window, picture, wanted, zero, |padded| {
                    for (i, line) in now.chunks_exact_mut(line_bytes).enumerate() {
                        self.line(&padded, i * self.window.strides[0] * padded.line, line);
                    }
                });
                (rest, line) = (later, line + lines);
            }
        });
    }

    fn line(&self, padded: &Padded<'_>, start: usize, output: &mut [u8]) {
        let mut offsets = [0usize; MAX_TAPS];
        let mut many;
        let taps = self.window.taps();
        // An odd number of taps is made even by one more of weight zero.
        let even = taps.next_multiple_of(2);
        let offsets = match offsets.get_mut(..even) {
            Some(offsets) => offsets,
            None => {
                many = vec![0; even];
                &mut many[..]
            }
        };
        for (tap, offset) in offsets[..taps].iter_mut().enumerate() {
            let (i, j) = (tap / self.window.kernel[1], tap % self.window.kernel[1]);
            *offset = i * self.window.dilations[0] * padded.line
                + j * self.window.dilations[1] * self.channels;
        }
        let bytes = &padded.bytes[start..];
        if self.window.strides[1] == 1 {
            return self.run_of_lanes(bytes, offsets, output);
        }
        let step = self.window.strides[1] * self.channels;
        for (x, output) in output.chunks_exact_mut(self.channels).enumerate() {
            self.run_of_lanes(&bytes[x * step..], offsets, output);
        }
    }

    /// Results of consecutive lanes from the first channel of a pixel on.
    fn run_of_lanes(&self, bytes: &[u8], offsets: &[usize], output: &mut [u8]) {
        let lanes = self.constants.len();
        let farthest = offsets.iter().max().copied().unwrap_or(0);
        assert!(farthest + output.len() + LANES <= bytes.len() && LANES <= SLACK);
        let mut lane = 0;
        for (block, output) in output.chunks_mut(LANES).enumerate() {
            let at = block * LANES;
            let mut sums = [0; LANES];
            sums.copy_from_slice(&self.constants[lane..lane + LANES]);
            accumulate(
                self.requantize.level,
                &bytes[at..],
                offsets,
                (&self.weights, lanes, lane),
                &mut sums,
            );
            let bytes = self.requantize.block(&sums, lane);
            match output.first_chunk_mut::<LANES>() {
                Some(to) => *to = bytes,
                None => output.copy_from_slice(&bytes[..output.len()]),
            }
            lane += LANES;
            if lane == lanes {
                lane = 0;
            }
        }
    }
}

/// Taps up to which no list is allocated: 7 by 7.
const MAX_TAPS: usize = 50;

/// Adds the products of 16 lanes at every tap.
#[inline]
fn accumulate(
    level: Level,
    bytes: &[u8],
    offsets: &[usize],
    (weights, lanes, lane): (&[i16], usize, usize),
    sums: &mut [i32; LANES],
) {
    #[cfg(target_arch = "x86_64")]
    if level >= Level::Avx2 {
        // SAFETY: the level was detected on this processor.
        return unsafe { avx2::accumulate(bytes, offsets, (weights, lanes, lane), sums) };
    }
    let _ = level;
    for (pair, offsets) in offsets.as_chunks::<2>().0.iter().enumerate() {
        let [left, right] = offsets.map(|offset| &bytes[offset..][..LANES]);
        let weights = weights[(pair * lanes + lane) * 2..][..2 * LANES].as_chunks::<2>().0;
        for (i, sum) in sums.iter_mut().enumerate() {
            let products = i32::from(left[i]) * i32::from(weights[i][0])
                + i32::from(right[i]) * i32::from(weights[i][1]);
            *sum = sum.wrapping_add(products);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::LANES;

    #[target_feature(enable = "avx2")]
    pub(super) fn accumulate(
        bytes: &[u8],
        offsets: &[usize],
        (weights, lanes, lane): (&[i16], usize, usize),
        sums: &mut [i32; LANES],
    ) {
        // The weights of a pair stand side by side, so the bytes are brought side by side too;
        // that leaves four lanes of one half and four of the other in turn.
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
            let (near, far) =
                (_mm256_unpacklo_epi16(left, right), _mm256_unpackhi_epi16(left, right));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(near, outer));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(far, inner));
        }
        let first = _mm256_permute2x128_si256(low, high, 0x20);
        let second = _mm256_permute2x128_si256(low, high, 0x31);
        // SAFETY: `sums` has two vectors of eight numbers.
        unsafe {
            let at = sums.as_mut_ptr();
            let add = |at: *mut i32, more| {
                let sum = _mm256_add_epi32(_mm256_loadu_si256(at.cast()), more);
                _mm256_storeu_si256(at.cast(), sum);
            };
            add(at, first);
            add(at.add(8), second);
        }
    }
}
