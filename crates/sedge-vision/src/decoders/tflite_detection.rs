use serde::{Deserialize, Serialize};

use super::outputs::{Pool, is_finite, matrix};
use super::{Calibration, DecoderError, Output};
use crate::Box2d;
use crate::nms::Detection;

/// `kind = "tflite-detection"`: the four outputs of `TFLite_Detection_PostProcess`.
///
/// Boxes `[1, N, 4]` (ymin, xmin, ymax, xmax, relative to the input), classes `[1, N]`, scores
/// `[1, N]`, count `[1]`: TensorFlow's `tensorflow/lite/kernels/detection_postprocess.cc`. Classes
/// are counted without the background, so the first label belongs to index 0; exports through
/// `saved_model` (`detection_boxes`, ...) count it, so there `label_offset` is 1.
///
/// Outputs that are not named are recognised by shape, then by position: `boxes, classes, scores,
/// count` (the operator's own order) or `scores, boxes, count, classes` (TensorFlow 2 exports), and
/// otherwise by the words *score* and *class* in their names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TfliteDetection {
    /// Name of the boxes output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<String>,
    /// Name of the classes output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// Name of the scores output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// Name of the output that says how many rows are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// What makes the scores of different classes comparable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Lowest score to report, calibrated where they are; default 0.
    pub score_threshold: f32,
}

struct Roles<'o, 'a> {
    boxes: &'o Output<'a>,
    classes: &'o Output<'a>,
    scores: &'o Output<'a>,
    count: &'o Output<'a>,
}

impl TfliteDetection {
    pub(super) fn detect(
        &self,
        outputs: &[Output<'_>],
        threshold: Option<f32>,
    ) -> Result<Vec<Detection>, DecoderError> {
        let threshold = threshold.unwrap_or(self.score_threshold);
        let Roles { boxes, classes, scores, count } = self.roles(outputs)?;
        if let Some(calibration) = &self.calibration {
            calibration.check(usize::MAX)?;
        }
        let Some([rows, 4]) = boxes.matrix() else {
            return Err(boxes.wrong_shape("[1, N, 4]"));
        };
        for other in [classes, scores] {
            if other.tensor.len() != rows {
                return Err(other.wrong_shape(format!("[1, {rows}], one for each box")));
            }
        }
        let counted = count.values()?;
        let &[counted] = counted.as_ref() else {
            return Err(count.wrong_shape("a single number"));
        };
        if !counted.is_finite() {
            return Err(count.not_finite());
        }
        let (box_values, class_values, score_values) =
            (boxes.values()?, classes.values()?, scores.values()?);
        // Rows beyond the count are not written by the operator: whatever was in memory.
        let meant = rows.min(counted.round().max(0.0) as usize);
        let mut detections = Vec::new();
        let rows = box_values.chunks_exact(4).zip(class_values.iter()).zip(score_values.iter());
        for ((corners, &class), &score) in rows.take(meant) {
            if score.is_nan() {
                return Err(scores.not_finite());
            }
            // A little above 1 is what quantised scores may give.
            if !(-0.05..=1.05).contains(&score) {
                return Err(DecoderError::Score { output: scores.name.into(), value: score });
            }
            let bounds =
                Box2d { xmin: corners[1], ymin: corners[0], xmax: corners[3], ymax: corners[2] };
            // Uncalibrated scores need no class to be left out.
            if self.calibration.is_none() && score < threshold {
                continue;
            }
            if !is_finite(bounds) {
                return Err(boxes.not_finite());
            }
            let Some(class) = classes.class(class)? else { continue };
            let calibrated = |c: &Calibration| c.apply(class, score);
            let score = self.calibration.as_ref().map_or(score, calibrated);
            if score >= threshold {
                detections.push(Detection { class, score, bounds });
            }
        }
        Ok(detections)
    }

    fn roles<'o, 'a>(&self, outputs: &'o [Output<'a>]) -> Result<Roles<'o, 'a>, DecoderError> {
        let mut pool = Pool::new(outputs);
        let boxes = pool.named("boxes", self.boxes.as_deref())?;
        let classes = pool.named("classes", self.classes.as_deref())?;
        let scores = pool.named("scores", self.scores.as_deref())?;
        let count = pool.named("count", self.count.as_deref())?;
        let boxes = match boxes {
            Some(boxes) => boxes,
            None => pool.only("boxes", |o| matches!(o.tensor.shape(), [1, _, 4]))?,
        };
        let rows = matrix(boxes.tensor.shape()).map_or(0, |[rows, _]| rows);
        let count = match count {
            Some(count) => count,
            None => pool.only("count", |o| matches!(o.tensor.shape(), [] | [1]))?,
        };
        let says = |o: &Output<'_>, word: &str| o.name.to_lowercase().contains(word);
        let (classes, scores) = match (classes, scores) {
            (Some(classes), Some(scores)) => (classes, scores),
            (Some(classes), None) => (classes, pool.only("scores", |o| o.tensor.len() == rows)?),
            (None, Some(scores)) => (pool.only("classes", |o| o.tensor.len() == rows)?, scores),
            (None, None) => {
                let position = |o: &Output<'_>| outputs.iter().position(|p| std::ptr::eq(p, o));
                let places = (position(boxes), position(count));
                match *pool.left() {
                    [first, second] if says(first, "score") && says(second, "class") => {
                        (second, first)
                    }
                    [first, second] if says(first, "class") && says(second, "score") => {
                        (first, second)
                    }
                    [first, second] if places == (Some(0), Some(3)) => (first, second),
                    [first, second] if places == (Some(1), Some(2)) => (second, first),
                    _ => return Err(pool.unclear("scores")),
                }
            }
        };
        Ok(Roles { boxes, classes, scores, count })
    }
}

#[cfg(test)]
mod tests {
    use sedge_tensor::Tensor;

    use super::*;

    #[test]
    fn outputs_are_told_apart_in_both_orders() {
        let boxes = Tensor::new([1, 2, 4], vec![0.1f32, 0.2, 0.3, 0.4, 0., 0., 1., 1.]).unwrap();
        let classes = Tensor::new([1, 2], vec![7.0f32, 1.0]).unwrap();
        let scores = Tensor::new([1, 2], vec![0.9f32, f32::NAN]).unwrap();
        let count = Tensor::vector(vec![1.0f32]);
        let output = |name, tensor| Output { name, tensor, quantization: None };
        let [b, c, s, n] =
            [output("3", &boxes), output("2", &classes), output("1", &scores), output("0", &count)];
        let expected = Detection {
            class: 7,
            score: 0.9,
            bounds: Box2d { xmin: 0.2, ymin: 0.1, xmax: 0.4, ymax: 0.3 },
        };
        let decoder = TfliteDetection::default();
        assert_eq!(decoder.detect(&[b, c, s, n], None).unwrap(), [expected]);
        assert_eq!(decoder.detect(&[s, b, n, c], None).unwrap(), [expected]);

        let unclear = decoder.detect(&[s, c, b, n], None).unwrap_err();
        assert!(unclear.to_string().contains("decoder.scores"), "{unclear}");
        let named = TfliteDetection { scores: Some("1".into()), ..decoder.clone() };
        assert_eq!(named.detect(&[s, c, b, n], None).unwrap(), [expected]);
        let swapped = TfliteDetection { scores: Some("2".into()), ..decoder };
        let error = swapped.detect(&[b, c, s, n], None).unwrap_err();
        assert_eq!(error, DecoderError::Score { output: "2".into(), value: 7.0 });
    }
}
