use serde::{Deserialize, Serialize};

use super::activation::sigmoid;
use super::outputs::is_finite;
use super::{Activation, ClassMode, Coordinates, DecoderError, Output};
use crate::Placement;
use crate::nms::{Candidates, Detection, Nms};

mod boxes;
mod source;

pub use boxes::GridBox;
pub use source::GridLayout;
use source::Source;

/// `kind = "grid"`: one-stage detectors of the YOLO kind, as a combination of named choices.
///
/// Every location (a cell of a map, or one of its anchors) has a run of numbers: a box, perhaps an
/// objectness, and class scores. The families, sources in brackets:
///
/// | family | `layout` | `box_form` | `fields` | other keys |
/// |---|---|---|---|---|
/// | YOLOv3, raw heads (Redmon & Farhadi 2018) | `maps-nchw` | `sigmoid-exp` | `box-objectness-classes` | `anchors`, `activation = "sigmoid"` |
/// | YOLOv5/v7, raw heads (`ultralytics/yolov5`, `models/yolo.py`, `Detect`) | `maps-anchor-first` | `sigmoid-square` | `box-objectness-classes` | `anchors`, `activation = "sigmoid"` |
/// | YOLOv5/v7, exported `[1, N, 5+C]` | `rows` | `center-size` | `box-objectness-classes` | |
/// | YOLOv8/v11, exported `[1, 4+C, N]` (`ultralytics/nn/modules/head.py`) | `columns` | `center-size` | `box-classes` | `nms.iou_threshold = 0.7` |
/// | YOLOv8/v11, raw heads `[1, 64+C, H, W]` | `maps-nchw` | `distance-bins` | `box-classes` | `activation = "sigmoid"` |
/// | YOLOX, exported without decoding (`Megvii-BaseDetection/YOLOX`) | `rows` | `offset-exp` | `box-objectness-classes` | `strides = [8, 16, 32]` |
/// | FastestDet (`dog-qiuqiu/FastestDet`) | `maps-nchw` | `tanh-sigmoid` | `objectness-box-classes` | `score_form = "weighted"`, `nms = { scope = "class-agnostic", add_pixel = "picture" }` |
///
/// Exports to TensorFlow Lite often divide the boxes by the input's size: `coordinates =
/// "relative"`. Detectors with suppression inside the graph (`[1, N, 6]`) are
/// [`super::DetectionRows`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Output names: one per map, or the one tensor. Default: for maps every output the model has
    /// (or with `strides`, those whose size fits), else the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// How the numbers lie in the outputs.
    pub layout: GridLayout,
    /// What the box's numbers mean.
    pub box_form: GridBox,
    /// Which numbers a location has, in which order.
    pub fields: GridFields,
    /// Distance of two cells of each map in pixels of the input. Default: the input's size divided
    /// by the map's; needed for boxes that are not decoded yet in `rows` and `columns`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strides: Vec<u32>,
    /// Width and height in pixels of the input of every anchor of every map, in the maps' order.
    /// Default: none, one box per cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<Vec<[f32; 2]>>,
    /// Unit of boxes that are decoded already; default `pixels`.
    #[serde(default = "pixels")]
    pub coordinates: Coordinates,
    /// Bins per side of `distance-bins`; default 16.
    #[serde(default = "bins")]
    pub bins: usize,
    /// Number of classes, where more numbers follow them (masks, key points); default: all the
    /// rest are classes. With none at all, the objectness is the score of class 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_count: Option<usize>,
    /// What turns objectness and classes into probabilities; default `none`. With `softmax` the
    /// objectness takes a sigmoid (YOLOv2).
    #[serde(default)]
    pub activation: Activation,
    /// How objectness and class score become one; default `product`.
    #[serde(default)]
    pub score_form: GridScore,
    /// Exponent of the objectness in `score_form = "weighted"`; default 0.6.
    #[serde(default = "objectness_weight")]
    pub objectness_weight: f32,
    /// Whether a location gives one object or one per class; default `argmax`.
    #[serde(default)]
    pub class_mode: ClassMode,
    /// Lowest score to report; default 0.25.
    #[serde(default = "score_threshold")]
    pub score_threshold: f32,
    /// Suppression of overlapping boxes.
    #[serde(default)]
    pub nms: Nms,
}

/// Which numbers a location has, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GridFields {
    /// Box, objectness, classes: YOLOv2 to v7, YOLOX.
    BoxObjectnessClasses,
    /// Objectness, box, classes.
    ObjectnessBoxClasses,
    /// Box, classes: YOLOv8 and later.
    BoxClasses,
}

/// How objectness and class score become one score. Without objectness it is the class score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GridScore {
    /// objectness * class.
    #[default]
    Product,
    /// objectness^w * class^(1-w), w being `objectness_weight`.
    Weighted,
}

fn pixels() -> Coordinates {
    Coordinates::Pixels
}

fn bins() -> usize {
    16
}

fn objectness_weight() -> f32 {
    0.6
}

fn score_threshold() -> f32 {
    0.25
}

/// Where the parts of a location's numbers are.
struct Spans {
    bounds: std::ops::Range<usize>,
    objectness: Option<usize>,
    classes: std::ops::Range<usize>,
}

impl Grid {
    pub(super) fn detect(
        &self,
        outputs: &[Output<'_>],
        placement: &Placement,
        threshold: Option<f32>,
    ) -> Result<Vec<Detection>, DecoderError> {
        let threshold = threshold.unwrap_or(self.score_threshold);
        let mut candidates = Candidates::new(self.nms.max_candidates);
        for source in Source::all(self, outputs, placement)? {
            let output = source.output;
            let values = output.numbers()?;
            for block in source.blocks(&values) {
                let spans = self.spans(output, block.fields)?;
                block.visit(|location, row| {
                    let objectness = spans.objectness.map(|at| self.objectness(row[at]));
                    let classes = &row[spans.classes.clone()];
                    let mut emit = |class, class_score| {
                        let score = self.score(objectness, class_score);
                        if score < threshold {
                            return Ok(());
                        }
                        let cell = block.cell(location);
                        let bounds = self.box_form.decode(
                            &row[spans.bounds.clone()],
                            &cell,
                            self,
                            placement,
                        );
                        if !score.is_finite() || !is_finite(bounds) {
                            return Err(output.not_finite());
                        }
                        candidates.push(Detection { class, score, bounds });
                        Ok(())
                    };
                    if classes.is_empty() {
                        return emit(0, 1.0);
                    }
                    self.class_mode.visit(self.activation, classes, None, emit)
                })?;
            }
        }
        Ok(self.nms.suppress(candidates, placement))
    }

    /// Class scores of a location; `None` where the objectness alone is the score.
    pub(super) fn class_count(
        &self,
        outputs: &[Output<'_>],
        placement: &Placement,
    ) -> Result<Option<usize>, DecoderError> {
        let sources = Source::all(self, outputs, placement)?;
        let Some(source) = sources.first() else { return Ok(None) };
        let values = source.output.numbers()?;
        let fields = source.blocks(&values).first().map(|block| block.fields);
        let spans = fields.map(|fields| self.spans(source.output, fields)).transpose()?;
        Ok(spans.map(|spans| spans.classes.len()).filter(|&count| count > 0))
    }

    fn spans(&self, output: &Output<'_>, fields: usize) -> Result<Spans, DecoderError> {
        let bounds = self.box_form.fields(self.bins);
        let (start, objectness) = match self.fields {
            GridFields::BoxObjectnessClasses => (0, Some(bounds)),
            GridFields::ObjectnessBoxClasses => (1, Some(0)),
            GridFields::BoxClasses => (0, None),
        };
        let head = bounds.saturating_add(usize::from(objectness.is_some()));
        let least = if objectness.is_some() { 0 } else { 1 };
        let classes = self.class_count.unwrap_or(fields.saturating_sub(head));
        let end = head.saturating_add(classes);
        if end > fields || classes < least {
            let needs = format!(
                "at least {} numbers for each location, there are {fields}",
                head.saturating_add(classes.max(least))
            );
            return Err(output.wrong_shape(needs));
        }
        Ok(Spans { bounds: start..start + bounds, objectness, classes: head..end })
    }

    fn objectness(&self, raw: f32) -> f32 {
        match self.activation {
            Activation::None => raw,
            Activation::Sigmoid | Activation::Softmax => sigmoid(raw),
        }
    }

    fn score(&self, objectness: Option<f32>, class: f32) -> f32 {
        match (objectness, self.score_form) {
            (None, _) => class,
            (Some(objectness), GridScore::Product) => objectness * class,
            (Some(objectness), GridScore::Weighted) => {
                objectness.powf(self.objectness_weight) * class.powf(1.0 - self.objectness_weight)
            }
        }
    }
}
