/// A box by its corners: least y, least x, greatest y, greatest x.
pub type Corners = [f32; 4];

/// Greedy non-maximum suppression as onnxruntime computes ONNX's operator, order and ties included.
///
/// Source: `onnxruntime/core/providers/cpu/object_detection/non_max_suppression.cc`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suppression {
    /// Boxes that are kept at most.
    pub most: usize,
    /// Overlap above which the worse box goes.
    pub overlap_threshold: f32,
    /// Score a box must exceed, when there is one.
    pub score_threshold: Option<f32>,
}

impl Suppression {
    /// The boxes that are kept, best first; of equal scores the first box.
    pub fn run(&self, boxes: &[Corners], scores: &[f32]) -> Vec<usize> {
        let good = |&row: &usize| self.score_threshold.is_none_or(|least| scores[row] > least);
        let mut rows: Vec<usize> = (0..boxes.len().min(scores.len())).filter(good).collect();
        rows.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        keep(&rows, boxes, self.most, self.overlap_threshold)
    }
}

/// Of rows by falling score, those that overlap no better one too much.
pub(crate) fn keep(rows: &[usize], boxes: &[Corners], most: usize, threshold: f32) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for &row in rows {
        if kept.len() >= most {
            break;
        }
        if !kept.iter().any(|&other| overlap(&boxes[other], &boxes[row]) > threshold) {
            kept.push(row);
        }
    }
    kept
}

/// Intersection over union, 0 for boxes without area.
fn overlap(a: &Corners, b: &Corners) -> f32 {
    let area = |c: &Corners| (c[2] - c[0]) * (c[3] - c[1]);
    let (area_a, area_b) = (area(a), area(b));
    if area_a <= 0.0 || area_b <= 0.0 {
        return 0.0;
    }
    let height = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let width = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let both = height * width;
    both / (area_a + area_b - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_without_area_suppress_nothing_and_none_are_kept_without_being_asked_for() {
        let boxes = [[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 1.0, 0.9]];
        let all = Suppression { most: 9, overlap_threshold: 0.0, score_threshold: None };
        assert_eq!(all.run(&boxes, &[0.5, 0.5, 0.4]), [0, 1]);
        assert!(Suppression { most: 0, ..all }.run(&boxes, &[0.5, 0.5, 0.4]).is_empty());
        let above = Suppression { score_threshold: Some(0.5), ..all };
        assert!(above.run(&boxes, &[0.5, 0.5, 0.4]).is_empty());
    }
}
