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
