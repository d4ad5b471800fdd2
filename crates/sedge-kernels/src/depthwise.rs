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
    /// `[pair of taps][lane][2]`, the weights' zero point taken off; the lanes of a block in
    /// [`order`].
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
        let (level, channels, taps) = (requantize.level, requantize.channels, window.taps());
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
                .flat_map(|tap| (0..lanes).map(move |lane| (tap, order(level, lane))))
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
        let farthest = offsets.iter().max().copied().unwrap_or(0);
        let stride = self.window.strides[1];
        let pixels = output.len() / self.channels;
        let read = ((pixels - 1) * stride + 1) * self.channels + farthest + LANES;
        assert!(read <= bytes.len() && LANES <= SLACK);
        let lanes = self.constants.len();
        // With stride 1 the lanes of a line follow each other and repeat after all of the tables;
        // else every pixel begins anew.
        let run = if stride == 1 {
            Run { lanes, read: lanes, written: lanes, end: output.len() }
        } else {
            let channels = self.channels;
            Run { lanes: channels, read: stride * channels, written: channels, end: channels }
        };
        for lane in (0..run.lanes).step_by(LANES) {
            self.column(lane, &run, bytes, offsets, output);
        }
    }

    /// The results of 16 lanes wherever they occur in a line.
    fn column(&self, lane: usize, run: &Run, bytes: &[u8], offsets: &[usize], output: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        match self.requantize.level {
            // SAFETY: the level was detected on this processor.
            Level::Vnni => return unsafe { x86::vnni(self, lane, run, bytes, offsets, output) },
            // SAFETY: the level was detected on this processor.
            Level::Avx2 => return unsafe { x86::avx2(self, lane, run, bytes, offsets, output) },
            Level::Portable => {}
        }
        let lanes = self.constants.len();
        run.each(lane, output, |from, output| {
            let mut sums = [0; LANES];
            sums.copy_from_slice(&self.constants[lane..lane + LANES]);
            for (pair, offsets) in offsets.as_chunks::<2>().0.iter().enumerate() {
                let [left, right] = offsets.map(|at| &bytes[at + from..][..LANES]);
                let weights = &self.weights[(pair * lanes + lane) * 2..][..2 * LANES];
                let weights = weights.as_chunks::<2>().0;
                for (i, (sum, weights)) in sums.iter_mut().zip(weights).enumerate() {
                    let products = i32::from(left[i]) * i32::from(weights[0])
                        + i32::from(right[i]) * i32::from(weights[1]);
                    *sum = sum.wrapping_add(products);
                }
            }
            let bytes = self.requantize.block(&sums, lane);
            output.copy_from_slice(&bytes[..output.len()]);
        });
    }
}

/// The lane whose weights stand at a place. Bytes that are brought side by side with AVX2 leave
/// four lanes of one half and four of the other in turn, and so do the weights.
fn order(level: Level, place: usize) -> usize {
    match (level, place % LANES) {
        (Level::Portable, _) | (_, 0..4 | 12..) => place,
        (_, 4..8) => place + 4,
        _ => place - 4,
    }
}

/// Where the lanes of a line lie.
struct Run {
    /// Lanes after which they repeat.
    lanes: usize,
    /// Bytes read from one repetition to the next.
    read: usize,
    /// Bytes written from one repetition to the next.
    written: usize,
    /// Bytes of a repetition that are results.
    end: usize,
}

impl Run {
    /// Calls `act(first_byte_read, output)` for every occurrence of a block of lanes.
    #[inline]
    fn each(&self, lane: usize, output: &mut [u8], mut act: impl FnMut(usize, &mut [u8])) {
        let (mut from, mut to) = (lane, lane);
        while to < output.len() {
            let room = LANES.min(output.len() - to).min(self.end - lane);
            act(from, &mut output[to..to + room]);
            from += self.read;
            to += self.written;
        }
    }
}

/// Taps up to which no list is allocated: 7 by 7.
const MAX_TAPS: usize = 50;

#[cfg(target_arch = "x86_64")]
mod x86;
