//! `TFLite_Detection_PostProcess`: box decoding and non-maximum suppression as TensorFlow Lite
//! computes them, orders and ties included.
//!
//! Source: `tensorflow/lite/kernels/detection_postprocess.cc`.

use crate::suppression::{Corners, keep};

/// What the operator is told.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct DetectionOptions {
    pub max_detections: usize,
    pub max_classes_per_detection: usize,
    pub detections_per_class: usize,
    pub per_class: bool,
    pub classes: usize,
    pub score_threshold: f32,
    pub overlap_threshold: f32,
    /// Divisors of the encodings: y, x, height, width.
    pub scales: [f32; 4],
}

/// The operator's results; rows that were not found are zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detection {
    /// Four corners a row: ymin, xmin, ymax, xmax.
    pub boxes: Vec<f32>,
    /// Class of each row.
    pub classes: Vec<f32>,
    /// Score of each row.
    pub scores: Vec<f32>,
    /// Rows that were found.
    pub count: f32,
}

impl DetectionOptions {
    /// Rows of the result.
    pub fn rows(&self) -> usize {
        if self.per_class {
            self.max_detections
        } else {
            self.max_detections.saturating_mul(self.max_classes_per_detection)
        }
    }

    /// `encodings` and `anchors` are (y, x, height, width) per box, `scores` begin with columns
    /// that are no class when they have more than `classes`.
    pub fn run(&self, encodings: &[f32], scores: &[f32], anchors: &[f32]) -> Detection {
        let boxes: Vec<Corners> = encodings
            .as_chunks::<4>()
            .0
            .iter()
            .zip(anchors.as_chunks::<4>().0)
            .map(|(encoding, anchor)| self.decode(encoding, anchor))
            .collect();
        let columns = scores.len() / boxes.len().max(1);
        let Some(background) = columns.checked_sub(self.classes) else {
            return Detection::default();
        };
        let class_scores = |row: usize| &scores[row * columns + background..][..self.classes];
        let found = if self.per_class {
            self.by_class(&boxes, &class_scores)
        } else {
            self.best_first(&boxes, &class_scores)
        };
        self.answer(&boxes, &found)
    }

    /// In doubles, as the original.
    fn decode(&self, encoding: &[f32; 4], anchor: &[f32; 4]) -> Corners {
        let [y, x, height, width] =
            std::array::from_fn(|i| f64::from(encoding[i]) / f64::from(self.scales[i]));
        let [anchor_y, anchor_x, anchor_height, anchor_width] = anchor.map(f64::from);
        let centre_y = (y * anchor_height + anchor_y) as f32;
        let centre_x = (x * anchor_width + anchor_x) as f32;
        let half_height = (0.5 * height.exp() * anchor_height) as f32;
        let half_width = (0.5 * width.exp() * anchor_width) as f32;
        [
            centre_y - half_height,
            centre_x - half_width,
            centre_y + half_height,
            centre_x + half_width,
        ]
    }

    /// Suppression among boxes by their best class ("fast").
    fn best_first<'s>(
        &self,
        boxes: &[Corners],
        class_scores: &dyn Fn(usize) -> &'s [f32],
    ) -> Vec<(usize, usize, f32)> {
        let per_box = self.max_classes_per_detection.min(self.classes).max(1);
        let ranked: Vec<Vec<usize>> =
            (0..boxes.len()).map(|row| best(class_scores(row), per_box)).collect();
        let score = |row: usize| ranked[row].first().map_or(0.0, |&class| class_scores(row)[class]);
        let scores: Vec<f32> = (0..boxes.len()).map(score).collect();
        let rows = self.suppress(boxes, &scores, self.max_detections);
        let of_row = |row: usize| {
            ranked[row].iter().map(move |&class| (row, class, class_scores(row)[class]))
        };
        rows.into_iter().flat_map(of_row).collect()
    }

    /// Suppression among the boxes of each class ("regular").
    fn by_class<'s>(
        &self,
        boxes: &[Corners],
        class_scores: &dyn Fn(usize) -> &'s [f32],
    ) -> Vec<(usize, usize, f32)> {
        let mut found: Vec<(usize, usize, f32)> = Vec::new();
        for class in 0..self.classes {
            let scores: Vec<f32> = (0..boxes.len()).map(|row| class_scores(row)[class]).collect();
            let rows = self.suppress(boxes, &scores, self.detections_per_class);
            found.extend(rows.into_iter().map(|row| (row, class, scores[row])));
            // Only the best so far stay; the order among equals depends on it.
            found.sort_by(|a, b| b.2.total_cmp(&a.2));
            found.truncate(self.max_detections);
        }
        found
    }

    fn suppress(&self, boxes: &[Corners], scores: &[f32], most: usize) -> Vec<usize> {
        let mut rows: Vec<usize> =
            (0..scores.len()).filter(|&row| scores[row] >= self.score_threshold).collect();
        rows.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        keep(&rows, boxes, most, self.overlap_threshold)
    }

    fn answer(&self, boxes: &[Corners], found: &[(usize, usize, f32)]) -> Detection {
        let rows = self.rows();
        let mut result = Detection {
            boxes: vec![0.0; rows * 4],
            classes: vec![0.0; rows],
            scores: vec![0.0; rows],
            count: 0.0,
        };
        for (i, &(row, class, score)) in found.iter().take(rows).enumerate() {
            result.boxes[i * 4..][..4].copy_from_slice(&boxes[row]);
            result.classes[i] = class as f32;
            result.scores[i] = score;
        }
        let per_box = self.max_classes_per_detection.min(self.classes).max(1);
        let found = if self.per_class { found.len() } else { found.len() / per_box };
        result.count = found as f32;
        result
    }
}

/// The `count` greatest of some scores, the first of equals first.
fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if count == 1 {
        let greater = |best: usize, i: usize| if scores[i] > scores[best] { i } else { best };
        return order.into_iter().reduce(greater).into_iter().collect();
    }
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_keep_their_order_and_overlaps_go() {
        let options = DetectionOptions {
            max_detections: 3,
            max_classes_per_detection: 1,
            detections_per_class: 100,
            per_class: false,
            classes: 2,
            score_threshold: 0.5,
            overlap_threshold: 0.6,
            scales: [10.0, 10.0, 5.0, 5.0],
        };
        let anchors: Vec<f32> =
            [0.5, 0.5, 0.2, 0.2, 0.51, 0.5, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1].into();
        let scores = [0.9, 0.1, 0.7, 0.9, 0.7, 0.2, 0.9, 0.5, 0.5];
        let found = options.run(&[0.0; 12], &scores, &anchors);
        assert_eq!((found.count, found.classes), (2.0, vec![1.0, 0.0, 0.0]));
        assert_eq!(found.scores, [0.7, 0.5, 0.0]);
        assert_eq!(found.boxes[..4], [0.4, 0.4, 0.6, 0.6]);
    }
}
