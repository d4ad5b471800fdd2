//! Saved models as directories, against TensorFlow's answers.

use std::path::Path;

use sedge_engine::{LoadOptions, Model, Registry};
use sedge_package::Package;
use serde::Deserialize;

use crate::case::npy;
use crate::compare;

#[derive(Deserialize)]
struct Saved {
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

/// Opens and runs every saved model; gives how many there are and what went wrong.
pub(crate) fn run(engine: &str, testdata: &Path) -> (usize, Vec<String>) {
    let root = testdata.join("saved_models");
    let index = std::fs::read(root.join("index.json")).unwrap();
    let models: Vec<Saved> = serde_json::from_slice(&index).unwrap();
    let fault =
        |model: &Saved| one(model, engine, &root).err().map(|why| format!("{}: {why}", model.name));
    (models.len(), models.iter().filter_map(fault).collect())
}

fn one(model: &Saved, engine: &str, root: &Path) -> Result<(), String> {
    let package = Package::open(&root.join(&model.name), &[]).map_err(|e| e.to_string())?;
    let registry = Registry::new(None);
    let engine = registry.engine(engine).map_err(|e| e.to_string())?;
    let session = engine.load(Model::Graph(package.graph), &LoadOptions::default());
    let session = session.map_err(|e| e.to_string())?;
    let names = |infos: &[sedge_engine::TensorInfo]| -> Vec<String> {
        infos.iter().map(|info| info.name.clone()).collect()
    };
    let found = (names(session.inputs()), names(session.outputs()));
    if found != (model.inputs.clone(), model.outputs.clone()) {
        return Err(format!("it has the inputs and outputs {found:?}"));
    }
    let stored =
        |kind: &str, name: &String| npy(&root.join(format!("{}.{kind}.{name}.npy", model.name)));
    let inputs: Vec<_> = model.inputs.iter().map(|name| stored("in", name)).collect();
    let outputs = session.run(&inputs).map_err(|e| e.to_string())?;
    for (name, got) in model.outputs.iter().zip(&outputs) {
        compare::tensors(got, &stored("out", name), None)
            .map_err(|why| format!("'{name}': {why}"))?;
    }
    Ok(())
}
