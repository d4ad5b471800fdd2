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

/// Objects that a reference lists at most.
const LISTED: usize = 20;

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
    // References list the best only.
    let all = if want.len() < LISTED { got } else { &[] };
    for (side, here, there) in [("missing", want, got), ("too much", all, want)] {
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

/// Compares what a graph lists of objects, of which each row is one: class, score, corners, in one
/// output or in three. Rows of nearly one score may change places, and what of two equal boxes is
/// suppressed may too, so objects are matched one to one: same class, score within 1e-4 and 1e-3
/// of it, and each side within 1e-3 of the box's size.
pub(crate) fn rows(outputs: &[(Tensor, Tensor)]) -> Result<(), String> {
    let table = |side: &dyn Fn(&(Tensor, Tensor)) -> Tensor| -> Vec<Vec<f32>> {
        let columns: Vec<Tensor> = outputs.iter().map(side).collect();
        let count = columns[0].shape()[1];
        let row = |index: usize| {
            let part = |tensor: &Tensor| {
                let width = *tensor.shape().last().unwrap();
                tensor.to_f32().unwrap()[index * width..][..width].to_vec()
            };
            columns.iter().flat_map(part).collect::<Vec<f32>>()
        };
        (0..count).map(row).filter(|row| row[0] >= 0.0).collect()
    };
    let (got, want) = (table(&|pair| pair.0.clone()), table(&|pair| pair.1.clone()));
    let same = |a: &[f32], b: &[f32]| {
        let size = (b[4] - b[2]).abs().max((b[5] - b[3]).abs());
        let sides = a[2..].iter().zip(&b[2..]);
        a[0] == b[0]
            && (a[1] - b[1]).abs() <= 1e-4 + 1e-3 * b[1].abs()
            && sides.fold(0f32, |most, (a, b)| most.max((a - b).abs())) <= 1e-3 * size
    };
    let mut free = vec![true; got.len()];
    for row in &want {
        match (0..got.len()).find(|&index| free[index] && same(&got[index], row)) {
            Some(index) => free[index] = false,
            None => return Err(format!("there is no object {row:?} among {}", got.len())),
        }
    }
    match free.iter().position(|&free| free) {
        Some(index) => Err(format!("{:?} is too much", got[index])),
        None => Ok(()),
    }
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
