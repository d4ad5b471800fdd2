//! `ai.sedge.BoxNms`: defined beside its expansion, in `sedge-graph/src/passes/box_nms.rs`.

use std::cmp::Ordering;

use sedge_graph::Node;
use sedge_tensor::Tensor;

use super::{Host, suppress};

#[derive(Debug)]
pub(super) struct BoxNms {
    score: usize,
    start: usize,
    class: Option<usize>,
    /// Rows of this class are no objects.
    background: f32,
    valid: f32,
    overlap: f32,
    /// Candidates that are looked at; all if there is no bound.
    most: Option<usize>,
    force: bool,
    from_centres: bool,
    to_centres: bool,
}

impl BoxNms {
    pub(super) fn read(node: &Node) -> Option<Self> {
        let index = |name: &str| usize::try_from(node.int(name).unwrap_or(-1)).ok();
        let flag = |name: &str| node.int(name) == Some(1);
        Some(Self {
            score: index("score_index")?,
            start: index("coord_start")?,
            class: index("id_index"),
            background: node.int("background_id").unwrap_or(-1) as f32,
            valid: node.float("valid_thresh")?,
            overlap: node.float("overlap_thresh")?,
            most: index("topk"),
            force: flag("force_suppress"),
            from_centres: flag("in_center"),
            to_centres: flag("out_center"),
        })
    }

    fn class(&self, row: &[f32]) -> Option<i32> {
        // Truncated, as a conversion to an integer is.
        self.class.map(|class| row[class] as i32)
    }

    fn corners(&self, row: &[f32]) -> [f32; 4] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|side| row[self.start + side]);
        if self.from_centres {
            [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0]
        } else {
            [a, b, c, d]
        }
    }

    /// Rows above the thresholds, best first.
    fn candidates(&self, rows: &[&[f32]]) -> Vec<usize> {
        let good = |&index: &usize| {
            let row = rows[index];
            let is_background = self.class.is_some_and(|class| row[class] == self.background);
            row[self.score] > self.valid && !is_background
        };
        let mut order: Vec<usize> = (0..rows.len()).filter(good).collect();
        let score = |index: usize| rows[index][self.score];
        order.sort_by(|&a, &b| score(b).partial_cmp(&score(a)).unwrap_or(Ordering::Equal));
        order.truncate(self.most.unwrap_or(usize::MAX));
        order
    }

    fn picture(&self, rows: &[&[f32]], into: &mut [f32], width: usize) {
        let order = self.candidates(rows);
        let boxes: Vec<[f32; 4]> = order.iter().map(|&index| self.corners(rows[index])).collect();
        let classes: Vec<_> = order.iter().map(|&index| self.class(rows[index])).collect();
        let areas: Vec<f32> =
            boxes.iter().map(|b| length(b[0], b[2]) * length(b[1], b[3])).collect();
        let kept = suppress(order.len(), |first, second| {
            if !self.force && classes[first] != classes[second] {
                return false;
            }
            let (a, b) = (&boxes[first], &boxes[second]);
            let both =
                length(a[0].max(b[0]), a[2].min(b[2])) * length(a[1].max(b[1]), a[3].min(b[3]));
            both / (areas[first] + areas[second] - both) > self.overlap
        });
        let left = order.into_iter().zip(kept).filter(|(_, kept)| *kept);
        for ((index, _), row) in left.zip(into.chunks_exact_mut(width)) {
            row.copy_from_slice(rows[index]);
            self.convert(&mut row[self.start..][..4]);
        }
    }

    /// The other form of box. MXNet tells rows without a box by a negative first coordinate.
    fn convert(&self, sides: &mut [f32]) {
        let &mut [a, b, c, d] = sides else { return };
        if self.from_centres == self.to_centres || a < 0.0 {
            return;
        }
        sides.copy_from_slice(&match self.to_centres {
            true => [(a + c) / 2.0, (b + d) / 2.0, c - a, d - b],
            false => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        });
    }
}

fn length(start: f32, end: f32) -> f32 {
    (end - start).max(0.0)
}

impl Host for BoxNms {
    fn run(&self, operands: &[&Tensor]) -> Result<Tensor, String> {
        let text = |error: sedge_tensor::TensorError| error.to_string();
        let [input] = operands else { return Err("operands lack".into()) };
        let &[.., count, width] = input.shape() else {
            return Err("its operand has not two dimensions".into());
        };
        let last = self.score.max(self.start.saturating_add(3)).max(self.class.unwrap_or(0));
        if last >= width {
            return Err("its rows are too short".into());
        }
        let values = input.view::<f32>().map_err(text)?;
        if self.most == Some(0) || count == 0 {
            return Tensor::new(input.shape(), values.into_owned()).map_err(text);
        }
        let mut output = vec![-1f32; values.len()];
        for (from, to) in
            values.chunks_exact(count * width).zip(output.chunks_exact_mut(count * width))
        {
            let rows: Vec<&[f32]> = from.chunks_exact(width).collect();
            self.picture(&rows, to, width);
        }
        Tensor::new(input.shape(), output).map_err(text)
    }
}
