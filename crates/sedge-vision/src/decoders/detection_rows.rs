use serde::{Deserialize, Serialize};

use super::outputs::{Pool, is_finite};
use super::{Coordinates, DecoderError, Output};
use crate::Placement;
use crate::nms::Detection;

/// `kind = "detection-rows"`: six numbers per object in one output `[1, N, 6]`, suppression done by
/// the model.
///
/// The defaults are MXNet's `MultiBoxDetection` (`src/operator/contrib/multibox_detection.cc`), and
/// with it SageMaker's object detection. Rows with a negative class are padding. Detectors that are
/// exported end to end (YOLOv10, YOLO26, YOLOv8 exported with `nms=True`) have
/// `columns = "corners-score-class"`, `coordinates = "pixels"` and want a `score_threshold`, since
/// they pad with rows of low score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionRows {
    /// Which output; default the only one of such a shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What the six numbers are; default `class-score-corners`.
    pub columns: RowColumns,
    /// Unit of the corners; default `relative`.
    pub coordinates: Coordinates,
    /// Lowest score to report; default 0.
    pub score_threshold: f32,
}

/// Order of a row's six numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowColumns {
    /// class, score, xmin, ymin, xmax, ymax.
    ClassScoreCorners,
    /// xmin, ymin, xmax, ymax, score, class.
    CornersScoreClass,
}

impl Default for DetectionRows {
    fn default() -> Self {
        Self {
            output: None,
            columns: RowColumns::ClassScoreCorners,
            coordinates: Coordinates::Relative,
            score_threshold: 0.0,
        }
    }
}

impl DetectionRows {
    pub(super) fn detect(
        &self,
        outputs: &[Output<'_>],
        placement: &Placement,
        threshold: Option<f32>,
    ) -> Result<Vec<Detection>, DecoderError> {
        let threshold = threshold.unwrap_or(self.score_threshold);
        let rows = |output: &Output<'_>| matches!(output.matrix(), Some([_, 6]));
        let output = Pool::new(outputs).named_or_only("output", self.output.as_deref(), rows)?;
        let Some([_, 6]) = output.matrix() else {
            return Err(output.wrong_shape("[1, N, 6]"));
        };
        let mut detections = Vec::new();
        for row in output.numbers()?.chunks_exact(6) {
            let (class, score, corners) = match self.columns {
                RowColumns::ClassScoreCorners => (row[0], row[1], [row[2], row[3], row[4], row[5]]),
                RowColumns::CornersScoreClass => (row[5], row[4], [row[0], row[1], row[2], row[3]]),
            };
            let Some(class) = output.class(class)? else { continue };
            if score < threshold {
                continue;
            }
            let bounds = self.coordinates.corners(corners, placement);
            if !score.is_finite() || !is_finite(bounds) {
                return Err(output.not_finite());
            }
            detections.push(Detection { class, score, bounds });
        }
        Ok(detections)
    }
}
