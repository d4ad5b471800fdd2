//! When two answers are equal.

use sedge_tensor::{DType, Tensor};
use sedge_vision::Box2d;
use serde::Deserialize;

/// An object of a reference: box in pixels of the upright picture, not clamped.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Detection {
    pub(crate) class_index: usize,
    pub(crate) score: f32,
    #[serde(rename = "box")]
    pub(crate) bounds: [f32; 4],
}

/// Compares float outputs within 1e-4 relative / 1e-5 absolute, integers within `steps`, floats
/// that are dequantised integers within `steps` times `step`.
pub(crate) fn tensors(got: &Tensor, want: &Tensor, step: Option<f32>) -> Result<(), String> {
    if got.shape() != want.shape() || got.dtype() != want.dtype() {
        return Err(format!(
            "{} {:?} instead of {} {:?}",
            got.dtype(),
            got.shape(),
            want.dtype(),
            want.shape()
        ));
    }
    let (Some(a), Some(b)) = (got.to_f32(), want.to_f32()) else {
        return Err(format!("{} cannot be compared", got.dtype()));
    };
    let integer = got.dtype() != DType::F32;
    let allowed = |want: f32| match step {
        _ if integer => 2.0,
        Some(step) => 2.0 * step + 1e-6,
        None => 1e-5 + 1e-4 * want.abs(),
    };
    let off = a.iter().zip(b.iter()).filter(|(a, b)| (*a - *b).abs() > allowed(**b));
    let count = off.clone().count();
    if count == 0 {
        return Ok(());
    }
    let worst = a.iter().zip(b.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let unit = match step {
        _ if integer => format!("{worst} steps"),
        Some(step) => format!("{:.1} steps", worst / step),
        None => format!("{worst}"),
    };
    Err(format!("{count} of {} elements differ, by up to {unit}", a.len()))
}

/// Matches objects one to one: same class, IoU of at least 0.95, score within 0.02. Those within
/// 0.05 of the threshold may be missing on either side.
pub(crate) fn objects(
    got: &[Detection],
    want: &[Detection],
    threshold: f32,
    size: (u32, u32),
) -> Result<(), String> {
    let clear = |d: &&Detection| d.score >= threshold + 0.05;
    let same = |a: &Detection, b: &Detection| {
        a.class_index == b.class_index
            && (a.score - b.score).abs() <= 0.02
            && iou(clamped(a, size), clamped(b, size)) >= 0.95
    };
    for (side, here, there) in [("missing", want, got), ("too much", got, want)] {
        let mut free = vec![true; there.len()];
        for detection in here.iter().filter(clear) {
            let partner = (0..there.len()).find(|&i| free[i] && same(detection, &there[i]));
            match partner {
                Some(i) => free[i] = false,
                None => return Err(format!("{side}: {detection:?}; there are {there:?}")),
            }
        }
    }
    Ok(())
}

fn clamped(d: &Detection, (width, height): (u32, u32)) -> Box2d {
    let [xmin, ymin, xmax, ymax] = d.bounds;
    let (w, h) = (width as f32, height as f32);
    Box2d {
        xmin: xmin.clamp(0.0, w),
        ymin: ymin.clamp(0.0, h),
        xmax: xmax.clamp(0.0, w),
        ymax: ymax.clamp(0.0, h),
    }
}

fn iou(a: Box2d, b: Box2d) -> f32 {
    let overlap = |a0: f32, a1: f32, b0: f32, b1: f32| (a1.min(b1) - a0.max(b0)).max(0.0);
    let inter = overlap(a.xmin, a.xmax, b.xmin, b.xmax) * overlap(a.ymin, a.ymax, b.ymin, b.ymax);
    let area = |r: Box2d| (r.xmax - r.xmin) * (r.ymax - r.ymin);
    inter / (area(a) + area(b) - inter)
}
