//! Replays a package's golden cases: the proof that a model still gives the right answer here.

use std::path::Path;

use sedge_package::{Golden, PackageError, Tolerance, read_npz};
use sedge_tensor::Tensor;
use sedge_vision::nms::iou;

use crate::{Pipeline, Prediction, Request, Response, Runner, RunnerError};

/// Overlap with which a replayed object is the expected one.
const SAME_OBJECT_IOU: f64 = 0.95;

/// Why a golden case did not hold.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum GoldenError {
    #[error("cannot read {path}: {problem}")]
    Read { path: String, problem: String },
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("the case names neither `image` nor `tensors`")]
    Empty,
    #[error("{0}")]
    Run(#[from] RunnerError),
    #[error("{0}")]
    Different(String),
}

/// Runs one case of the package in `root` and compares the answer with the expected one.
///
/// For a picture, `expected` is a prediction as `sedge infer --format json` prints it; every class
/// or object in it must come back, the first class first, and no other objects. For tensors it is
/// an `.npz` of outputs.
pub fn replay(pipeline: &Pipeline, root: &Path, case: &Golden) -> Result<(), GoldenError> {
    let service = pipeline.info().name.clone();
    if let Some(image) = &case.image {
        let response = pipeline.run(&Request::picture(service, read(&root.join(image))?.into()))?;
        let want = expected_prediction(&root.join(&case.expected))?;
        let allowed = Allowed::of(case.tolerance, pipeline);
        return compare_predictions(&want, &response, &allowed).map_err(GoldenError::Different);
    }
    let tensors = case.tensors.as_ref().ok_or(GoldenError::Empty)?;
    let inputs = read_npz(&root.join(tensors))?;
    let response = pipeline.run(&Request::tensors(service, inputs))?;
    let allowed = Allowed::of(case.tolerance, pipeline);
    for (name, want) in read_npz(&root.join(&case.expected))? {
        let got = response.outputs.iter().find(|(output, _)| *output == name);
        let (_, got) =
            got.ok_or_else(|| GoldenError::Different(format!("there is no output '{name}'")))?;
        compare_tensors(got, &want, &allowed)
            .map_err(|why| GoldenError::Different(format!("output '{name}': {why}")))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, GoldenError> {
    std::fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, problem: &dyn std::fmt::Display) -> GoldenError {
    GoldenError::Read { path: path.display().to_string(), problem: problem.to_string() }
}

/// A prediction, alone or as the only one of a list.
fn expected_prediction(path: &Path) -> Result<Prediction, GoldenError> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum File {
        One(Box<Prediction>),
        List([Box<Prediction>; 1]),
    }
    match serde_json::from_slice(&read(path)?).map_err(|error| unreadable(path, &error))? {
        File::One(prediction) | File::List([prediction]) => Ok(*prediction),
    }
}

/// How far a number may be off.
struct Allowed {
    relative: f32,
    absolute: f32,
}

impl Allowed {
    fn of(tolerance: Tolerance, pipeline: &Pipeline) -> Self {
        let outputs = &pipeline.info().outputs;
        let step =
            outputs.iter().find_map(|output| output.quantization.as_ref()?.scale.first().copied());
        match tolerance.quantisation_steps {
            Some(steps) => Self { relative: 0.0, absolute: steps * step.unwrap_or(1.0 / 255.0) },
            None => Self { relative: tolerance.relative, absolute: tolerance.absolute },
        }
    }

    fn covers(&self, got: f32, want: f32) -> bool {
        // Half a unit more than the bound, so that a bound of whole steps holds them.
        (got - want).abs() <= self.absolute * (1.0 + 1e-5) + self.relative * want.abs()
    }
}

fn compare_predictions(
    want: &Prediction,
    response: &Response,
    allowed: &Allowed,
) -> Result<(), String> {
    let got = response.prediction.as_ref().ok_or("there is no prediction")?;
    if let Some(classes) = &want.classes {
        let scores = response.probabilities.as_ref().ok_or("the model gives no classes")?;
        let first = got.classes.as_ref().and_then(|classes| classes.first());
        if let (Some(first), Some(expected)) = (first, classes.first())
            && first.index != expected.index
        {
            return Err(format!("class {} is first instead of {}", first.index, expected.index));
        }
        for class in classes {
            let score = scores.get(class.index).copied().unwrap_or(f32::NAN);
            if !allowed.covers(score, class.score) {
                return Err(format!(
                    "class {} scores {score} instead of {}",
                    class.index, class.score
                ));
            }
        }
    }
    if let Some(objects) = &want.objects {
        let found = got.objects.as_deref().unwrap_or_default();
        if found.len() != objects.len() {
            return Err(format!("{} objects instead of {}", found.len(), objects.len()));
        }
        let mut free = vec![true; found.len()];
        for object in objects {
            let same = |i: &usize| {
                free[*i]
                    && found[*i].index == object.index
                    && allowed.covers(found[*i].score, object.score)
                    && iou(found[*i].bounds, object.bounds, [0.0; 2]) >= SAME_OBJECT_IOU
            };
            let partner = (0..found.len()).find(same);
            let partner = partner.ok_or_else(|| format!("object {object:?} is missing"))?;
            free[partner] = false;
        }
    }
    Ok(())
}

fn compare_tensors(got: &Tensor, want: &Tensor, allowed: &Allowed) -> Result<(), String> {
    if got.shape() != want.shape() {
        return Err(format!("shape {:?} instead of {:?}", got.shape(), want.shape()));
    }
    let (Some(got), Some(want)) = (got.to_f32(), want.to_f32()) else {
        return Err("it holds no numbers".into());
    };
    let worst =
        got.iter().zip(want.iter()).enumerate().find(|(_, (a, b))| !allowed.covers(**a, **b));
    worst.map_or(Ok(()), |(index, (a, b))| Err(format!("element {index} is {a} instead of {b}")))
}
