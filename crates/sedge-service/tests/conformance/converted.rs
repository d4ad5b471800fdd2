//! Models converted to ONNX, and onnxruntime without Sedge around it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sedge_package::{ConvertOptions, Package};

use crate::case::Case;

/// The ONNX file that a case's model was converted into, once per run.
pub(crate) fn path(case: &Case, testdata: &Path) -> PathBuf {
    static CONVERTED: Mutex<Option<HashMap<PathBuf, PathBuf>>> = Mutex::new(None);
    let package = case.package(testdata);
    let mut converted = CONVERTED.lock().unwrap();
    let files = converted.get_or_insert_default();
    let convert = || {
        let name = package.file_name().unwrap().to_string_lossy();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.onnx"));
        let options = ConvertOptions { force: true, external_data: false };
        let opened = Package::open(&package, &[]).unwrap();
        let converted = opened.convert_to_file(&target, &options);
        let converted = converted.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(converted.foreign.is_empty(), "{name} has {:?}", converted.foreign);
        target
    };
    files.entry(package.clone()).or_insert_with(convert).clone()
}

/// Runs a model file in onnxruntime, loaded by its path.
#[cfg(feature = "onnxruntime")]
pub(crate) fn run(
    library: &Path,
    path: &Path,
    package: &Package,
    input: &sedge_tensor::Tensor,
) -> Result<Vec<sedge_tensor::Tensor>, String> {
    use ort::value::{DynValue, Tensor as OrtTensor};
    use sedge_tensor::{DType, Element, Tensor};

    fn text(error: impl std::fmt::Display) -> String {
        error.to_string()
    }
    fn owned<T: Element + ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone>(
        tensor: &Tensor,
    ) -> Result<DynValue, String> {
        let data = tensor.view::<T>().map_err(text)?.into_owned();
        OrtTensor::from_array((tensor.shape().to_vec(), data)).map(Into::into).map_err(text)
    }
    fn taken<T: Element + ort::value::PrimitiveTensorElementType>(
        value: &DynValue,
    ) -> Result<Tensor, String> {
        let (shape, data) = value.try_extract_tensor::<T>().map_err(text)?;
        let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        Tensor::new(shape, data.to_vec()).map_err(text)
    }

    let environment = ort::init_from(library).map_err(text)?.build().map_err(text)?;
    let mut session = ort::session::Session::builder(&environment)
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
