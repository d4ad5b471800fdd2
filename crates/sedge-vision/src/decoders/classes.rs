use serde::{Deserialize, Serialize};

use super::outputs::Pool;
use super::{Activation, Calibration, DecoderError, Output};

/// `kind = "classes"`: one score per class.
///
/// The output may have any shape of which at most one dimension is greater than one: `[N]`,
/// `[1, N]`, `[1, N, 1, 1]`, `[1, 1, 1, N]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Classes {
    /// Which output; default the only one of such a shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What turns the output into probabilities; default `none`.
    pub activation: Activation,
    /// What makes the probabilities of different classes comparable, after the activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Lowest score to report; all are when it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_threshold: Option<f32>,
}

impl Classes {
    /// The score of every class, in output order. NaN and infinities are errors.
    pub fn probabilities(&self, outputs: &[Output<'_>]) -> Result<Vec<f32>, DecoderError> {
        let output =
            Pool::new(outputs).named_or_only("output", self.output.as_deref(), is_vector)?;
        if !is_vector(output) {
            return Err(output.wrong_shape("one score per class, such as [1, classes]"));
        }
        let mut scores = output.values()?.into_owned();
        self.activation.apply(&mut scores);
        if scores.iter().any(|v| !v.is_finite()) {
            return Err(output.not_finite());
        }
        if let Some(calibration) = &self.calibration {
            calibration.check(scores.len())?;
            for (class, score) in scores.iter_mut().enumerate() {
                *score = calibration.apply(class, *score);
            }
        }
        Ok(scores)
    }
}

fn is_vector(output: &Output<'_>) -> bool {
    let long = output.tensor.shape().iter().filter(|&&d| d != 1).count();
    long <= 1 && !output.tensor.is_empty()
}

#[cfg(test)]
mod tests {
    use sedge_tensor::{Quantization, Tensor};

    use super::*;

    fn probabilities(tensor: &Tensor, activation: Activation) -> Result<Vec<f32>, DecoderError> {
        let classes = Classes { activation, ..Classes::default() };
        classes.probabilities(&[Output { name: "out", tensor, quantization: None }])
    }

    #[test]
    fn every_usual_shape_is_a_vector() {
        for shape in [vec![2], vec![1, 2], vec![1, 2, 1, 1], vec![1, 1, 1, 2]] {
            let tensor = Tensor::new(shape, vec![0.0f32, 3f32.ln()]).unwrap();
            let soft = probabilities(&tensor, Activation::Softmax).unwrap();
            assert!((soft[1] - 0.75).abs() < 1e-6, "{soft:?}");
        }
        for shape in [vec![2, 2], vec![0], vec![4, 0]] {
            let count = shape.iter().product();
            let tensor = Tensor::new(shape, vec![0.0f32; count]).unwrap();
            let error = probabilities(&tensor, Activation::None).unwrap_err();
            assert!(matches!(error, DecoderError::Shape { .. }));
        }
    }

    #[test]
    fn one_of_several_outputs_is_named_unless_only_one_fits() {
        let (vector, map) =
            (Tensor::vector(vec![0.5f32, 0.5]), Tensor::new([2, 2], vec![0.0f32; 4]));
        let map = map.unwrap();
        let output = |name, tensor| Output { name, tensor, quantization: None };
        let (a, b, c) = (output("a", &vector), output("b", &map), output("c", &vector));
        assert!(Classes::default().probabilities(&[b, a]).is_ok());
        let unclear = Classes::default().probabilities(&[a, b, c]).unwrap_err();
        assert!(unclear.to_string().contains("Hint: name it with `decoder.output`"), "{unclear}");
        let named = Classes { output: Some("c".into()), ..Classes::default() };
        assert!(named.probabilities(&[a, b, c]).is_ok());
    }

    #[test]
    fn broken_numbers_are_errors_under_every_activation() {
        for activation in [Activation::None, Activation::Softmax, Activation::Sigmoid] {
            let tensor = Tensor::vector(vec![0.5, f32::NAN]);
            let error = probabilities(&tensor, activation).unwrap_err();
            assert_eq!(error, DecoderError::NotFinite { output: "out".into() });
        }
        let huge = Tensor::vector(vec![1e30f32, -1e30]);
        assert_eq!(probabilities(&huge, Activation::Softmax).unwrap(), [1.0, 0.0]);
    }

    #[test]
    fn calibrated_scores_are_cut_off_at_the_threshold_unless_a_request_says_otherwise() {
        let tensor = Tensor::vector(vec![0.9f32, 0.8, 0.1]);
        let sigmoids = vec![vec![0.2, 1.0, 0.0], vec![1.0, 4.0, 0.0], vec![1.0, 1.0, 0.0]];
        let calibration = Some(Calibration { sigmoids, ..Calibration::default() });
        let classes = Classes { calibration, score_threshold: Some(0.5), ..Classes::default() };
        let decoder = crate::Decoder::Classes(classes);
        let output = Output { name: "out", tensor: &tensor, quantization: None };
        let answered = |threshold| {
            let selection = crate::decoders::Selection { threshold, top_k: None };
            let placement = crate::Placement::stretch((1, 1), (1, 1));
            let answer =
                decoder.decode(&[output], &placement, &crate::Labels::default(), selection);
            let Ok(crate::Answer::Classes(classes)) = answer else { panic!("no classes") };
            classes.iter().map(|class| class.index).collect::<Vec<_>>()
        };
        assert_eq!(answered(None), [1, 2]);
        assert_eq!(answered(Some(0.0)), [1, 2, 0]);
    }

    #[test]
    fn integers_follow_their_quantisation() {
        let tensor = Tensor::vector(vec![0u8, 64, 255]);
        let quantization = Quantization { scale: vec![1.0 / 256.0], zero_point: vec![0], axis: 0 };
        let mut output = Output { name: "out", tensor: &tensor, quantization: Some(&quantization) };
        let scores = Classes::default().probabilities(&[output]).unwrap();
        assert_eq!(scores, [0.0, 0.25, 255.0 / 256.0]);
        let hostile = Quantization { scale: vec![1.0], zero_point: vec![i64::MIN], axis: 0 };
        output.quantization = Some(&hostile);
        let error = Classes::default().probabilities(&[output]).unwrap_err();
        assert!(matches!(error, DecoderError::Quantization { .. }));
    }
}
