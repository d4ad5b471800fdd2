//! Non-maximum suppression: of boxes that overlap, only the best stays.

use serde::{Deserialize, Serialize};

use crate::decoders::DecoderError;
use crate::{Box2d, Placement};

/// A box a detector proposes, before it is brought to the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Class index as the model emits it.
    pub class: usize,
    /// How sure the model is.
    pub score: f32,
    /// Where it is, relative to the model's input (0..1 over its width and height), not clamped.
    pub bounds: Box2d,
}

/// Non-maximum suppression: of boxes that overlap, only the best stays.
///
/// Greedy: boxes are taken by falling score (equal scores: the earlier first), and each is dropped
/// when its overlap with one already kept is *greater* than `iou_threshold`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nms {
    /// Which boxes compete; default `per-class`.
    pub scope: NmsScope,
    /// Intersection over union above which the weaker box goes; default 0.45.
    pub iou_threshold: f32,
    /// Whether widths and heights count one pixel more; default `none`.
    pub add_pixel: AddPixel,
    /// Only so many of the best boxes enter; default 30000.
    pub max_candidates: usize,
    /// Only so many of the best boxes leave; default 300.
    pub max_objects: usize,
}

/// Which boxes compete in [`Nms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NmsScope {
    /// Boxes of one class.
    PerClass,
    /// All boxes, whatever their class.
    ClassAgnostic,
    /// None: the model has done it itself. The two limits still hold.
    None,
}

/// Whether a box includes its last pixel, as in the `x2 - x1 + 1` of Fast R-CNN's `nms.py` and
/// what was written after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddPixel {
    /// Widths are `xmax - xmin`.
    None,
    /// One pixel of the upright picture is added to each side.
    Picture,
    /// One pixel of the model's input is added to each side.
    Input,
}

impl Default for Nms {
    fn default() -> Self {
        Self {
            scope: NmsScope::PerClass,
            iou_threshold: 0.45,
            add_pixel: AddPixel::None,
            max_candidates: 30_000,
            max_objects: 300,
        }
    }
}

impl Nms {
    /// Finds values that mean nothing.
    pub(crate) fn check(&self) -> Result<(), DecoderError> {
        let wrong = |key, why: &str| Err(DecoderError::Parameter { key, why: why.into() });
        if !(0.0..=1.0).contains(&self.iou_threshold) {
            return wrong("nms.iou_threshold", "is not between 0 and 1");
        }
        if self.max_candidates == 0 || self.max_objects == 0 {
            return wrong("nms", "lets no object through: its limits are at least 1");
        }
        Ok(())
    }

    /// The boxes that stay, best first. `placement` says how large a pixel is for `add_pixel`.
    pub fn run(
        &self,
        detections: impl IntoIterator<Item = Detection>,
        placement: &Placement,
    ) -> Vec<Detection> {
        let mut candidates = Candidates::new(self.max_candidates);
        detections.into_iter().for_each(|detection| candidates.push(detection));
        self.suppress(candidates, placement)
    }

    pub(crate) fn suppress(&self, candidates: Candidates, placement: &Placement) -> Vec<Detection> {
        let sorted = candidates.into_sorted();
        let pixel = self.pixel(placement);
        let threshold = f64::from(self.iou_threshold);
        let mut kept: Vec<Detection> = Vec::new();
        for candidate in sorted {
            if kept.len() >= self.max_objects {
                break;
            }
            let competes = |other: &&Detection| match self.scope {
                NmsScope::PerClass => other.class == candidate.class,
                NmsScope::ClassAgnostic => true,
                NmsScope::None => false,
            };
            let overlaps =
                |other: &Detection| iou(other.bounds, candidate.bounds, pixel) > threshold;
            if !kept.iter().filter(competes).any(overlaps) {
                kept.push(candidate);
            }
        }
        kept
    }

    /// What is added to width and height, in relative input coordinates.
    fn pixel(&self, placement: &Placement) -> [f64; 2] {
        let (width, height) = (f64::from(placement.input_width), f64::from(placement.input_height));
        match self.add_pixel {
            AddPixel::None => [0.0, 0.0],
            AddPixel::Picture => [placement.scale_x / width, placement.scale_y / height],
            AddPixel::Input => [1.0 / width, 1.0 / height],
        }
    }
}

/// Intersection over union of two boxes, 0..=1; `pixel` is added to every width and height, in the
/// unit of the boxes. Boxes without an area overlap nothing.
pub fn iou(a: Box2d, b: Box2d, pixel: [f64; 2]) -> f64 {
    let side = |min: f32, max: f32, extra: f64| (f64::from(max) - f64::from(min) + extra).max(0.0);
    let area = |b: Box2d| side(b.xmin, b.xmax, pixel[0]) * side(b.ymin, b.ymax, pixel[1]);
    let shared = area(Box2d {
        xmin: a.xmin.max(b.xmin),
        ymin: a.ymin.max(b.ymin),
        xmax: a.xmax.min(b.xmax),
        ymax: a.ymax.min(b.ymax),
    });
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// The best so many detections of a stream, in bounded memory.
pub(crate) struct Candidates {
    limit: usize,
    pushed: usize,
    entries: Vec<(usize, Detection)>,
}

impl Candidates {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, pushed: 0, entries: Vec::new() }
    }

    pub(crate) fn push(&mut self, detection: Detection) {
        self.entries.push((self.pushed, detection));
        self.pushed += 1;
        if self.entries.len() >= self.limit.saturating_mul(2).max(1024) {
            self.prune();
        }
    }

    fn prune(&mut self) {
        if self.limit < self.entries.len() {
            self.entries.select_nth_unstable_by(self.limit, better);
            self.entries.truncate(self.limit);
        }
    }

    fn into_sorted(mut self) -> impl Iterator<Item = Detection> {
        self.prune();
        self.entries.sort_unstable_by(better);
        self.entries.into_iter().map(|(_, detection)| detection)
    }
}

fn better(a: &(usize, Detection), b: &(usize, Detection)) -> std::cmp::Ordering {
    b.1.score.total_cmp(&a.1.score).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(class: usize, score: f32, xmin: f32) -> Detection {
        Detection { class, score, bounds: Box2d { xmin, ymin: 0.0, xmax: xmin + 1.0, ymax: 1.0 } }
    }

    fn placement() -> Placement {
        Placement::stretch((10, 10), (10, 10))
    }

    #[test]
    fn equal_scores_keep_the_earlier_and_equal_overlap_stays() {
        let nms = Nms { iou_threshold: 1.0 / 3.0, ..Nms::default() };
        // Half a box apart: the overlap is exactly a third.
        let all = [detection(0, 0.5, 0.5), detection(0, 0.5, 0.0), detection(0, 0.5, 0.75)];
        let kept = nms.run(all, &placement());
        assert_eq!(kept, [all[0], all[1]]);
    }

    #[test]
    fn scope_decides_who_competes() {
        let all = [detection(0, 0.9, 0.0), detection(1, 0.8, 0.0)];
        for (scope, count) in
            [(NmsScope::PerClass, 2), (NmsScope::ClassAgnostic, 1), (NmsScope::None, 2)]
        {
            let nms = Nms { scope, ..Nms::default() };
            assert_eq!(nms.run(all, &placement()).len(), count, "{scope:?}");
        }
    }

    #[test]
    fn limits_keep_the_best() {
        let many = (0..5000).map(|i| detection(i, (i % 1700) as f32, 0.0));
        let nms = Nms { max_candidates: 4, max_objects: 3, ..Nms::default() };
        let kept: Vec<usize> = nms.run(many, &placement()).iter().map(|d| d.class).collect();
        assert_eq!(kept, [1699, 3399, 1698]);
        let nothing = Nms { max_candidates: 0, ..Nms::default() };
        assert!(nothing.run([detection(0, 1.0, 0.0)], &placement()).is_empty());
    }

    #[test]
    fn an_added_pixel_enlarges_the_overlap() {
        let (a, b) = (detection(0, 1.0, 0.0).bounds, detection(0, 1.0, 1.0).bounds);
        assert_eq!(iou(a, b, [0.0; 2]), 0.0);
        assert_eq!(iou(a, b, [1.0; 2]), 2.0 / 6.0);
        assert_eq!(iou(a, Box2d { xmin: 1.0, ymin: 0.0, xmax: 0.0, ymax: 1.0 }, [0.0; 2]), 0.0);
    }
}
