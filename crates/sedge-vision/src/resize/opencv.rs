//! OpenCV's arithmetic for 8-bit pictures. The facts (formulas, order of operations, constants) are
//! those of `modules/imgproc/src/resize.cpp`, OpenCV 4 and 5; no code is taken from there.
//!
//! Equal bit for bit to its x86-64 build, with one exception: the x86-64 wheels do `INTER_CUBIC` with
//! Intel's IPP, whose results differ from OpenCV's own by at most 1 (in 4 of 100 samples of noise).

use super::{Span, Window, pick};

mod area;

pub(super) use area::area;

/// One in fixed point: `INTER_RESIZE_COEF_BITS` is 11.
const ONE: f32 = 2048.0;

/// Result pixels per source pixel.
fn inverse_scale(span: Span) -> f64 {
    span.full as f64 / span.source as f64
}

/// Source pixels per result pixel, by way of the inverse, as OpenCV computes it.
fn scale(span: Span) -> f64 {
    1.0 / inverse_scale(span)
}

/// The scale when it is a whole number.
fn whole_scale(span: Span) -> Option<usize> {
    let scale = scale(span);
    let whole = scale.round_ties_even();
    ((scale - whole).abs() < f64::EPSILON).then_some(whole as usize)
}

/// Nearest neighbour: the source pixel at the result pixel's top left corner, not its centre.
pub(super) fn nearest<const N: usize>(pixels: &[[u8; N]], window: Window) -> Vec<[u8; N]> {
    let indices = |span: Span| -> Vec<usize> {
        let scale = scale(span);
        let index = |i: usize| ((i as f64 * scale) as usize).min(span.source - 1);
        (span.start..span.start + span.length).map(index).collect()
    };
    pick(pixels, window.x.source, &indices(window.x), &indices(window.y))
}

/// The first of the source pixels a result pixel is mixed from (may lie outside the picture) and
/// how far behind it the result lies, 0 to 1.
#[derive(Clone, Copy)]
struct Tap {
    first: isize,
    fraction: f32,
}

impl Tap {
    /// Pixel centres at half integers, for linear and cubic.
    fn centred(index: usize, span: Span) -> Self {
        let position = ((index as f64 + 0.5) * scale(span) - 0.5) as f32;
        let first = position.floor();
        Self { first: first as isize, fraction: position - first }
    }

    /// `INTER_AREA` when enlarging: result pixels that lie within one source pixel take it as it
    /// is, the others are mixed by the share of each.
    fn shared(index: usize, span: Span) -> Self {
        let first = (index as f64 * scale(span)).floor();
        let fraction = ((index + 1) as f64 - (first + 1.0) * inverse_scale(span)) as f32;
        let fraction = if fraction <= 0.0 { 0.0 } else { fraction - fraction.floor() };
        Self { first: first as isize, fraction }
    }

    /// Horizontally a tap does not reach over the border (vertically it does, with the border row
    /// repeated; the roundings differ).
    fn within(self, size: usize) -> Self {
        let last = size as isize - 1;
        if self.first < 0 {
            Self { first: 0, fraction: 0.0 }
        } else if self.first >= last {
            Self { first: last, fraction: 0.0 }
        } else {
            self
        }
    }
}

fn fixed(weight: f32) -> i32 {
    (weight * ONE).round_ties_even() as i32
}

/// `INTER_LINEAR`: two neighbours each way whatever the scale (no antialiasing), except that
/// halving both sides averages 2 x 2 pixels.
pub(super) fn linear<const N: usize>(pixels: &[[u8; N]], window: Window) -> Vec<[u8; N]> {
    if whole_scale(window.x) == Some(2) && whole_scale(window.y) == Some(2) {
        return area(pixels, window);
    }
    mix_two(pixels, window, Tap::centred)
}

fn mix_two<const N: usize>(
    pixels: &[[u8; N]],
    window: Window,
    tap: fn(usize, Span) -> Tap,
) -> Vec<[u8; N]> {
    let Window { x, y } = window;
    let columns: Vec<(usize, usize, i32, i32)> = (x.start..x.start + x.length)
        .map(|index| {
            let Tap { first, fraction } = tap(index, x).within(x.source);
            let first = first as usize;
            let second = (first + 1).min(x.source - 1);
            (first, second, fixed(1.0 - fraction), fixed(fraction))
        })
        .collect();
    let mut rows = Rows::<2>::new(x.length * N);
    let mut out = vec![[0; N]; x.length * y.length];
    for (index, out) in (y.start..).zip(out.chunks_exact_mut(x.length)) {
        let Tap { first, fraction } = tap(index, y);
        let (upper, lower) = (fixed(1.0 - fraction), fixed(fraction));
        let [above, below] = rows.get(first, y.source, |row, sums| {
            let line = &pixels[row * x.source..][..x.source];
            let (sums, _) = sums.as_chunks_mut::<N>();
            for (&(a, b, wa, wb), sums) in columns.iter().zip(sums) {
                let (a, b) = (&line[a], &line[b]);
                for c in 0..N {
                    sums[c] = i32::from(a[c]) * wa + i32::from(b[c]) * wb;
                }
            }
        });
        for ((out, &a), &b) in out.as_flattened_mut().iter_mut().zip(above).zip(below) {
            // The bits dropped before the sum are OpenCV's way to stay within 16-bit products.
            let sum = ((upper * (a >> 4)) >> 16) + ((lower * (b >> 4)) >> 16);
            *out = ((sum + 2) >> 2).clamp(0, 255) as u8;
        }
    }
    out
}

/// Horizontally mixed rows, kept until the vertical taps have passed them.
struct Rows<const K: usize> {
    rows: [(Option<usize>, Vec<i32>); K],
}

impl<const K: usize> Rows<K> {
    fn new(length: usize) -> Self {
        Self { rows: std::array::from_fn(|_| (None, vec![0; length])) }
    }

    /// The `K` rows from `first` on, clamped to the picture; `mix` computes the missing ones.
    fn get(
        &mut self,
        first: isize,
        height: usize,
        mut mix: impl FnMut(usize, &mut [i32]),
    ) -> [&[i32]; K] {
        let wanted: [usize; K] =
            std::array::from_fn(|k| (first + k as isize).clamp(0, height as isize - 1) as usize);
        for row in wanted {
            // K rows in a line fall into K different slots.
            let (held, sums) = &mut self.rows[row % K];
            if *held != Some(row) {
                mix(row, sums);
                *held = Some(row);
            }
        }
        wanted.map(|row| self.rows[row % K].1.as_slice())
    }
}

/// Weights of the four neighbours, Keys' kernel with a = -0.75, computed in f32 and in OpenCV's
/// order.
fn cubic_weights(x: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let first = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
    let second = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let third = ((A + 2.0) * (1.0 - x) - (A + 3.0)) * (1.0 - x) * (1.0 - x) + 1.0;
    [first, second, third, 1.0 - first - second - third]
}

/// `INTER_CUBIC`: four neighbours each way whatever the scale (no antialiasing).
pub(super) fn cubic<const N: usize>(pixels: &[[u8; N]], window: Window) -> Vec<[u8; N]> {
    /// OpenCV mixes rows in f32 eight samples at a time (its SSE path) and the rest in integers.
    const LANES: usize = 8;
    let Window { x, y } = window;
    let columns: Vec<([usize; 4], [i32; 4])> = (x.start..x.start + x.length)
        .map(|index| {
            let Tap { first, fraction } = Tap::centred(index, x);
            let last = x.source as isize - 1;
            let from = std::array::from_fn(|k| (first - 1 + k as isize).clamp(0, last) as usize);
            (from, cubic_weights(fraction).map(fixed))
        })
        .collect();
    let in_lanes = (x.full * N / LANES * LANES).saturating_sub(x.start * N).min(x.length * N);
    let mut rows = Rows::<4>::new(x.length * N);
    let mut out = vec![[0; N]; x.length * y.length];
    for (index, out) in (y.start..).zip(out.chunks_exact_mut(x.length)) {
        let Tap { first, fraction } = Tap::centred(index, y);
        let weights = cubic_weights(fraction).map(fixed);
        let lines = rows.get(first - 1, y.source, |row, sums| {
            let line = &pixels[row * x.source..][..x.source];
            let (sums, _) = sums.as_chunks_mut::<N>();
            for ((from, weights), sums) in columns.iter().zip(sums) {
                *sums = [0; N];
                for (&from, &weight) in from.iter().zip(weights) {
                    for c in 0..N {
                        sums[c] += i32::from(line[from][c]) * weight;
                    }
                }
            }
        });
        let out = out.as_flattened_mut();
        let float = weights.map(|w| w as f32 * (1.0 / (ONE * ONE)));
        for (i, out) in out[..in_lanes].iter_mut().enumerate() {
            let part = |k: usize| lines[k][i] as f32 * float[k];
            let sum = part(0) + (part(1) + (part(2) + part(3)));
            *out = sum.round_ties_even().clamp(0.0, 255.0) as u8;
        }
        for (i, out) in out.iter_mut().enumerate().skip(in_lanes) {
            let sum: i32 = (0..4).map(|k| lines[k][i] * weights[k]).sum();
            *out = ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8;
        }
    }
    out
}
