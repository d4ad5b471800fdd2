use sedge_package::Tolerance;
use sedge_tensor::Tensor;
use sedge_vision::Object;
use sedge_vision::nms::iou;
use serde::Serialize;

use crate::{Prediction, Response, Runner};

/// Overlap with which a replayed object is the expected one.
const SAME_OBJECT_IOU: f64 = 0.95;

/// How far a number may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Allowed {
    /// Fraction of the expected value.
    pub relative: f32,
    /// Absolute difference.
    pub absolute: f32,
    /// The steps of the output's quantisation that `absolute` stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation_steps: Option<f32>,
}

impl Allowed {
    pub(super) fn of(tolerance: Tolerance, runner: &dyn Runner) -> Self {
        let outputs = &runner.info().outputs;
        let step =
            outputs.iter().find_map(|output| output.quantization.as_ref()?.scale.first().copied());
        let quantisation_steps = tolerance.quantisation_steps;
        match quantisation_steps {
            Some(steps) => {
                let absolute = steps * step.unwrap_or(1.0 / 255.0);
                Self { relative: 0.0, absolute, quantisation_steps }
            }
            None => {
                let Tolerance { relative, absolute, .. } = tolerance;
                Self { relative, absolute, quantisation_steps }
            }
        }
    }

    fn covers(&self, got: f32, want: f32) -> bool {
        // Half a unit more than the bound, so that a bound of whole steps holds them.
        got == want
            || (got - want).abs() <= self.absolute * (1.0 + 1e-5) + self.relative * want.abs()
    }
}

/// How one output of a replayed case compares with what was expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the output, or `classes`, `objects` and `boxes` of a prediction.
    pub output: String,
    /// How many numbers were compared.
    pub compared: usize,
    /// Largest difference; pixels for `boxes`.
    pub largest_absolute: f32,
    /// Largest difference as a fraction of what was expected, where that is not zero.
    pub largest_relative: f32,
    /// What may be; `boxes` have to overlap instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
    /// Why the answer is another one; `None` when it is the same.
    pub problem: Option<String>,
}

impl Comparison {
    fn new(output: &str, allowed: Option<Allowed>) -> Self {
        Self {
            output: output.to_owned(),
            compared: 0,
            largest_absolute: 0.0,
            largest_relative: 0.0,
            allowed,
            problem: None,
        }
    }

    fn failed(output: &str, allowed: Allowed, problem: String) -> Self {
        Self { problem: Some(problem), ..Self::new(output, Some(allowed)) }
    }

    /// True when the answer is the expected one.
    pub fn holds(&self) -> bool {
        self.problem.is_none()
    }

    /// Takes a pair of numbers in; the first that is too far apart becomes the problem.
    fn add(&mut self, got: f32, want: f32, words: impl FnOnce() -> String) {
        self.compared += 1;
        if got == want {
            return;
        }
        let off = (got - want).abs();
        // Not `max`, which would pass over a difference that is no number.
        let larger = |old: f32, new: f32| if new > old || new.is_nan() { new } else { old };
        self.largest_absolute = larger(self.largest_absolute, off);
        if want != 0.0 {
            self.largest_relative = larger(self.largest_relative, off / want.abs());
        }
        if self.holds() && self.allowed.is_some_and(|allowed| !allowed.covers(got, want)) {
            self.problem = Some(words());
        }
    }
}

/// Compares what a prediction has: classes, objects, or the outputs themselves.
pub(super) fn predictions(
    want: &Prediction,
    response: &Response,
    allowed: &Allowed,
) -> Vec<Comparison> {
    let mut compared = Vec::new();
    compared.extend(want.classes.as_ref().map(|_| classes(want, response, allowed)));
    if let Some(want) = &want.objects {
        let got = response.prediction.as_ref().and_then(|got| got.objects.as_deref());
        compared.extend(objects(want, got.unwrap_or_default(), allowed));
    }
    for output in want.outputs.iter().flatten() {
        let want = Tensor::new(output.shape.clone(), output.data.clone());
        compared.push(match want {
            Ok(want) => one(&output.name, &want, &response.outputs, allowed),
            Err(error) => Comparison::failed(&output.name, *allowed, error.to_string()),
        });
    }
    compared
}

fn classes(want: &Prediction, response: &Response, allowed: &Allowed) -> Comparison {
    let mut compared = Comparison::new("classes", Some(*allowed));
    let got = response.prediction.as_ref().and_then(|got| got.classes.as_ref());
    let (Some(scores), Some(got)) = (&response.probabilities, got) else {
        return Comparison::failed("classes", *allowed, "the model gives no classes".into());
    };
    let expected = want.classes.as_deref().unwrap_or_default();
    if let (Some(first), Some(expected)) = (got.first(), expected.first())
        && first.index != expected.index
    {
        let problem = format!("class {} is first instead of {}", first.index, expected.index);
        compared.problem = Some(problem);
    }
    for class in expected {
        let score = scores.get(class.index).copied().unwrap_or(f32::NAN);
        compared.add(score, class.score, || {
            format!("class {} scores {score} instead of {}", class.index, class.score)
        });
    }
    compared
}

fn objects(want: &[Object], got: &[Object], allowed: &Allowed) -> [Comparison; 2] {
    let mut scores = Comparison::new("objects", Some(*allowed));
    let mut boxes = Comparison::new("boxes", None);
    if got.len() != want.len() {
        scores.problem = Some(format!("{} objects instead of {}", got.len(), want.len()));
    }
    let mut free = vec![true; got.len()];
    for object in want {
        let same = |i: &usize| {
            free[*i]
                && got[*i].index == object.index
                && iou(got[*i].bounds, object.bounds, [0.0; 2]) >= SAME_OBJECT_IOU
        };
        let off = |i: &usize| (got[*i].score - object.score).abs();
        let partner = (0..got.len()).filter(same).min_by(|a, b| off(a).total_cmp(&off(b)));
        let Some(partner) = partner else {
            let corner = &object.bounds;
            boxes.problem.get_or_insert(format!(
                "no object of class {} is at x {:.0}..{:.0}, y {:.0}..{:.0}",
                object.index, corner.xmin, corner.xmax, corner.ymin, corner.ymax
            ));
            continue;
        };
        free[partner] = false;
        let found = &got[partner];
        scores.add(found.score, object.score, || {
            let (index, got, want) = (object.index, found.score, object.score);
            format!("an object of class {index} scores {got} instead of {want}")
        });
        let (a, b) = (found.bounds, object.bounds);
        for (got, want) in [(a.xmin, b.xmin), (a.ymin, b.ymin), (a.xmax, b.xmax), (a.ymax, b.ymax)]
        {
            boxes.add(got, want, String::new);
        }
    }
    [scores, boxes]
}

/// Compares tensors by their names; every expected one must be there.
pub(super) fn outputs(
    want: &[(String, Tensor)],
    got: &[(String, Tensor)],
    allowed: &Allowed,
) -> Vec<Comparison> {
    want.iter().map(|(name, want)| one(name, want, got, allowed)).collect()
}

fn one(name: &str, want: &Tensor, got: &[(String, Tensor)], allowed: &Allowed) -> Comparison {
    let mut compared = Comparison::new(name, Some(*allowed));
    let fail = |problem: String| Comparison::failed(name, *allowed, problem);
    let Some((_, got)) = got.iter().find(|(output, _)| output == name) else {
        return fail("there is no such output".into());
    };
    if got.shape() != want.shape() {
        return fail(format!("shape {:?} instead of {:?}", got.shape(), want.shape()));
    }
    let (Some(got), Some(want)) = (got.to_f32(), want.to_f32()) else {
        return fail("it holds no numbers".into());
    };
    for (index, (&got, &want)) in got.iter().zip(want.iter()).enumerate() {
        compared.add(got, want, || format!("element {index} is {got} instead of {want}"));
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowed = Allowed { relative: 0.0, absolute: 0.5, quantisation_steps: None };

    fn tensor(values: &[f32]) -> Vec<(String, Tensor)> {
        vec![("y".into(), Tensor::vector(values.to_vec()))]
    }

    #[test]
    fn the_largest_differences_are_told_and_the_first_that_is_too_large() {
        let compared = &outputs(&tensor(&[1.0, 2.0, 0.0]), &tensor(&[1.25, 4.0, 1.0]), &ALLOWED)[0];
        assert_eq!((compared.largest_absolute, compared.largest_relative), (2.0, 1.0));
        assert_eq!(compared.problem.as_deref(), Some("element 1 is 4 instead of 2"));
        assert!(outputs(&tensor(&[1.0]), &tensor(&[1.5]), &ALLOWED)[0].holds());
    }

    #[test]
    fn what_is_no_number_never_holds() {
        let compared = &outputs(&tensor(&[1.0]), &tensor(&[f32::NAN]), &ALLOWED)[0];
        assert!(!compared.holds() && compared.largest_absolute.is_nan());
        let missing = &outputs(&tensor(&[1.0]), &[], &ALLOWED)[0];
        assert_eq!(missing.problem.as_deref(), Some("there is no such output"));
        let other = &outputs(&tensor(&[1.0]), &tensor(&[1.0, 2.0]), &ALLOWED)[0];
        assert_eq!(other.problem.as_deref(), Some("shape [2] instead of [1]"));
    }
}
