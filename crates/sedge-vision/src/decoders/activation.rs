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
        let skip = skip.filter(|&skip| skip < values.len());
        let (before, after) = match skip {
            Some(skip) => (&values[..skip], &values[skip + 1..]),
            None => (values, &[] as &[f32]),
        };
        let raw = f32::max(largest(before), largest(after));
        let index = match before.iter().position(|&v| v == raw) {
            Some(index) => index,
            None => before.len() + 1 + after.iter().position(|&v| v == raw)?,
        };
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

/// The largest value; in lanes, so that the compiler can use vector instructions.
fn largest(values: &[f32]) -> f32 {
    let keep = |max: &mut f32, v: f32| *max = if v > *max { v } else { *max };
    let mut lanes = [f32::NEG_INFINITY; 8];
    let chunks = values.chunks_exact(lanes.len());
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(max, &v)| keep(max, v));
    }
    let mut max = f32::NEG_INFINITY;
    lanes.iter().chain(rest).for_each(|&v| keep(&mut max, v));
    max
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_best_is_found_anywhere() {
        for count in 1..40usize {
            for at in 0..count {
                let mut values = vec![-1.0f32; count];
                values[at] = 2.0;
                values[count - 1] = 2.0;
                assert_eq!(Activation::None.best(&values, None), Some((at, 2.0)));
                let next = (at + 1 < count).then_some((count - 1, 2.0)).or(match at {
                    0 => None,
                    _ => Some((0, -1.0)),
                });
                assert_eq!(Activation::None.best(&values, Some(at)), next, "{count} {at}");
            }
        }
        assert_eq!(Activation::None.best(&[], Some(0)), None);
        assert_eq!(Activation::None.best(&[f32::NEG_INFINITY], None).unwrap().0, 0);
    }
}
