use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::outputs::{Pool, is_finite, matrix};
use super::{Activation, AnchorMaps, ClassMode, Coordinates, DecoderError, Output};
use crate::nms::{Candidates, Detection, Nms};
use crate::{Box2d, Placement};

/// `kind = "ssd-anchors"`: the raw heads of a single-shot detector, boxes `[1, N, 4]` and scores
/// `[1, N, C]`, one row per anchor.
///
/// Box coding: Liu et al., *SSD: Single Shot MultiBox Detector* (2016), with variances as in its
/// Caffe implementation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsdAnchors {
    /// Name of the boxes output; default the only one of shape `[1, N, 4]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<String>,
    /// Name of the scores output; default the only other one with N rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// What a row of the boxes means. No default: a wrong guess looks almost right.
    pub box_form: SsdBox,
    /// Order of the axes in a row of the boxes; default `xy`.
    #[serde(default)]
    pub axes: SsdAxes,
    /// Unit of `box_form = "corners"`; default `relative`.
    #[serde(default = "relative")]
    pub coordinates: Coordinates,
    /// Factors on the regressed centre and size, x, y, width, height; default 0.1, 0.1, 0.2, 0.2.
    #[serde(default = "variances")]
    pub variances: [f32; 4],
    /// The rule that makes the anchors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<AnchorMaps>,
    /// The anchors themselves, `cx, cy, width, height` relative to the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchor_list: Vec<[f32; 4]>,
    /// A file of the package with the anchors (see [`super::parse_anchors`]); whoever loads the
    /// package puts them into `anchor_list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_file: Option<String>,
    /// What turns a row of scores into probabilities; default `none`.
    #[serde(default)]
    pub activation: Activation,
    /// The class that stands for nothing; default none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<usize>,
    /// Whether an anchor gives one object or one per class; default `argmax`.
    #[serde(default)]
    pub class_mode: ClassMode,
    /// Lowest score to report; default 0.5.
    #[serde(default = "half")]
    pub score_threshold: f32,
    /// Suppression of overlapping boxes.
    #[serde(default)]
    pub nms: Nms,
}

/// What a row of an SSD's boxes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SsdBox {
    /// Distance from the anchor's centre in anchor sizes, and the logarithm of the size's ratio to
    /// the anchor's, each divided by its variance.
    CenterVariance,
    /// Decoded already: xmin, ymin, xmax, ymax. No anchors are needed.
    Corners,
}

/// Order of the axes in a row of an SSD's boxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SsdAxes {
    /// x before y, width before height.
    #[default]
    Xy,
    /// y before x, height before width: the habit of TensorFlow's Object Detection API.
    Yx,
}

fn relative() -> Coordinates {
    Coordinates::Relative
}

fn variances() -> [f32; 4] {
    [0.1, 0.1, 0.2, 0.2]
}

fn half() -> f32 {
    0.5
}

impl SsdAnchors {
    pub(super) fn detect(
        &self,
        outputs: &[Output<'_>],
        placement: &Placement,
        threshold: Option<f32>,
    ) -> Result<Vec<Detection>, DecoderError> {
        let threshold = threshold.unwrap_or(self.score_threshold);
        let (boxes, scores) = self.roles(outputs)?;
        let Some([rows, 4]) = boxes.matrix() else {
            return Err(boxes.wrong_shape("[1, N, 4]"));
        };
        let classes = match scores.matrix() {
            Some([n, classes]) if n == rows && classes > 0 => classes,
            _ => return Err(scores.wrong_shape(format!("[1, {rows}, classes]"))),
        };
        let anchors = match self.box_form {
            SsdBox::CenterVariance => self.anchors(rows, placement)?,
            SsdBox::Corners => Cow::Borrowed(&[] as &[[f32; 4]]),
        };
        let (box_values, score_values) = (boxes.numbers()?, scores.numbers()?);
        let mut candidates = Candidates::new(self.nms.max_candidates);
        let rows = box_values.chunks_exact(4).zip(score_values.chunks_exact(classes));
        for (i, (row, row_scores)) in rows.enumerate() {
            let emit = |class, score: f32| {
                if score < threshold {
                    return Ok(());
                }
                let row = match self.axes {
                    SsdAxes::Xy => [row[0], row[1], row[2], row[3]],
                    SsdAxes::Yx => [row[1], row[0], row[3], row[2]],
                };
                let bounds = match anchors.get(i) {
                    Some(&anchor) => decode(row, anchor, self.variances),
                    None => self.coordinates.corners(row, placement),
                };
                if !score.is_finite() {
                    return Err(scores.not_finite());
                }
                if !is_finite(bounds) {
                    return Err(boxes.not_finite());
                }
                candidates.push(Detection { class, score, bounds });
                Ok(())
            };
            self.class_mode.visit(self.activation, row_scores, self.background, emit)?;
        }
        Ok(self.nms.suppress(candidates, placement))
    }

    /// Columns of the scores, a background class included.
    pub(super) fn class_count(&self, outputs: &[Output<'_>]) -> Result<usize, DecoderError> {
        let (_, scores) = self.roles(outputs)?;
        Ok(scores.matrix().map_or(0, |[_, classes]| classes))
    }

    fn roles<'o, 'a>(
        &self,
        outputs: &'o [Output<'a>],
    ) -> Result<(&'o Output<'a>, &'o Output<'a>), DecoderError> {
        let mut pool = Pool::new(outputs);
        let boxes = pool.named("boxes", self.boxes.as_deref())?;
        let scores = pool.named("scores", self.scores.as_deref())?;
        let boxes = match boxes {
            Some(boxes) => boxes,
            None => pool.only("boxes", |o| matches!(matrix(o.tensor.shape()), Some([_, 4])))?,
        };
        let rows = boxes.matrix().map(|[rows, _]| rows);
        let scores = match scores {
            Some(scores) => scores,
            None => pool.only("scores", |o| o.matrix().map(|[rows, _]| rows) == rows)?,
        };
        Ok((boxes, scores))
    }

    fn anchors(
        &self,
        rows: usize,
        placement: &Placement,
    ) -> Result<Cow<'_, [[f32; 4]]>, DecoderError> {
        let wrong = |key, why: String| Err(DecoderError::Parameter { key, why });
        if !self.anchor_list.is_empty() {
            let count = self.anchor_list.len();
            if count != rows {
                let why = format!("holds {count} anchors, the outputs have {rows}");
                return wrong("anchor_list", why);
            }
            return Ok(Cow::Borrowed(&self.anchor_list));
        }
        match (&self.anchors, &self.anchor_file) {
            (Some(maps), None) => Ok(Cow::Owned(maps.generate(rows, placement)?)),
            (None, None) => wrong(
                "anchors",
                "is missing. Hint: `box_form = \"center-variance\"` needs `anchors`, \
                 `anchor_list` or `anchor_file`"
                    .into(),
            ),
            (_, Some(file)) => wrong("anchor_file", format!("names {file}, which was not loaded")),
        }
    }
}

fn decode(row: [f32; 4], anchor: [f32; 4], variances: [f32; 4]) -> Box2d {
    let [cx, cy, width, height] = anchor;
    let cx = cx + row[0] * variances[0] * width;
    let cy = cy + row[1] * variances[1] * height;
    let half_width = width * (row[2] * variances[2]).exp() / 2.0;
    let half_height = height * (row[3] * variances[3]).exp() / 2.0;
    Box2d {
        xmin: cx - half_width,
        ymin: cy - half_height,
        xmax: cx + half_width,
        ymax: cy + half_height,
    }
}
