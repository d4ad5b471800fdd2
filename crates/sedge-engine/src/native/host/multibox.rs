//! `ai.sedge.MultiBoxDetection`: defined beside its expansion, in
//! `sedge-graph/src/passes/multibox.rs`.

use std::cmp::Ordering;

use sedge_graph::{Attribute, Node};
use sedge_tensor::Tensor;

use super::{Host, suppress};

/// Class, score, corners.
type Row = [f32; 6];

#[derive(Debug)]
pub(super) struct MultiBoxDetection {
    threshold: f32,
    /// Overlap at which the worse box goes; none to keep all.
    overlap: Option<f32>,
    most: Option<usize>,
    force: bool,
    clip: bool,
    variances: [f32; 4],
}

impl MultiBoxDetection {
    pub(super) fn read(node: &Node) -> Option<Self> {
        let Some(Attribute::Floats(variances)) = node.attributes.get("variances") else {
            return None;
        };
        Some(Self {
            threshold: node.float("threshold")?,
            overlap: node.float("nms_threshold").filter(|&overlap| overlap > 0.0 && overlap <= 1.0),
            most: node
                .int("nms_topk")
                .and_then(|most| usize::try_from(most).ok())
                .filter(|&n| n > 0),
            force: node.int("force_suppress") == Some(1),
            clip: node.int("clip") != Some(0),
            variances: variances.as_slice().try_into().ok()?,
        })
    }

    fn corners(&self, anchor: &[f32; 4], offset: &[f32; 4]) -> [f32; 4] {
        let side = |axis: usize| {
            let (start, end) = (anchor[axis], anchor[axis + 2]);
            let (length, centre) = (end - start, (start + end) / 2.0);
            let moved = offset[axis] * self.variances[axis] * length + centre;
            let reach = (offset[axis + 2] * self.variances[axis + 2]).exp() * length / 2.0;
            let bound = |x: f32| if self.clip { x.clamp(0.0, 1.0) } else { x };
            (bound(moved - reach), bound(moved + reach))
        };
        let ((left, right), (top, bottom)) = (side(0), side(1));
        [left, top, right, bottom]
    }

    /// The best class of an anchor, without the background, when it is good enough.
    fn best(&self, scores: &[f32], anchor: usize, anchors: usize) -> Option<(usize, f32)> {
        let mut best = None;
        let mut greatest = -1.0;
        for (class, of_class) in scores.chunks_exact(anchors).skip(1).enumerate() {
            if of_class[anchor] > greatest {
                greatest = of_class[anchor];
                best = Some((class, greatest));
            }
        }
        best.filter(|(_, score)| *score >= self.threshold)
    }

    fn suppressed(&self, rows: &mut [Row], overlap: f32) {
        let unsorted = rows.to_vec();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let score = |index: usize| unsorted[index][1];
        order.sort_by(|&a, &b| score(b).partial_cmp(&score(a)).unwrap_or(Ordering::Equal));
        let count = self.most.unwrap_or(rows.len()).min(rows.len());
        // What lies beyond the best stays where it was, without its class.
        rows.iter_mut().skip(count).for_each(|row| row[0] = -1.0);
        for (row, &index) in rows.iter_mut().zip(&order[..count]) {
            *row = unsorted[index];
        }
        let best = &rows[..count];
        let kept = suppress(count, |first, second| {
            let (a, b) = (&best[first], &best[second]);
            (self.force || a[0] == b[0]) && intersection_over_union(a, b) >= overlap
        });
        for (row, kept) in rows.iter_mut().zip(kept) {
            if !kept {
                row[0] = -1.0;
            }
        }
    }
}

fn intersection_over_union(a: &Row, b: &Row) -> f32 {
    let width = (a[4].min(b[4]) - a[2].max(b[2])).max(0.0);
    let height = (a[5].min(b[5]) - a[3].max(b[3])).max(0.0);
    let both = width * height;
    let area = |row: &Row| (row[4] - row[2]) * (row[5] - row[3]);
    let all = area(a) + area(b) - both;
    if all <= 0.0 { 0.0 } else { both / all }
}

impl Host for MultiBoxDetection {
    fn run(&self, operands: &[&Tensor]) -> Result<Tensor, String> {
        let text = |error: sedge_tensor::TensorError| error.to_string();
        let [scores, offsets, anchors] = operands else { return Err("operands lack".into()) };
        let &[batch, classes, count] = scores.shape() else {
            return Err("its scores have not three dimensions".into());
        };
        if anchors.len() != count * 4 || offsets.len() != batch * count * 4 {
            return Err("its scores, offsets and anchors do not belong together".into());
        }
        let scores = scores.view::<f32>().map_err(text)?;
        let (offsets, anchors) =
            (offsets.view::<f32>().map_err(text)?, anchors.view::<f32>().map_err(text)?);
        let (offsets, anchors) = (offsets.as_chunks::<4>().0, anchors.as_chunks::<4>().0);
        let mut output = vec![[-1f32; 6]; batch * count];
        for picture in 0..batch {
            let scores = &scores[picture * classes * count..][..classes * count];
            let rows = &mut output[picture * count..][..count];
            let mut found = 0;
            for (anchor, corners) in anchors.iter().enumerate() {
                if let Some((class, score)) = self.best(scores, anchor, count) {
                    let [left, top, right, bottom] =
                        self.corners(corners, &offsets[picture * count + anchor]);
                    rows[found] = [class as f32, score, left, top, right, bottom];
                    found += 1;
                }
            }
            if let Some(overlap) = self.overlap {
                self.suppressed(&mut rows[..found], overlap);
            }
        }
        Tensor::new([batch, count, 6], output.into_flattened()).map_err(text)
    }
}
