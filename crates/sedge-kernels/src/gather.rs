//! Scratch memory of a thread, and pictures copied into it with their padding.

use std::cell::RefCell;

use crate::{Nhwc, Window};

thread_local! {
    static PADDED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ROWS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static WORDS: RefCell<Vec<i16>> = const { RefCell::new(Vec::new()) };
}

fn with<T: Copy + Default, R>(
    cell: &RefCell<Vec<T>>,
    length: usize,
    act: impl FnOnce(&mut [T]) -> R,
) -> R {
    // Taken out while it is used: a thread that waits for others may start another piece here.
    let mut memory = cell.take();
    if memory.len() < length {
        memory.resize(length, T::default());
    }
    let result = act(&mut memory[..length]);
    cell.replace(memory);
    result
}

/// Runs `act` on 16-bit scratch with unknown content.
pub(crate) fn with_words<R>(length: usize, act: impl FnOnce(&mut [i16]) -> R) -> R {
    WORDS.with(|cell| with(cell, length, act))
}

/// Runs `act` on byte scratch with unknown content.
pub(crate) fn with_rows<R>(length: usize, act: impl FnOnce(&mut [u8]) -> R) -> R {
    ROWS.with(|cell| with(cell, length, act))
}

/// Some lines of one picture with the padding around them.
#[derive(Debug)]
pub(crate) struct Padded<'a> {
    pub(crate) bytes: &'a [u8],
    /// Bytes from one line to the next.
    pub(crate) line: usize,
}

/// Bytes that may be read behind the last line.
pub(crate) const SLACK: usize = 64;

/// Runs `act` on the lines of picture `picture` that the results at lines `[from, to)` read, with
/// padding of value `zero`.
pub(crate) fn with_padded<R>(
    (input, shape): (&[u8], Nhwc),
    window: &Window,
    picture: usize,
    (from, to): (usize, usize),
    zero: u8,
    act: impl FnOnce(Padded<'_>) -> R,
) -> R {
    let (c, width) = (shape.channels, shape.width + window.before[1] + window.after[1]);
    let first = window.start(0, from);
    let last = window.start(0, to - 1) + ((window.kernel[0] - 1) * window.dilations[0]) as isize;
    let lines = (last - first + 1) as usize;
    let line = width * c;
    PADDED.with(|cell| {
        with(cell, lines * line + SLACK, |bytes| {
            for (i, to) in bytes.chunks_exact_mut(line).take(lines).enumerate() {
                let y = first + i as isize;
                if y < 0 || y >= shape.height as isize {
                    to.fill(zero);
                    continue;
                }
                let start = (picture * shape.height + y as usize) * shape.width * c;
                let (left, rest) = to.split_at_mut(window.before[1] * c);
                let (middle, right) = rest.split_at_mut(shape.width * c);
                left.fill(zero);
                middle.copy_from_slice(&input[start..start + shape.width * c]);
                right.fill(zero);
            }
            act(Padded { bytes, line })
        })
    })
}
