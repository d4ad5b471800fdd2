//! TensorFlow Lite's operators one by one, against its own answers.

use std::path::Path;

use sedge_engine::{LoadOptions, Model, Registry};
use sedge_tensor::{DType, Tensor};
use serde::Deserialize;

use crate::case::npy;

/// One model of one operator with stored inputs and outputs.
#[derive(Deserialize)]
struct Operator {
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    tolerance: Tolerance,
}

#[derive(Deserialize)]
struct Tolerance {
    #[serde(default)]
    relative: f32,
    #[serde(default)]
    absolute: f32,
    quantisation_steps: Option<f32>,
}

/// Runs every operator case; gives how many passed and which did not.
pub(crate) fn run(engine: &str, testdata: &Path) -> (usize, Vec<String>) {
    let directory = testdata.join("tflite_ops");
    let index = std::fs::read(directory.join("index.json")).unwrap();
    let cases: Vec<Operator> = serde_json::from_slice(&index).unwrap();
    assert!(cases.len() > 300, "only {} operator cases were found", cases.len());
    let (mut passed, mut failed) = (0, Vec::new());
    let registry = Registry::new(None);
    for case in &cases {
        match one(case, engine, &registry, &directory) {
            Ok(()) => passed += 1,
            Err(why) => failed.push(format!("{}: {why}", case.name)),
        }
    }
    (passed, failed)
}

fn one(case: &Operator, engine: &str, registry: &Registry, directory: &Path) -> Result<(), String> {
    let file = std::fs::read(directory.join(format!("{}.tflite", case.name))).unwrap();
    let imported =
        sedge_import::import(&sedge_import::Source::alone(file)).map_err(|e| e.to_string())?;
    let engine = registry.engine(engine).map_err(|e| e.to_string())?;
    let session = engine.load(Model::Graph(imported.graph), &LoadOptions::default());
    let session = session.map_err(|e| e.to_string())?;
    let stored =
        |kind: &str, index: usize| npy(&directory.join(format!("{}.{kind}{index}.npy", case.name)));
    let mut inputs = Vec::new();
    for info in session.inputs() {
        let at = case.inputs.iter().position(|name| *name == info.name);
        inputs.push(stored("in", at.ok_or_else(|| format!("no input '{}'", info.name))?));
    }
    let outputs = session.run(&inputs).map_err(|e| e.to_string())?;
    for (index, name) in case.outputs.iter().enumerate() {
        let at = session.outputs().iter().position(|info| info.name == *name);
        let got = &outputs[at.ok_or_else(|| format!("no output '{name}'"))?];
        close(got, &stored("out", index), &case.tolerance)
            .map_err(|why| format!("'{name}': {why}"))?;
    }
    Ok(())
}

fn close(got: &Tensor, want: &Tensor, tolerance: &Tolerance) -> Result<(), String> {
    if got.shape() != want.shape() || got.dtype() != want.dtype() {
        let (a, b) = ((got.dtype(), got.shape()), (want.dtype(), want.shape()));
        return Err(format!("{a:?} instead of {b:?}"));
    }
    let (Some(a), Some(b)) = (got.to_f32(), want.to_f32()) else { return Err("no numbers".into()) };
    let allowed = |want: f32| match tolerance.quantisation_steps {
        Some(steps) if got.dtype() != DType::F32 => steps,
        _ => tolerance.absolute + tolerance.relative * want.abs(),
    };
    let off = a.iter().zip(b.iter()).filter(|(a, b)| {
        let same = a == b || (a.is_nan() && b.is_nan());
        !same && (a.is_nan() || b.is_nan() || (*a - *b).abs() > allowed(**b))
    });
    let off: Vec<_> = off.collect();
    match off.first() {
        None => Ok(()),
        Some((a, b)) => {
            Err(format!("{} of {} differ, such as {a} instead of {b}", off.len(), want.len()))
        }
    }
}
