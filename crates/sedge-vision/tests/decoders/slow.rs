//! Detectors decoded the plain way: in f64, number by number, straight from the papers' formulas.

use sedge_vision::{Object, Placement};

/// A tensor with f64 reading by index.
pub(crate) struct Array<'a> {
    pub shape: Vec<usize>,
    pub values: &'a [f32],
}

impl Array<'_> {
    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        assert_eq!(index.len(), self.shape.len());
        let mut flat = 0;
        for (i, d) in index.iter().zip(&self.shape) {
            assert!(i < d);
            flat = flat * d + i;
        }
        f64::from(self.values[flat])
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub class: usize,
    pub score: f64,
    /// Centre and size in pixels of the input.
    pub centered: [f64; 4],
}

pub(crate) fn sigma(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

pub(crate) fn argmax(scores: &[f64]) -> (usize, f64) {
    let mut best = (0, scores[0]);
    for (i, &s) in scores.iter().enumerate() {
        if s > best.1 {
            best = (i, s);
        }
    }
    best
}

/// The mean of a softmax over bins.
pub(crate) fn expectation(bins: &[f64]) -> f64 {
    let sum: f64 = bins.iter().map(|b| b.exp()).sum();
    bins.iter().enumerate().map(|(i, b)| i as f64 * b.exp() / sum).sum()
}

/// Greedy suppression as removal from a list; boxes are corners.
pub(crate) fn suppress(
    boxes: &[(usize, f64, [f64; 4])],
    threshold: f64,
    agnostic: bool,
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..boxes.len()).collect();
    let mut kept = Vec::new();
    while !left.is_empty() {
        let mut best = left[0];
        for &i in &left {
            if boxes[i].1 > boxes[best].1 {
                best = i;
            }
        }
        kept.push(best);
        left.retain(|&i| {
            let rival = agnostic || boxes[i].0 == boxes[best].0;
            i != best && !(rival && overlap(boxes[i].2, boxes[best].2) > threshold)
        });
    }
    kept
}

fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let area = |c: [f64; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    width * height / (area(a) + area(b) - width * height)
}

/// Asserts that the objects are those found, every one above the threshold, best first.
pub(crate) fn assert_same(
    objects: &[Object],
    mut found: Vec<Found>,
    place: &Placement,
    threshold: f64,
) {
    // Scores so near the threshold that f32 and f64 may differ are left out on both sides.
    let margin = 1e-5;
    let wide = |b: [f64; 4]| b[2] - b[0] > 0.01 && b[3] - b[1] > 0.01;
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let expected: Vec<(usize, f64, [f64; 4])> = found
        .iter()
        .filter(|f| f.score > threshold + margin)
        .map(|f| (f.class, f.score, in_picture(f.centered, place)))
        .filter(|e| wide(e.2))
        .collect();
    let actual: Vec<&Object> = objects
        .iter()
        .filter(|o| f64::from(o.score) > threshold + margin)
        .filter(|o| wide(corners(o)))
        .collect();
    assert_eq!(actual.len(), expected.len(), "{actual:#?} {expected:#?}");
    assert!(objects.windows(2).all(|pair| pair[0].score >= pair[1].score));
    for (class, score, bounds) in &expected {
        let close = |o: &&&Object| {
            let edges = corners(o).into_iter().zip(*bounds);
            o.index == *class
                && (f64::from(o.score) - score).abs() < 1e-5
                && edges.into_iter().all(|(a, b)| (a - b).abs() < 0.01)
        };
        assert!(actual.iter().any(|o| close(&o)), "{class} {score} {bounds:?} in {actual:#?}");
    }
}

fn corners(object: &Object) -> [f64; 4] {
    let b = object.bounds;
    [b.xmin, b.ymin, b.xmax, b.ymax].map(f64::from)
}

fn in_picture([cx, cy, w, h]: [f64; 4], place: &Placement) -> [f64; 4] {
    let x = |v: f64| {
        ((v - place.offset_x) / place.scale_x).max(0.0).min(f64::from(place.picture_width))
    };
    let y = |v: f64| {
        ((v - place.offset_y) / place.scale_y).max(0.0).min(f64::from(place.picture_height))
    };
    [x(cx - w / 2.0), y(cy - h / 2.0), x(cx + w / 2.0), y(cy + h / 2.0)]
}
