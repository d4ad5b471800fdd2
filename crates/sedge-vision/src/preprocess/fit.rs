use crate::input::{ImageInput, Resize};
use crate::placement::Placement;
use crate::resize::{Span, Window};

/// How an upright picture comes to lie in a model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    /// What to compute of the resized picture.
    pub(super) window: Window,
    /// Where its top left corner goes in the input; not (0, 0) only with bars.
    pub(super) at: (usize, usize),
    pub(super) placement: Placement,
}

impl Fit {
    /// The picture and the input have no empty side.
    pub(super) fn new(picture: (u32, u32), input: &ImageInput) -> Self {
        let target = (input.width, input.height);
        let full = match input.resize {
            Resize::Stretch => target,
            Resize::Letterbox => letterbox(picture, target),
            Resize::Crop => cover(picture, target, input.crop_fraction),
        };
        let x = Axis::new(picture.0, full.0, target.0);
        let y = Axis::new(picture.1, full.1, target.1);
        Self {
            window: Window { x: x.span, y: y.span },
            at: (x.at, y.at),
            placement: Placement {
                picture_width: picture.0,
                picture_height: picture.1,
                input_width: target.0,
                input_height: target.1,
                scale_x: x.scale,
                scale_y: y.scale,
                offset_x: x.offset,
                offset_y: y.offset,
            },
        }
    }
}

struct Axis {
    span: Span,
    at: usize,
    scale: f64,
    offset: f64,
}

impl Axis {
    /// Centres `full` pixels in `target`: too few leave bars, too many are cut.
    fn new(source: u32, full: u32, target: u32) -> Self {
        // Ultralytics' `round(d / 2 - 0.1)`: the odd pixel goes right and below. Cutting, the
        // same comes from `(full - target) // 2`.
        let at = target.saturating_sub(full) / 2;
        let start = full.saturating_sub(target) / 2;
        let span = Span {
            source: source as usize,
            full: full as usize,
            start: start as usize,
            length: full.min(target) as usize,
        };
        Self {
            span,
            at: at as usize,
            scale: f64::from(full) / f64::from(source),
            offset: f64::from(at) - f64::from(start),
        }
    }
}

/// Size of the picture scaled to fit into the target, as Ultralytics' `LetterBox` computes it:
/// one ratio for both sides, each rounded half to even.
fn letterbox(picture: (u32, u32), target: (u32, u32)) -> (u32, u32) {
    let ratio = |side: u32, of: u32| f64::from(side) / f64::from(of);
    let ratio = ratio(target.0, picture.0).min(ratio(target.1, picture.1));
    let side = |picture: u32, target: u32| {
        ((f64::from(picture) * ratio).round_ties_even() as u32).clamp(1, target)
    };
    (side(picture.0, target.0), side(picture.1, target.1))
}

/// Size of the picture scaled to cover the target enlarged by `1 / fraction`. The side that decides
/// gets exactly the enlarged target's length, the other keeps the proportions; for a square target
/// that is "short side to `size / fraction`".
fn cover(picture: (u32, u32), target: (u32, u32), fraction: f32) -> (u32, u32) {
    let enlarged =
        |side: u32| (f64::from(side) / f64::from(fraction)).round_ties_even().max(1.0) as u32;
    let (width, height) = (enlarged(target.0), enlarged(target.1));
    let other = |side: u32, long: u32, short: u32| {
        (f64::from(side) * f64::from(long) / f64::from(short)).round_ties_even() as u32
    };
    if u64::from(picture.0) * u64::from(height) <= u64::from(picture.1) * u64::from(width) {
        (width, other(width, picture.1, picture.0).max(height))
    } else {
        (other(height, picture.0, picture.1).max(width), height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(resize: Resize, picture: (u32, u32), target: (u32, u32), crop_fraction: f32) -> Fit {
        let (width, height) = target;
        Fit::new(
            picture,
            &ImageInput { width, height, resize, crop_fraction, ..Default::default() },
        )
    }

    #[test]
    fn sizes_and_offsets_are_those_of_the_originals() {
        // Letterbox rows: ultralytics' LetterBox. Crop rows: 224 of 256 on a 720p picture, and
        // targets that are not square.
        let cases = [
            (Resize::Stretch, (100, 50), (224, 224), 1.0, (224, 224), (0.0, 0.0)),
            (Resize::Letterbox, (1280, 720), (640, 640), 1.0, (640, 360), (0.0, 140.0)),
            (Resize::Letterbox, (451, 300), (352, 352), 1.0, (352, 234), (0.0, 59.0)),
            (Resize::Letterbox, (300, 451), (352, 352), 1.0, (234, 352), (59.0, 0.0)),
            (Resize::Letterbox, (100, 35), (224, 224), 1.0, (224, 78), (0.0, 73.0)),
            (Resize::Letterbox, (1000, 1), (64, 64), 1.0, (64, 1), (0.0, 31.0)),
            (Resize::Crop, (1280, 720), (224, 224), 0.875, (455, 256), (-115.0, -16.0)),
            (Resize::Crop, (512, 929), (224, 224), 0.875, (256, 464), (-16.0, -120.0)),
            (Resize::Crop, (400, 400), (320, 240), 1.0, (320, 320), (0.0, -40.0)),
            (Resize::Crop, (1, 3000), (224, 224), 1.0, (224, 672000), (0.0, -335888.0)),
        ];
        for (resize, picture, target, fraction, full, offset) in cases {
            let fit = fit(resize, picture, target, fraction);
            let Placement { scale_x, scale_y, offset_x, offset_y, .. } = fit.placement;
            assert_eq!((fit.window.x.full, fit.window.y.full), full, "{resize:?} {picture:?}");
            assert_eq!((offset_x, offset_y), offset, "{resize:?} {picture:?}");
            assert_eq!(scale_x, full.0 as f64 / f64::from(picture.0));
            assert_eq!(scale_y, full.1 as f64 / f64::from(picture.1));
        }
    }

    #[test]
    fn whatever_the_sizes_the_window_fits_both_sides() {
        let sides = [1, 2, 3, 7, 224, 300, 65_535, 64_000_000];
        let all = sides.iter().flat_map(|&a| sides.iter().map(move |&b| (a, b)));
        for picture in all.clone().filter(|&(w, h)| u64::from(w) * u64::from(h) <= 64_000_000) {
            for target in all.clone().filter(|&(w, h)| w <= 300 && h <= 300) {
                for resize in [Resize::Stretch, Resize::Letterbox, Resize::Crop] {
                    let fit = fit(resize, picture, target, 0.875);
                    for (span, at, side) in
                        [(fit.window.x, fit.at.0, target.0), (fit.window.y, fit.at.1, target.1)]
                    {
                        assert!(span.length > 0 && span.start + span.length <= span.full);
                        assert!(at + span.length <= side as usize, "{resize:?} {picture:?}");
                        let filled = span.length == side as usize;
                        assert!(filled || resize == Resize::Letterbox);
                    }
                }
            }
        }
    }
}
