//! From output tensors to classes and objects: one module per decoder, each knowing a *form* of
//! output and its parameters, none a model's name.

use sedge_tensor::{DType, Quantization, Tensor};
use serde::{Deserialize, Serialize};

use crate::nms::Detection;
use crate::{Answer, Class, Labels, Object, Placement};

mod activation;
mod anchors;
mod calibration;
mod classes;
mod detection_rows;
mod grid;
mod ids_scores_boxes;
mod outputs;
mod ssd_anchors;
mod tensor;
mod tflite_detection;

pub use activation::{Activation, ClassMode};
pub use anchors::{AnchorMaps, parse_anchors};
pub use calibration::{Calibration, Transformation};
pub use classes::Classes;
pub use detection_rows::{DetectionRows, RowColumns};
pub use grid::{Grid, GridBox, GridFields, GridLayout, GridScore};
pub use ids_scores_boxes::IdsScoresBoxes;
pub use ssd_anchors::{SsdAnchors, SsdAxes, SsdBox};
pub use tensor::Raw;
pub use tflite_detection::TfliteDetection;

/// How a model's outputs become classes or objects: `[decoder]` of `model.toml`.
///
/// `kind` names the decoder, the other keys are the fields of the struct it holds; unknown keys
/// are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Decoder {
    /// A vector of class scores.
    Classes(Classes),
    /// The four outputs of TensorFlow Lite's detection operator.
    TfliteDetection(TfliteDetection),
    /// Three outputs, one row per object, as GluonCV gives them.
    IdsScoresBoxes(IdsScoresBoxes),
    /// One output with a row of six numbers per object.
    DetectionRows(DetectionRows),
    /// Box regressions and scores of an SSD, one row per anchor.
    SsdAnchors(SsdAnchors),
    /// Maps or rows of a one-stage detector of the YOLO kind.
    Grid(Grid),
    // `anomaly` (Lookout for Vision's score and mask) comes here.
    /// No meaning: the tensors themselves.
    Tensor(Raw),
}

/// One output of a model's run on one picture (a batch of one).
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Its name in the model.
    pub name: &'a str,
    /// Its elements.
    pub tensor: &'a Tensor,
    /// What the integers of a quantised output mean; without it they are taken as numbers.
    pub quantization: Option<&'a Quantization>,
}

/// What a request wants of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Lowest score to report, instead of the decoder's `score_threshold`.
    pub threshold: Option<f32>,
    /// At most so many classes or objects.
    pub top_k: Option<usize>,
}

/// The unit of a box's or an anchor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coordinates {
    /// 0..1 over the model's input.
    Relative,
    /// Pixels of the model's input.
    Pixels,
}

/// Why outputs could not be decoded.
#[derive(Debug, thiserror::Error, PartialEq)]
#[allow(missing_docs)]
pub enum DecoderError {
    #[error(
        "`decoder.{key}` names the output `{name}`, which the model does not have; it has {have}"
    )]
    Missing { key: &'static str, name: String, have: String },
    #[error(
        "cannot tell which output is meant by `{key}`; the model has {have}. \
         Hint: name it with `decoder.{key}`"
    )]
    Unclear { key: &'static str, have: String },
    #[error("output `{output}` has the shape {shape:?}, the decoder needs {expected}")]
    Shape { output: String, shape: Vec<usize>, expected: String },
    #[error("output `{output}` holds {dtype} elements, the decoder needs numbers")]
    DType { output: String, dtype: DType },
    #[error("the quantisation of output `{output}` does not fit its shape {shape:?}")]
    Quantization { output: String, shape: Vec<usize> },
    #[error(
        "output `{output}` holds values that are not finite, or that overflow when decoded: the \
         model or its input is broken"
    )]
    NotFinite { output: String },
    #[error("output `{output}` holds {value}, which is no class index")]
    Class { output: String, value: f32 },
    #[error(
        "output `{output}` holds {value} as a score, which is outside 0..1. \
         Hint: name the outputs in the decoder (`scores`, `classes`)"
    )]
    Score { output: String, value: f32 },
    #[error("`decoder.{key}` {why}")]
    Parameter { key: &'static str, why: String },
    #[error("the picture's place in the model's input is degenerate: {0:?}")]
    Placement(Box<Placement>),
}

impl Decoder {
    /// Classes or objects from the outputs of one run on one picture.
    ///
    /// `placement` says where the picture lay in the input, so that boxes come back in its pixels.
    /// Boxes of which nothing lies inside the picture are dropped.
    pub fn decode(
        &self,
        outputs: &[Output<'_>],
        placement: &Placement,
        labels: &Labels,
        selection: Selection,
    ) -> Result<Answer, DecoderError> {
        let threshold = selection.threshold;
        let detections = match self {
            Decoder::Classes(classes) => {
                let scores = classes.probabilities(outputs)?;
                let threshold = threshold.or(classes.score_threshold);
                let selection = Selection { threshold, ..selection };
                return Ok(Answer::Classes(sorted_classes(&scores, labels, selection)));
            }
            Decoder::Tensor(_) => {
                let pair = |o: &Output<'_>| (o.name.to_owned(), o.tensor.clone());
                return Ok(Answer::Tensors(outputs.iter().map(pair).collect()));
            }
            Decoder::TfliteDetection(decoder) => decoder.detect(outputs, threshold)?,
            Decoder::IdsScoresBoxes(decoder) => decoder.detect(outputs, placement, threshold)?,
            Decoder::DetectionRows(decoder) => decoder.detect(outputs, placement, threshold)?,
            Decoder::SsdAnchors(decoder) => decoder.detect(outputs, placement, threshold)?,
            Decoder::Grid(decoder) => decoder.detect(outputs, placement, threshold)?,
        };
        Ok(Answer::Objects(sorted_objects(detections, placement, labels, selection)?))
    }
}

impl Decoder {
    /// Finds out, before there is any picture, what cannot work with a model whose outputs have
    /// these shapes (their elements are zeros) and whose input is `input` pixels wide and high.
    /// Returns the number of classes, where the shapes tell it.
    ///
    /// # Errors
    /// Outputs that do not exist, that cannot be told apart or have wrong shapes, and parameters
    /// that mean nothing.
    pub fn rehearse(
        &self,
        outputs: &[Output<'_>],
        input: (u32, u32),
    ) -> Result<Option<usize>, DecoderError> {
        if let Decoder::SsdAnchors(SsdAnchors { nms, .. }) | Decoder::Grid(Grid { nms, .. }) = self
        {
            nms.check()?;
        }
        let placement = Placement::stretch(input, input);
        // Nothing reaches this score, so that nothing is decoded or suppressed.
        let selection = Selection { threshold: Some(f32::INFINITY), top_k: None };
        match self.decode(outputs, &placement, &Labels::default(), selection) {
            // What zeros cannot show is left to real outputs.
            Ok(_) | Err(DecoderError::NotFinite { .. } | DecoderError::Placement(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(match self {
            Decoder::Classes(classes) => Some(classes.probabilities(outputs)?.len()),
            Decoder::SsdAnchors(ssd) => Some(ssd.class_count(outputs)?),
            Decoder::Grid(grid) => grid.class_count(outputs, &placement)?,
            _ => None,
        })
    }
}

fn sorted_classes(scores: &[f32], labels: &Labels, selection: Selection) -> Vec<Class> {
    let wanted = |&(_, score): &(usize, f32)| selection.threshold.is_none_or(|t| score >= t);
    let mut ranked: Vec<_> = scores.iter().copied().enumerate().filter(wanted).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.truncate(selection.top_k.unwrap_or(usize::MAX));
    let class = |(index, score)| Class { index, label: labels.get(index).map(Into::into), score };
    ranked.into_iter().map(class).collect()
}

fn sorted_objects(
    mut detections: Vec<Detection>,
    placement: &Placement,
    labels: &Labels,
    selection: Selection,
) -> Result<Vec<Object>, DecoderError> {
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut objects = Vec::new();
    for Detection { class, score, bounds } in detections {
        let bounds = placement.to_picture(bounds);
        let box_normalized = placement.normalized(bounds);
        if !outputs::is_finite(bounds) || !outputs::is_finite(box_normalized) {
            return Err(DecoderError::Placement(Box::new(*placement)));
        }
        if bounds.xmin >= bounds.xmax || bounds.ymin >= bounds.ymax {
            continue;
        }
        let label = labels.get(class).map(Into::into);
        objects.push(Object { index: class, label, score, bounds, box_normalized });
        if selection.top_k.is_some_and(|k| objects.len() >= k) {
            break;
        }
    }
    objects.truncate(selection.top_k.unwrap_or(usize::MAX));
    Ok(objects)
}
