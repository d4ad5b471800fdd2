//! Golden cases: replayed, the proof that a model still gives the right answer here; and recorded.

mod compare;

use std::path::Path;

use sedge_package::{Golden, PackageError, Tolerance, read_npz};
use sedge_tensor::Tensor;
use sedge_vision::Selection;

use crate::{Prediction, Request, Runner, RunnerError, Timings};

pub use compare::{Allowed, Comparison};

/// Classes that a recorded case of a classifier keeps.
const RECORDED_CLASSES: usize = 5;

/// Why a golden case could not be replayed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum GoldenError {
    #[error("cannot read {path}: {problem}")]
    Read { path: String, problem: String },
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("the case names neither `image` nor `tensors`")]
    Empty,
    #[error("{0} holds neither classes, nor objects, nor outputs to compare with")]
    NothingExpected(String),
    #[error("{0}")]
    Run(#[from] RunnerError),
}

/// Runs one case of the package in `root` and compares the answer with the expected one, output by
/// output.
///
/// For a picture, `expected` is a prediction as `sedge infer --format json` prints it; every class
/// or object in it must come back, the first class first, and no other objects. For tensors it is
/// an `.npz` of outputs.
///
/// # Errors
/// Files that cannot be read and requests that have no answer. An answer that differs is none.
pub fn replay(
    runner: &dyn Runner,
    root: &Path,
    case: &Golden,
) -> Result<Vec<Comparison>, GoldenError> {
    let service = runner.info().name.clone();
    let allowed = Allowed::of(case.tolerance, runner);
    if let Some(image) = &case.image {
        let response = runner.run(&Request::picture(service, read(&root.join(image))?.into()))?;
        let want = expected_prediction(&root.join(&case.expected))?;
        let compared = compare::predictions(&want, &response, &allowed);
        if compared.is_empty() {
            return Err(GoldenError::NothingExpected(case.expected.clone()));
        }
        return Ok(compared);
    }
    let tensors = case.tensors.as_ref().ok_or(GoldenError::Empty)?;
    let inputs = read_npz(&root.join(tensors))?;
    let response = runner.run(&Request::tensors(service, inputs))?;
    let want = read_npz(&root.join(&case.expected))?;
    Ok(compare::outputs(&want, &response.outputs, &allowed))
}

fn read(path: &Path) -> Result<Vec<u8>, GoldenError> {
    std::fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, problem: &dyn std::fmt::Display) -> GoldenError {
    GoldenError::Read { path: path.display().to_string(), problem: problem.to_string() }
}

/// The prediction in a file, alone or as the only one of a list.
///
/// # Errors
/// Files that cannot be read, or are no prediction.
pub fn expected_prediction(path: &Path) -> Result<Prediction, GoldenError> {
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

/// How near an answer has to come when nobody said it: two steps where the model answers in
/// quantised integers, else what additions in another order make of floats.
pub fn usual_tolerance(runner: &dyn Runner) -> Tolerance {
    let quantized = runner.info().outputs.iter().any(|output| output.quantization.is_some());
    let steps = quantized.then_some(2.0);
    match steps {
        Some(_) => Tolerance { relative: 0.0, absolute: 0.0, quantisation_steps: steps },
        None => Tolerance { relative: 1e-4, absolute: 1e-5, quantisation_steps: None },
    }
}

/// The answer to a picture as a golden case keeps it: without times, and of a classifier the first
/// classes only.
///
/// # Errors
/// Pictures that have no answer.
pub fn record(
    runner: &dyn Runner,
    name: &str,
    picture: Vec<u8>,
) -> Result<Prediction, RunnerError> {
    let info = runner.info();
    let mut request = Request::picture(info.name.clone(), picture.into());
    request.image = Some(name.to_owned());
    let top_k = (info.task == "image-classification").then_some(RECORDED_CLASSES);
    request.selection = Selection { top_k, ..Selection::default() };
    let prediction = runner.run(&request)?.prediction;
    let mut prediction = prediction.ok_or_else(|| {
        RunnerError::Unprepared(format!("model '{}' gives no predictions", info.name))
    })?;
    prediction.timings_us = Timings::default();
    prediction.model = format!("{} (engine {})", prediction.model, info.engine);
    Ok(prediction)
}

/// The outputs for tensors, as a golden case keeps them.
///
/// # Errors
/// Tensors that do not fit the model, or that it has no answer for.
pub fn record_tensors(
    runner: &dyn Runner,
    inputs: Vec<(String, Tensor)>,
) -> Result<Vec<(String, Tensor)>, RunnerError> {
    let request = Request::tensors(runner.info().name.clone(), inputs);
    runner.run(&request).map(|response| response.outputs)
}
