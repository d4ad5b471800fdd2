//! Models converted to ONNX.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sedge_package::{ConvertOptions, Package};

use crate::case::Case;

/// The ONNX file that a case's model was converted into, once per run; with its integer operators
/// written out, or between quantise and dequantise nodes.
pub(crate) fn path(case: &Case, testdata: &Path, exact: bool) -> PathBuf {
    static CONVERTED: Mutex<Option<HashMap<(PathBuf, bool), PathBuf>>> = Mutex::new(None);
    let package = case.package(testdata);
    let mut converted = CONVERTED.lock().unwrap();
    let files = converted.get_or_insert_default();
    let convert = || {
        let name = package.file_name().unwrap().to_string_lossy();
        let form = if exact { "exact" } else { "qdq" };
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{form}.onnx"));
        let rewrite: fn(&mut sedge_graph::Graph) = |graph| {
            sedge_engine::spell_out(graph);
        };
        let rewrite = exact.then_some(rewrite);
        let options = ConvertOptions { force: true, external_data: false, rewrite };
        let opened = Package::open(&package, &[]).unwrap();
        let converted = opened.convert_to_file(&target, &options);
        let converted = converted.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(converted.foreign.is_empty(), "{name} has {:?}", converted.foreign);
        target
    };
    files.entry((package.clone(), exact)).or_insert_with(convert).clone()
}
