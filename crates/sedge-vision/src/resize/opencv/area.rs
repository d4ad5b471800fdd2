use super::{Span, Tap, Window, mix_two, scale, whole_scale};

/// `INTER_AREA`: the mean of the covered source pixels when both sides shrink (or stay), otherwise
/// a linear mix by covered share.
pub(in crate::resize) fn area<const N: usize>(pixels: &[[u8; N]], window: Window) -> Vec<[u8; N]> {
    let Window { x, y } = window;
    if scale(x) < 1.0 || scale(y) < 1.0 {
        return mix_two(pixels, window, Tap::shared);
    }
    match (whole_scale(x), whole_scale(y)) {
        (Some(width), Some(height)) => blocks(pixels, window, width, height),
        _ => fractions(pixels, window),
    }
}

/// Whole scales: integer sums of `width x height` blocks.
fn blocks<const N: usize>(
    pixels: &[[u8; N]],
    window: Window,
    width: usize,
    height: usize,
) -> Vec<[u8; N]> {
    let Window { x, y } = window;
    let share = 1.0 / (width * height) as f32;
    let mut sums = vec![[0u64; N]; x.length];
    let mut out = vec![[0; N]; x.length * y.length];
    for (index, out) in (y.start..).zip(out.chunks_exact_mut(x.length)) {
        sums.fill([0; N]);
        for row in index * height..(index + 1) * height {
            let line = &pixels[row * x.source..][..x.source];
            let line = &line[x.start * width..(x.start + x.length) * width];
            for (sums, block) in sums.iter_mut().zip(line.chunks_exact(width)) {
                for pixel in block {
                    for (sum, &sample) in sums.iter_mut().zip(pixel) {
                        *sum += u64::from(sample);
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&sums) {
            *out = sums.map(|sum| {
                if (width, height) == (2, 2) {
                    ((sum + 2) >> 2) as u8
                } else {
                    (sum as f32 * share).round_ties_even() as u8
                }
            });
        }
    }
    out
}

/// One source pixel's share in one result pixel.
struct Share {
    result: usize,
    source: usize,
    weight: f32,
}

/// The shares of one axis; slivers below a thousandth of a pixel are left out, as OpenCV does.
fn shares(span: Span) -> Vec<Share> {
    const SLIVER: f64 = 1e-3;
    let scale = scale(span);
    let mut out = Vec::new();
    for index in span.start..span.start + span.length {
        let begin = index as f64 * scale;
        let end = begin + scale;
        let cell = scale.min(span.source as f64 - begin);
        let last = (end.floor() as usize).min(span.source - 1);
        let first = (begin.ceil() as usize).min(last);
        let mut push = |source: usize, weight: f64| {
            out.push(Share { result: index - span.start, source, weight: weight as f32 });
        };
        if first as f64 - begin > SLIVER {
            push(first - 1, (first as f64 - begin) / cell);
        }
        for source in first..last {
            push(source, 1.0 / cell);
        }
        if end - last as f64 > SLIVER {
            push(last, (end - last as f64).min(1.0).min(cell) / cell);
        }
    }
    out
}

/// Other scales: weighted sums in f32, in OpenCV's order, since the order decides the last bit.
fn fractions<const N: usize>(pixels: &[[u8; N]], window: Window) -> Vec<[u8; N]> {
    let Window { x, y } = window;
    let columns = shares(x);
    let rows = shares(y);
    let mut line = vec![[0f32; N]; x.length];
    let mut sums = vec![[0f32; N]; x.length];
    let mut out = vec![[0; N]; x.length * y.length];
    for (result, out) in
        rows.chunk_by(|a, b| a.result == b.result).zip(out.chunks_exact_mut(x.length))
    {
        for (k, share) in result.iter().enumerate() {
            let source = &pixels[share.source * x.source..][..x.source];
            line.fill([0.0; N]);
            for column in &columns {
                let (sums, pixel) = (&mut line[column.result], &source[column.source]);
                for c in 0..N {
                    sums[c] += f32::from(pixel[c]) * column.weight;
                }
            }
            for (sums, line) in sums.iter_mut().zip(&line) {
                for c in 0..N {
                    let part = share.weight * line[c];
                    sums[c] = if k == 0 { part } else { sums[c] + part };
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&sums) {
            *out = sums.map(|sum| sum.round_ties_even() as u8);
        }
    }
    out
}
