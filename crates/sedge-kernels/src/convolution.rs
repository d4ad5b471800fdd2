use crate::gather::{self, with_padded};
use crate::matrix::{CHUNK, Matrix, Weights};
use crate::{Nhwc, Requantize, Threads, Window};

/// A convolution over all input channels of a group, and with one pixel a fully connected layer.
#[derive(Clone, Debug)]
pub struct Convolution {
    window: Window,
    input_zero: u8,
    depth: usize,
    matrix: Matrix,
}

impl Convolution {
    /// `weights` are signed integers as (output channel, vertical tap, horizontal tap, input
    /// channel) with one zero point for all output channels or one for each; `bias` counts steps
    /// of the sums. `requantize` tells the number of output channels.
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
        let depth = weights.len() / requantize.channels.max(1);
        assert_eq!(depth * requantize.channels, weights.len(), "weights fill their columns");
        let weights = Weights { values: weights, zeros: weight_zeros, bias, input_zero };
        Self { window, input_zero, depth, matrix: Matrix::new(depth, weights, requantize) }
    }

    /// Runs over `input`; `output` must have the size the window gives.
    ///
    /// # Panics
    /// When the lengths do not fit the shape.
    pub fn run(&self, threads: Threads, (input, shape): (&[u8], Nhwc), output: &mut [u8]) {
        assert_eq!(input.len(), shape.len());
        assert_eq!(self.depth, self.window.taps() * shape.channels);
        let columns = self.matrix.columns();
        let work = output.len() * self.depth;
        if self.window.is_point() {
            threads.over_rows(output, columns, work, |first, output| {
                self.points(&input[first * self.depth..], output);
            });
            return;
        }
        let size = self.window.output([shape.height, shape.width]);
        let [height, width] = size.unwrap_or_default();
        assert_eq!(output.len(), shape.batch * height * width * columns);
        threads.over_rows(output, width * columns, work, |first, output| {
            let mut line = first;
            let mut rest = output;
            while !rest.is_empty() {
                // Up to the end of a picture at a time.
                let (picture, y) = (line / height, line % height);
                let lines = (height - y).min(rest.len() / (width * columns));
                let (now, later) = rest.split_at_mut(lines * width * columns);
                self.lines((input, shape), picture, (y, y + lines), width, now);
                (rest, line) = (later, line + lines);
            }
        });
    }

    /// Every pixel by itself: the input's rows are the matrix's.
    fn points(&self, input: &[u8], output: &mut [u8]) {
        let (depth, columns) = (self.depth, self.matrix.columns());
        let chunks = input.chunks(CHUNK * depth).zip(output.chunks_mut(CHUNK * columns));
        for (input, output) in chunks {
            if depth.is_multiple_of(4) {
                self.matrix.multiply(input, depth, output);
                continue;
            }
            let row = self.matrix.row_bytes();
            let rows = output.len() / columns;
            gather::with_rows(rows * row, |scratch| {
                for (to, from) in scratch.chunks_exact_mut(row).zip(input.chunks_exact(depth)) {
                    to[..depth].copy_from_slice(from);
                    to[depth..].fill(0);
                }
                self.matrix.multiply(scratch, row, output);
            });
        }
    }

    /// Result lines `[from, to)` of one picture.
    fn lines(
        &self,
        (input, shape): (&[u8], Nhwc),
        picture: usize,
        lines: (usize, usize),
        width: usize,
        output: &mut [u8],
    ) {
        let (window, c, columns) = (&self.window, shape.channels, self.matrix.columns());
        let row = self.matrix.row_bytes();
        let tap_line = window.kernel[1] * c;
        with_padded((input, shape), window, picture, lines, self.input_zero, |padded| {
            gather::with_rows(CHUNK * row, |scratch| {
                for (chunk, output) in output.chunks_mut(CHUNK * columns).enumerate() {
                    let count = output.len() / columns;
                    for (i, to) in scratch.chunks_exact_mut(row).take(count).enumerate() {
                        let pixel = chunk * CHUNK + i;
                        let (y, x) = (pixel / width, pixel % width);
                        let start = y * window.strides[0] * padded.line + x * window.strides[1] * c;
                        for (tap, to) in to[..self.depth].chunks_exact_mut(tap_line).enumerate() {
                            let at = start + tap * window.dilations[0] * padded.line;
                            if window.dilations[1] == 1 {
                                to.copy_from_slice(&padded.bytes[at..at + tap_line]);
                                continue;
                            }
                            for (j, to) in to.chunks_exact_mut(c).enumerate() {
                                let at = at + j * window.dilations[1] * c;
                                to.copy_from_slice(&padded.bytes[at..at + c]);
                            }
                        }
                        to[self.depth..].fill(0);
                    }
                    self.matrix.multiply(&scratch[..count * row], row, output);
                }
            });
        });
    }
}
