//! Pillow's arithmetic. The facts (formulas, order of operations, constants) are those of Pillow 13,
//! `src/libImaging/Resample.c` and `Geometry.c`; no code is taken from there.

use std::f64::consts::PI;

use super::{Span, Window, pick};

mod row;

use row::RowPass;

/// Fraction bits of a weight: `32 - 8 - 2`, as in Resample.c.
const PRECISION_BITS: u32 = 22;
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// A resampling kernel: its half width in pixels of the coarser grid, and its value.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    support: f64,
    value: fn(f64) -> f64,
}

pub(super) const BILINEAR: Kernel = Kernel { support: 1.0, value: triangle };
pub(super) const BICUBIC: Kernel = Kernel { support: 2.0, value: bicubic };
pub(super) const LANCZOS: Kernel = Kernel { support: 3.0, value: lanczos };

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// For every wanted result pixel of one axis: which source pixels it takes, with which weights.
struct Weights {
    ranges: Vec<(usize, usize)>,
    /// `stride` weights for each range, the unused ones zero.
    values: Vec<i32>,
    stride: usize,
}

impl Weights {
    fn new(span: Span, kernel: Kernel) -> Self {
        let scale = span.source as f64 / span.full as f64;
        let filter_scale = scale.max(1.0);
        let support = kernel.support * filter_scale;
        let stride = (support.ceil() as usize * 2 + 1).min(span.source);
        let step = 1.0 / filter_scale;
        let mut ranges = Vec::with_capacity(span.length);
        let mut values = vec![0; span.length * stride];
        let mut exact = Vec::with_capacity(stride);
        for (index, out) in
            (span.start..span.start + span.length).zip(values.chunks_exact_mut(stride))
        {
            let center = (index as f64 + 0.5) * scale;
            // `as usize` cuts towards zero and takes negatives to zero, as Pillow does.
            let start = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(span.source);
            exact.clear();
            exact.extend((start..end).map(|x| (kernel.value)((x as f64 - center + 0.5) * step)));
            let sum: f64 = exact.iter().sum();
            for (weight, out) in exact.iter().zip(out) {
                let weight = if sum == 0.0 { *weight } else { weight / sum };
                let fixed = weight * f64::from(1 << PRECISION_BITS);
                *out = (if weight < 0.0 { fixed - 0.5 } else { fixed + 0.5 }) as i32;
            }
            ranges.push((start, end));
        }
        Self { ranges, values, stride }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, usize, &[i32])> {
        let weights = self.values.chunks_exact(self.stride);
        self.ranges.iter().zip(weights).map(|(&(start, end), w)| (start, end, &w[..end - start]))
    }

    /// The source pixels needed in all.
    fn extent(&self) -> (usize, usize) {
        let first = self.ranges.first().map_or(0, |range| range.0);
        (first, self.ranges.last().map_or(0, |range| range.1))
    }

    fn weight(&self, index: usize, source: usize) -> i32 {
        self.values[index * self.stride + source - self.ranges[index].0]
    }
}

fn to_u8(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Bilinear, bicubic and Lanczos: one axis after the other, rounded to 8 bits in between.
pub(super) fn convolve<const N: usize>(
    pixels: &[[u8; N]],
    window: Window,
    kernel: Kernel,
) -> Vec<[u8; N]> {
    let Window { x, y } = window;
    let row = |index: usize| &pixels[index * x.source..][..x.source];
    let mut out = vec![[0; N]; x.length * y.length];
    let horizontal = (!x.is_unscaled()).then(|| RowPass::new::<N>(Weights::new(x, kernel)));
    if y.is_unscaled() {
        if let Some(pass) = &horizontal {
            for (index, out) in (y.start..).zip(out.chunks_exact_mut(x.length)) {
                pass.run(row(index), 0, out);
            }
        }
        return out;
    }

    let vertical = Weights::new(y, kernel);
    let (first_row, last_row) = vertical.extent();
    match horizontal {
        Some(horizontal) if vertically_first(x, y) => {
            let (left, right) = horizontal.extent();
            let mut columns = Columns::new(&vertical, (right - left) * N);
            for index in first_row..last_row {
                let line = row(index)[left..right].as_flattened();
                columns.push(index, line, |result, samples| {
                    let (samples, _) = samples.as_chunks();
                    let out = &mut out[result * x.length..][..x.length];
                    horizontal.run(samples, left, out);
                });
            }
        }
        horizontal => {
            let mut resampled = vec![[0; N]; x.length];
            let mut columns = Columns::new(&vertical, x.length * N);
            for index in first_row..last_row {
                let line = match &horizontal {
                    Some(pass) => {
                        pass.run(row(index), 0, &mut resampled);
                        &resampled
                    }
                    None => &row(index)[x.start..][..x.length],
                };
                columns.push(index, line.as_flattened(), |result, samples| {
                    let out = &mut out[result * x.length..][..x.length];
                    out.as_flattened_mut().copy_from_slice(samples);
                });
            }
        }
    }
    out
}

/// Which axis goes first: up to Pillow 12 always the horizontal one; since 13 the vertical one
/// where the height shrinks by more than twice what the width does (pull request 9549). It
/// decides the last bit of bilinear results, and more than that of the other two, which clip.
fn vertically_first(x: Span, y: Span) -> bool {
    y.full < y.source && y.source - y.full > 2 * x.source.saturating_sub(x.full)
}

/// The vertical pass. Rows stream through: each source row is given once and added to the result
/// rows it is part of, so that the memory is a few rows however tall the picture is. Sums are of
/// integers, so the order does not matter; they wrap only where millions of tiny weights were
/// rounded up.
struct Columns<'a> {
    weights: &'a Weights,
    samples: usize,
    /// One row of sums for each result row that can be open at once.
    sums: Vec<i32>,
    slots: usize,
    rounded: Vec<u8>,
    /// Result rows `open..next` are being summed; both bounds only grow.
    open: usize,
    next: usize,
}

impl<'a> Columns<'a> {
    fn new(weights: &'a Weights, samples: usize) -> Self {
        let slots = most_open(&weights.ranges);
        let (sums, rounded) = (vec![HALF; slots * samples], vec![0; samples]);
        Self { weights, samples, sums, slots, rounded, open: 0, next: 0 }
    }

    /// Takes the next source row and hands out the result rows it completes.
    fn push(&mut self, index: usize, line: &[u8], mut emit: impl FnMut(usize, &[u8])) {
        let ranges = &self.weights.ranges;
        while ranges.get(self.next).is_some_and(|range| range.0 <= index) {
            self.next += 1;
        }
        for result in self.open..self.next {
            let weight = self.weights.weight(result, index);
            let sums = &mut self.sums[result % self.slots * self.samples..][..self.samples];
            for (sum, &sample) in sums.iter_mut().zip(line) {
                *sum = sum.wrapping_add(i32::from(sample) * weight);
            }
        }
        while self.open < self.next && ranges[self.open].1 == index + 1 {
            let sums = &mut self.sums[self.open % self.slots * self.samples..][..self.samples];
            for (out, sum) in self.rounded.iter_mut().zip(sums) {
                *out = to_u8(*sum);
                *sum = HALF;
            }
            emit(self.open, &self.rounded);
            self.open += 1;
        }
    }
}

/// How many ranges overlap at most. Starts and ends are both in rising order.
fn most_open(ranges: &[(usize, usize)]) -> usize {
    let mut first = 0;
    let mut most = 1;
    for (index, range) in ranges.iter().enumerate() {
        while ranges[first].1 <= range.0 {
            first += 1;
        }
        most = most.max(index + 1 - first);
    }
    most
}

/// Nearest neighbour: the source pixel under the result pixel's centre, the centres found by
/// adding up steps (as Geometry.c does), not by multiplying.
pub(super) fn nearest<const N: usize>(pixels: &[[u8; N]], window: Window) -> Vec<[u8; N]> {
    let indices = |span: Span| -> Vec<usize> {
        let step = span.source as f64 / span.full as f64;
        let mut position = step * 0.5;
        let mut out = Vec::with_capacity(span.length);
        for index in 0..span.start + span.length {
            if index >= span.start {
                out.push((position as usize).min(span.source - 1));
            }
            position += step;
        }
        out
    };
    pick(pixels, window.x.source, &indices(window.x), &indices(window.y))
}
