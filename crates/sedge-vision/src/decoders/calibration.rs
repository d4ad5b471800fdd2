use serde::{Deserialize, Serialize};

use super::DecoderError;

/// Scores that mean the same for every class: each class has a sigmoid of its own, fitted after
/// training, through which its score goes.
///
/// Source: `tensorflow_lite_support/cc/task/core/score_calibration.cc` of tensorflow/tflite-support,
/// whose precision is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// What is done to a score before its sigmoid.
    pub transformation: Transformation,
    /// The score of a class without a sigmoid, and of scores below a class's least.
    pub default_score: f32,
    /// For each class of the output a scale, slope, offset and, where it has one, the least score;
    /// nothing for a class without a sigmoid, which those beyond the list are too.
    pub sigmoids: Vec<Vec<f32>>,
}

/// What is done to a score before its sigmoid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transformation {
    /// Nothing.
    #[default]
    Identity,
    /// Its logarithm.
    Log,
    /// The logarithm of the odds, which a logistic function had made the score of.
    InverseLogistic,
}

impl Calibration {
    /// Finds out what cannot be meant for an output of so many classes.
    pub(super) fn check(&self, classes: usize) -> Result<(), DecoderError> {
        let wrong = |why| DecoderError::Parameter { key: "calibration.sigmoids", why };
        if self.sigmoids.len() > classes {
            let count = self.sigmoids.len();
            return Err(wrong(format!("has {count} rows, but the model has {classes} classes")));
        }
        let bad = self.sigmoids.iter().position(|row| !matches!(row.len(), 0 | 3 | 4));
        bad.map_or(Ok(()), |class| {
            let what = "a scale, slope, offset and perhaps the least score";
            Err(wrong(format!("has a row for class {class} that is not {what}")))
        })
    }

    /// The calibrated score of a class, between 0 and its scale.
    pub(super) fn apply(&self, class: usize, score: f32) -> f32 {
        let row = self.sigmoids.get(class).map_or(&[][..], Vec::as_slice);
        let &[scale, slope, offset, ref least @ ..] = row else { return self.default_score };
        if least.first().is_some_and(|&least| score < least) {
            return self.default_score;
        }
        let at = self.transformation.apply(score) * slope + offset;
        // Whichever form keeps the exponential small.
        if at >= 0.0 {
            (f64::from(scale) / (1.0 + (-f64::from(at)).exp())) as f32
        } else {
            let odds = f64::from(at).exp() as f32;
            (f64::from(scale * odds) / (1.0 + f64::from(odds))) as f32
        }
    }
}

impl Transformation {
    fn apply(self, score: f32) -> f32 {
        match self {
            Transformation::Identity => score,
            Transformation::Log => logarithm(score),
            Transformation::InverseLogistic => {
                logarithm(score) - logarithm((1.0 - f64::from(score)) as f32)
            }
        }
    }
}

/// A logarithm that goes on below the least score, mirrored there, so that no score is without one
/// and their order stays.
fn logarithm(score: f32) -> f32 {
    const LEAST: f32 = 1e-16;
    let (score, least) = (f64::from(score), f64::from(LEAST));
    if score < least {
        return (2.0 * least.ln() - (2.0 * least - score).ln()) as f32;
    }
    score.ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_formula_in_double_precision() {
        // Computed in Python: scale / (1 + exp(-(slope * transformed + offset))).
        for (transformation, wanted) in [
            (Transformation::Identity, [0.3397866, 0.5602134, 0.5848469, 0.2890505]),
            (Transformation::Log, [0.0202281, 0.1543077, 0.0479136, 0.2689414]),
            (Transformation::InverseLogistic, [0.0353433, 0.6912276, 0.0479136, 0.9401079]),
        ] {
            let mut sigmoids = vec![vec![0.9, 2.0, -1.0]; 2];
            sigmoids.extend([vec![0.8, 0.1, 1.0], vec![1.0, 0.1, -1.0]]);
            let calibration = Calibration { transformation, sigmoids, default_score: 0.5 };
            for (class, score) in [0.25, 0.75, 0.0, 1.0].into_iter().enumerate() {
                let (got, want): (f32, f32) = (calibration.apply(class, score), wanted[class]);
                assert!((got - want).abs() < 1e-6, "{transformation:?} {score}: {got}, not {want}");
            }
        }
    }

    #[test]
    fn classes_without_a_sigmoid_and_scores_below_the_least_have_the_default() {
        let sigmoids = vec![vec![], vec![1.0, 1.0, 0.0, 0.3]];
        let calibration = Calibration { sigmoids, default_score: 0.125, ..Default::default() };
        assert_eq!([0, 1, 2].map(|class| calibration.apply(class, 0.2)), [0.125; 3]);
        assert!(calibration.apply(1, 0.3) > 0.5);
        assert!(calibration.check(2).is_ok());
        assert!(calibration.check(1).is_err());
        let cut = Calibration { sigmoids: vec![vec![1.0]], ..Default::default() };
        assert!(cut.check(9).unwrap_err().to_string().contains("a row for class 0"));
    }
}
