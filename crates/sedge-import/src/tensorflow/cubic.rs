//! ResizeBicubic, as the two matrices by which it is a product from either side.
//!
//! TensorFlow takes the cubic from a table of 1024 steps (`core/kernels/image/
//! resize_bicubic_op.cc`), so that an exact cubic is off in the third digit. Weights made here by
//! the same table are not, and every engine multiplies matrices.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;

const STEPS: i64 = 1 << 10;
/// Largest side, before or after; the matrices have the product of both.
const MAX_SIDE: usize = 1 << 12;

/// How places in the result follow from places in the picture.
#[derive(Clone, Copy, Debug)]
struct Places {
    aligned: bool,
    half: bool,
}

/// ResizeBicubic: attributes align_corners, half_pixel_centers.
pub(super) fn resize(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let places = Places { aligned: op.flag("align_corners"), half: op.flag("half_pixel_centers") };
    let picture = op.picture(0)?;
    let sizes = op.ints(1, "the size of the result")?;
    let sizes: Vec<usize> = sizes.iter().filter_map(|&n| usize::try_from(n).ok()).collect();
    let ([Some(height), Some(width)], &[high, wide]) = (op.size_of(picture), sizes.as_slice())
    else {
        return Err(Refusal::new("the size of its picture is not known"));
    };
    if [height, width, high, wide].iter().any(|n| !(1..=MAX_SIDE).contains(n)) {
        return Err(Refusal(format!("it makes {high} x {wide} pixels of {height} x {width}")));
    }
    let picture = op.cast(picture, DType::F32);
    let rows = matrix(op, height, high, places)?;
    let columns = matrix(op, width, wide, places)?;
    let columns = op.transpose(columns, &[1, 0]);
    let value = op.apply("MatMul", &[picture, columns]);
    let value = op.apply("MatMul", &[rows, value]);
    op.finish_picture(value)
}

/// Row i has the weights of what goes into place i of the result.
fn matrix(op: &mut Op<'_, '_>, from: usize, to: usize, places: Places) -> Result<ValueId, Refusal> {
    let mut weights = vec![0f32; from * to];
    for (place, row) in weights.chunks_exact_mut(from).enumerate() {
        for (at, weight) in taps(place, from, to, places) {
            row[at] += weight;
        }
    }
    let tensor = Tensor::new([to, from], weights).map_err(|error| error.to_string())?;
    Ok(op.add_constant(tensor))
}

/// The four pixels that a place of the result is made of, with their weights.
fn taps(place: usize, from: usize, to: usize, places: Places) -> [(usize, f32); 4] {
    let scale = match places.aligned && to > 1 {
        true => (from - 1) as f32 / (to - 1) as f32,
        false => from as f32 / to as f32,
    };
    let exact = match places.half {
        true => (place as f32 + 0.5) * scale - 0.5,
        false => place as f32 * scale,
    };
    let whole = exact.floor();
    let step = ((exact - whole) * STEPS as f32).round_ties_even() as i64;
    let weights = [
        far(step, places),
        near(step, places),
        near(STEPS - step, places),
        far(STEPS - step, places),
    ];
    let first = whole as i64 - 1;
    let last = from as i64 - 1;
    let mut taps = [(0, 0f32); 4];
    for (index, (tap, weight)) in taps.iter_mut().zip(weights).enumerate() {
        let at = first + index as i64;
        let held = at.clamp(0, last);
        // With half pixels what lies outside counts for nothing, else for the border.
        let counts = !places.half || held == at;
        *tap = (held as usize, if counts { weight } else { 0.0 });
    }
    if places.half {
        let sum: f32 = taps.iter().map(|(_, weight)| weight).sum();
        taps.iter_mut().for_each(|(_, weight)| *weight *= 1.0 / sum);
    }
    taps
}

/// The constant of the cubic: Keys' with half pixels.
fn constant(places: Places) -> f64 {
    if places.half { -0.5 } else { -0.75 }
}

/// The cubic between 0 and 1.
fn near(step: i64, places: Places) -> f32 {
    let (a, x) = (constant(places), step as f64 / STEPS as f64);
    (((a + 2.0) * x - (a + 3.0)) * x * x + 1.0) as f32
}

/// The cubic between 1 and 2.
fn far(step: i64, places: Places) -> f32 {
    let (a, x) = (constant(places), step as f64 / STEPS as f64 + 1.0);
    (((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_stay_inside() {
        for places in [(false, false), (true, false), (false, true)] {
            let places = Places { aligned: places.0, half: places.1 };
            for (from, to) in [(1, 1), (1, 5), (7, 3), (4, 9)] {
                for place in 0..to {
                    let taps = taps(place, from, to, places);
                    let sum: f32 = taps.iter().map(|tap| tap.1).sum();
                    assert!((sum - 1.0).abs() < 1e-5, "{places:?} {from} {to} {place}: {sum}");
                    assert!(taps.iter().all(|tap| tap.0 < from));
                }
            }
        }
    }
}
