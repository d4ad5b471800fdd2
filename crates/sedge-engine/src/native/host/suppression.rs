//! ONNX's `NonMaxSuppression`: per class, greedy, by intersection over union.

use sedge_graph::Node;
use sedge_kernels::{Corners, Suppression};
use sedge_tensor::Tensor;

use super::Host;

#[derive(Debug)]
pub(super) struct NonMaxSuppression {
    /// Boxes are centre and size instead of corners.
    centres: bool,
    /// Which of the optional operands are there: most boxes, overlap, score.
    given: [bool; 3],
}

impl Host for NonMaxSuppression {
    fn run(&self, operands: &[&Tensor]) -> Result<Tensor, String> {
        let text = |error: sedge_tensor::TensorError| error.to_string();
        let [boxes, scores, options @ ..] = operands else { return Err("operands lack".into()) };
        let (&[batch, count, 4], &[scores_of, classes, scored]) = (boxes.shape(), scores.shape())
        else {
            return Err("boxes or scores have a wrong number of dimensions".into());
        };
        if (scores_of, scored) != (batch, count) {
            return Err("boxes and scores do not belong together".into());
        }
        let mut options = options.iter();
        let mut option = |given: bool| options.next().filter(|_| given);
        let most = option(self.given[0]).and_then(|t| t.to_i64()?.first().copied());
        let mut number = |given| option(given).and_then(|t| t.to_f32()?.first().copied());
        let suppression = Suppression {
            most: most.map_or(0, |most| usize::try_from(most).unwrap_or(0)),
            overlap_threshold: number(self.given[1]).unwrap_or(0.0),
            score_threshold: number(self.given[2]),
        };
        let (boxes, scores) =
            (boxes.view::<f32>().map_err(text)?, scores.view::<f32>().map_err(text)?);
        let corners: Vec<Corners> =
            boxes.as_chunks::<4>().0.iter().map(|&numbers| self.corners(numbers)).collect();
        let mut rows: Vec<i64> = Vec::new();
        for picture in 0..batch {
            for class in 0..classes {
                let scores = &scores[(picture * classes + class) * count..][..count];
                let kept = suppression.run(&corners[picture * count..][..count], scores);
                rows.extend(
                    kept.into_iter().flat_map(|row| [picture, class, row].map(|n| n as i64)),
                );
            }
        }
        Tensor::new([rows.len() / 3, 3], rows).map_err(text)
    }
}

impl NonMaxSuppression {
    pub(super) fn read(node: &Node) -> Self {
        Self {
            centres: node.int("center_point_box") == Some(1),
            given: [2, 3, 4].map(|operand| node.input(operand).is_some()),
        }
    }

    fn corners(&self, [a, b, c, d]: [f32; 4]) -> Corners {
        if self.centres {
            // x, y, width, height.
            return [b - d / 2.0, a - c / 2.0, b + d / 2.0, a + c / 2.0];
        }
        [a.min(c), b.min(d), a.max(c), b.max(d)]
    }
}
