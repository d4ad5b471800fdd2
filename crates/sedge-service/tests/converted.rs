//! Every reference case in onnxruntime without Sedge around it: the files that `sedge model convert`
//! writes, loaded by their paths. A process of its own, for onnxruntime has one environment in each.
#![cfg(feature = "onnxruntime")]
#![allow(clippy::print_stdout, clippy::unwrap_used, dead_code)]

#[path = "conformance/case.rs"]
mod case;
#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/converted.rs"]
mod converted;
#[path = "conformance/exclusions.rs"]
mod exclusions;
#[path = "conformance/judge.rs"]
mod judge;

use std::path::Path;

use ort::environment::Environment;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor as OrtTensor};
use sedge_engine::Registry;
use sedge_package::Package;
use sedge_tensor::{DType, Element, Tensor};

fn testdata() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata"))
}

#[test]
fn onnxruntime_itself_runs_the_converted_files() {
    let library = Registry::new(None).engine("onnxruntime").unwrap().library().unwrap();
    let environment =
        match ort::init_from(&library).map_err(text).and_then(|b| b.build().map_err(text)) {
            Ok(environment) => environment,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "{error}");
                println!("skipped: {error}");
                return;
            }
        };
    let title = format!("onnxruntime by itself ({}), models converted to ONNX", library.display());
    judge::judge(&title, "onnxruntime", 0.97, |case| {
        let path = converted::path(case, testdata(), true);
        vec![case.run_tensor(&path, testdata(), |package, input| {
            run(&environment, &path, &package, &input)
        })]
    });
}

/// Runs a model file in onnxruntime, loaded by its path.
fn run(
    environment: &Environment,
    path: &Path,
    package: &Package,
    input: &Tensor,
) -> Result<Vec<Tensor>, String> {
    let mut session = ort::session::Session::builder(environment)
        .map_err(text)?
        .with_config_entry("session.qdqisint8allowed", "1")
        .map_err(text)?
        .commit_from_file(path)
        .map_err(text)?;
    let value = match input.dtype() {
        DType::F32 => owned::<f32>(input),
        DType::U8 => owned::<u8>(input),
        DType::I8 => owned::<i8>(input),
        other => Err(format!("no input of type {other} was expected")),
    };
    let name = |&id: &sedge_graph::ValueId| package.graph.value(id).name.clone();
    let inputs = vec![(name(&package.graph.inputs[0]), value?)];
    let answered = session.run(inputs).map_err(text)?;
    let one = |id: &sedge_graph::ValueId| {
        let value = answered.get(name(id)).ok_or_else(|| format!("no output '{}'", name(id)))?;
        match package.graph.value(*id).dtype {
            Some(DType::U8) => taken::<u8>(value),
            Some(DType::I8) => taken::<i8>(value),
            Some(DType::I64) => taken::<i64>(value),
            _ => taken::<f32>(value),
        }
    };
    package.graph.outputs.iter().map(one).collect()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn owned<T: Element + PrimitiveTensorElementType + std::fmt::Debug + Clone>(
    tensor: &Tensor,
) -> Result<DynValue, String> {
    let data = tensor.view::<T>().map_err(text)?.into_owned();
    OrtTensor::from_array((tensor.shape().to_vec(), data)).map(Into::into).map_err(text)
}

fn taken<T: Element + PrimitiveTensorElementType>(value: &DynValue) -> Result<Tensor, String> {
    let (shape, data) = value.try_extract_tensor::<T>().map_err(text)?;
    let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
    Tensor::new(shape, data.to_vec()).map_err(text)
}
