use std::borrow::Cow;

use crate::input::Filter;

mod opencv;
mod pillow;

/// Interleaved 8-bit pixels to be resized: `height * width * channels` samples, 1 or 3 channels.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) pixels: &'a [u8],
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
}

/// One axis of the result: the source is scaled from `source` to `full` pixels, of which only
/// `start..start + length` are wanted. Cropped pixels are never computed, and those that remain
/// are the same as if they had been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) source: usize,
    pub(crate) full: usize,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

impl Span {
    fn is_unscaled(self) -> bool {
        self.source == self.full
    }
}

/// The wanted part of a resized picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) x: Span,
    pub(crate) y: Span,
}

/// Resizes with the arithmetic of the library the filter is named after, bit for bit (the
/// exceptions are told in [`opencv`]). Borrows when nothing has to be done.
pub(crate) fn resize(source: Source<'_>, window: Window, filter: Filter) -> Cow<'_, [u8]> {
    debug_assert_eq!((window.x.source, window.y.source), (source.width, source.height));
    match source.channels {
        1 => typed::<1>(source, window, filter),
        _ => typed::<3>(source, window, filter),
    }
}

fn typed<const N: usize>(source: Source<'_>, window: Window, filter: Filter) -> Cow<'_, [u8]> {
    let (pixels, _) = source.pixels.as_chunks::<N>();
    let Window { x, y } = window;
    // Both libraries copy when the size does not change, whatever the filter.
    if x.is_unscaled() && y.is_unscaled() {
        if (x.length, y.length) == (x.source, y.source) {
            return Cow::Borrowed(source.pixels);
        }
        let rows = pixels.chunks_exact(x.source).skip(y.start).take(y.length);
        let cut: Vec<[u8; N]> = rows.flat_map(|row| &row[x.start..][..x.length]).copied().collect();
        return Cow::Owned(cut.into_flattened());
    }
    let resized = match filter {
        Filter::PillowNearest => pillow::nearest(pixels, window),
        Filter::PillowBilinear => pillow::convolve(pixels, window, pillow::BILINEAR),
        Filter::PillowBicubic => pillow::convolve(pixels, window, pillow::BICUBIC),
        Filter::PillowLanczos => pillow::convolve(pixels, window, pillow::LANCZOS),
        Filter::OpencvNearest => opencv::nearest(pixels, window),
        Filter::OpencvLinear => opencv::linear(pixels, window),
        Filter::OpencvCubic => opencv::cubic(pixels, window),
        Filter::OpencvArea => opencv::area(pixels, window),
    };
    Cow::Owned(resized.into_flattened())
}

/// Picks one source pixel per result pixel.
fn pick<const N: usize>(
    pixels: &[[u8; N]],
    width: usize,
    columns: &[usize],
    rows: &[usize],
) -> Vec<[u8; N]> {
    let mut out = Vec::with_capacity(columns.len() * rows.len());
    for &row in rows {
        let line = &pixels[row * width..][..width];
        out.extend(columns.iter().map(|&column| line[column]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [Filter; 8] = [
        Filter::PillowNearest,
        Filter::PillowBilinear,
        Filter::PillowBicubic,
        Filter::PillowLanczos,
        Filter::OpencvNearest,
        Filter::OpencvLinear,
        Filter::OpencvCubic,
        Filter::OpencvArea,
    ];

    fn span(source: usize, full: usize, start: usize, length: usize) -> Span {
        Span { source, full, start, length }
    }

    // Equality with the libraries themselves is tested in tests/pixels.rs.
    #[test]
    fn a_window_is_a_piece_of_the_whole() {
        // Both orders of Pillow's passes, whole scales, enlarging, one side kept.
        let sizes =
            [(60, 40, 20, 20), (30, 90, 20, 9), (24, 24, 12, 12), (7, 9, 31, 17), (20, 9, 20, 31)];
        for (width, height, full_x, full_y) in sizes {
            for channels in [1, 3] {
                let pixels: Vec<u8> =
                    (0..width * height * channels).map(|i| (i * i / 7 % 256) as u8).collect();
                let source = Source { pixels: &pixels, width, height, channels };
                let all = Window {
                    x: span(width, full_x, 0, full_x),
                    y: span(height, full_y, 0, full_y),
                };
                let (left, columns, top, rows) = (3, full_x - 8, 2, full_y - 5);
                let piece = Window {
                    x: span(width, full_x, left, columns),
                    y: span(height, full_y, top, rows),
                };
                for filter in FILTERS {
                    let whole = resize(source, all, filter);
                    let cut: Vec<u8> = whole
                        .chunks_exact(full_x * channels)
                        .skip(top)
                        .take(rows)
                        .flat_map(|row| &row[left * channels..][..columns * channels])
                        .copied()
                        .collect();
                    assert_eq!(
                        *resize(source, piece, filter),
                        cut,
                        "{filter:?} {full_x} x {full_y}"
                    );
                }
            }
        }
    }

    #[test]
    fn extreme_sizes_need_no_extreme_memory_and_do_not_panic() {
        for (width, height) in [(3_000_000, 1), (1, 3_000_000), (1, 1)] {
            let pixels = vec![255; width * height];
            let source = Source { pixels: &pixels, width, height, channels: 1 };
            for filter in FILTERS {
                for (x, y) in [(5, 3), (1, 1), (2_000, 2)] {
                    let window = Window { x: span(width, x, 0, x), y: span(height, y, 0, y) };
                    assert_eq!(resize(source, window, filter).len(), x * y, "{filter:?}");
                }
            }
        }
    }
}
