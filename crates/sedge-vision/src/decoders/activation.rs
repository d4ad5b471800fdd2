use serde::{Deserialize, Serialize};

/// What turns a model's raw scores into probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing: the model has done it itself.
    #[default]
    None,
    /// Over all classes of a row; background included.
    Softmax,
    /// Each value by itself.
    Sigmoid,
}

/// How many classes one box may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassMode {
    /// One: the best, background aside.
    #[default]
    Argmax,
    /// Every class whose score passes makes an object of its own.
    PerClass,
}

impl Activation {
    /// Applies the activation in place.
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Activation::None => {}
            Activation::Sigmoid => values.iter_mut().for_each(|v| *v = sigmoid(*v)),
            Activation::Softmax => {
                let (max, sum) = softmax_terms(values);
                values.iter_mut().for_each(|v| *v = softmax(*v, max, sum));
            }
        }
    }

    /// Index and activated score of the best value, `skip` left out; the first of equals.
    ///
    /// All activations are monotonic, so that only the winner is activated.
    pub(super) fn best(self, values: &[f32], skip: Option<usize>) -> Option<(usize, f32)> {
        let mut best: Option<(usize, f32)> = None;
        for (i, &value) in values.iter().enumerate() {
            if Some(i) != skip && best.is_none_or(|(_, b)| value > b) {
                best = Some((i, value));
            }
        }
        let (index, raw) = best?;
        let score = match self {
            Activation::None => raw,
            Activation::Sigmoid => sigmoid(raw),
            Activation::Softmax => {
                let (max, sum) = softmax_terms(values);
                softmax(raw, max, sum)
            }
        };
        Some((index, score))
    }
}

impl ClassMode {
    /// Calls `emit` with every class of a row that may become an object, and its activated score.
    pub(super) fn visit<E>(
        self,
        activation: Activation,
        values: &[f32],
        skip: Option<usize>,
        mut emit: impl FnMut(usize, f32) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            ClassMode::Argmax => match activation.best(values, skip) {
                Some((class, score)) => emit(class, score),
                None => Ok(()),
            },
            ClassMode::PerClass => {
                let (max, sum) = match activation {
                    Activation::Softmax => softmax_terms(values),
                    Activation::None | Activation::Sigmoid => (0.0, 1.0),
                };
                let score = |v: f32| match activation {
                    Activation::None => v,
                    Activation::Sigmoid => sigmoid(v),
                    Activation::Softmax => softmax(v, max, sum),
                };
                let mut classes = values.iter().enumerate().filter(|(i, _)| Some(*i) != skip);
                classes.try_for_each(|(i, &v)| emit(i, score(v)))
            }
        }
    }
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The largest value, and the sum of `exp(value - largest)`.
pub(super) fn softmax_terms(values: &[f32]) -> (f32, f64) {
    let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (max, values.iter().map(|&v| f64::from((v - max).exp())).sum())
}

fn softmax(value: f32, max: f32, sum: f64) -> f32 {
    (f64::from((value - max).exp()) / sum) as f32
}
