use serde::{Deserialize, Serialize};

use super::outputs::{Pool, is_finite, matrix};
use super::{Coordinates, DecoderError, Output};
use crate::Placement;
use crate::nms::Detection;

/// `kind = "ids-scores-boxes"`: one row per object in three outputs, as GluonCV's detectors export
/// them (SSD, YOLOv3 and Faster R-CNN with suppression inside the graph).
///
/// Ids `[1, N, 1]`, scores `[1, N, 1]`, boxes `[1, N, 4]` (xmin, ymin, xmax, ymax). Rows with a
/// negative id are padding. Outputs that are not named: the boxes by their shape, the other two in
/// this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdsScoresBoxes {
    /// Name of the class ids output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// Name of the scores output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// Name of the boxes output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<String>,
    /// Unit of the boxes; default `pixels`.
    pub coordinates: Coordinates,
    /// Lowest score to report; default 0.
    pub score_threshold: f32,
}

impl Default for IdsScoresBoxes {
    fn default() -> Self {
        Self {
            ids: None,
            scores: None,
            boxes: None,
            coordinates: Coordinates::Pixels,
            score_threshold: 0.0,
        }
    }
}

impl IdsScoresBoxes {
    pub(super) fn detect(
        &self,
        outputs: &[Output<'_>],
        placement: &Placement,
        threshold: Option<f32>,
    ) -> Result<Vec<Detection>, DecoderError> {
        let threshold = threshold.unwrap_or(self.score_threshold);
        let mut pool = Pool::new(outputs);
        let ids = pool.named("ids", self.ids.as_deref())?;
        let scores = pool.named("scores", self.scores.as_deref())?;
        let boxes = match pool.named("boxes", self.boxes.as_deref())? {
            Some(boxes) => boxes,
            None => pool.only("boxes", |o| matches!(matrix(o.tensor.shape()), Some([_, 4])))?,
        };
        let (ids, scores) = match (ids, scores, pool.left()) {
            (Some(ids), Some(scores), _) => (ids, scores),
            (Some(ids), None, [scores]) => (ids, *scores),
            (None, Some(scores), [ids]) => (*ids, scores),
            (None, None, [ids, scores]) => (*ids, *scores),
            (Some(_), None, _) => return Err(pool.unclear("scores")),
            (None, _, _) => return Err(pool.unclear("ids")),
        };

        let Some([rows, 4]) = boxes.matrix() else {
            return Err(boxes.wrong_shape("[1, N, 4]"));
        };
        for other in [ids, scores] {
            if other.tensor.len() != rows {
                return Err(other.wrong_shape(format!("[1, {rows}, 1], one for each box")));
            }
        }
        let (id_values, score_values, box_values) =
            (ids.numbers()?, scores.values()?, boxes.values()?);
        let mut detections = Vec::new();
        let rows = id_values.iter().zip(score_values.iter()).zip(box_values.chunks_exact(4));
        for ((&id, &score), corners) in rows {
            let Some(class) = ids.class(id)? else { continue };
            if !score.is_finite() {
                return Err(scores.not_finite());
            }
            if score < threshold {
                continue;
            }
            let corners = [corners[0], corners[1], corners[2], corners[3]];
            let bounds = self.coordinates.corners(corners, placement);
            if !is_finite(bounds) {
                return Err(boxes.not_finite());
            }
            detections.push(Detection { class, score, bounds });
        }
        Ok(detections)
    }
}
