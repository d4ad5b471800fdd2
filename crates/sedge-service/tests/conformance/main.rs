//! The golden conformance suite: every reference case of the original frameworks, for each engine.
//!
//! Two ways in: from the reference's input tensor to the outputs, and from the picture to the
//! answer. An engine may list cases it is excused from, each with its reason; a case that is
//! excused and passes is an error too, so that the lists stay true.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod case;
mod compare;
mod containers;
mod converted;
mod exclusions;
mod judge;
mod operators;
mod packed;
mod saved;

use std::path::Path;

use case::Case;
use judge::judge;
use sedge_engine::{LoadOptions, Model, Registry};

/// Fraction of the cases that must pass, for the engine every device has.
const REQUIRED: f64 = 0.97;

fn testdata() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata"))
}

/// The engine's version, or `None`, said, where this machine does not have it.
fn version(registry: &Registry, engine: &str) -> Option<String> {
    let available = registry.engine(engine).and_then(|engine| engine.version());
    if let Err(error) = &available {
        // The suite's runner sets this where nothing may be missing.
        assert!(std::env::var_os("CI").is_none(), "{error}");
        println!("skipped: {error}");
    }
    available.ok()
}

fn run(engine: &str, required: f64) {
    let registry = Registry::new(None);
    let Some(version) = version(&registry, engine) else { return };
    let answers =
        |case: &Case| case.run(&registry, engine, |case| case.package(testdata()), testdata());
    judge(&format!("engine {engine} {version}"), engine, required, answers);
}

#[test]
fn the_embedded_engine_equals_the_original_frameworks() {
    run("auto", REQUIRED);
}

#[test]
#[cfg(feature = "onnxruntime")]
fn onnxruntime_equals_the_original_frameworks() {
    run("onnxruntime", REQUIRED);
}

fn run_converted(exact: bool) {
    let registry = Registry::new(None);
    let path = |case: &Case| converted::path(case, testdata(), exact);
    let title = format!("engine auto, models converted to ONNX, exact: {exact}");
    judge(&title, "auto", REQUIRED, |case| case.run(&registry, "auto", path, testdata()));
}

#[test]
fn the_embedded_engine_answers_the_same_for_converted_files() {
    run_converted(true);
}

#[test]
fn the_embedded_engine_answers_the_same_for_the_models_of_converted_packages() {
    run_converted(false);
}

fn run_operators(engine: &str) {
    if version(&Registry::new(None), engine).is_none() {
        return;
    }
    let (passed, failed) = operators::run(engine, testdata());
    println!("engine {engine}: {passed} operator cases passed, {} failed", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_embedded_engine_computes_every_operator_as_tensorflow_lite() {
    run_operators("auto");
}

#[test]
#[cfg(feature = "onnxruntime")]
fn onnxruntime_computes_every_operator_as_tensorflow_lite() {
    run_operators("onnxruntime");
}

#[test]
fn the_embedded_engine_computes_every_onnx_operator_as_onnxruntime_or_refuses_it() {
    let answers = packed::run("auto", &testdata().join("onnx_ops.zip"));
    let cases: Vec<&str> = answers.keys().map(String::as_str).collect();
    assert!(cases.len() > 700, "only {} cases were found", cases.len());
    let (mut equal, mut faults) = (0, Vec::new());
    for (name, (operator, outcome)) in &answers {
        let expected = exclusions::REFUSED_OPERATORS.contains(&name.as_str());
        match outcome {
            packed::Outcome::Equal if expected => {
                faults.push(format!("{name} is computed but listed as refused"));
            }
            packed::Outcome::Equal => equal += 1,
            packed::Outcome::Refused(why) => {
                let clear = why.contains("the embedded engine cannot run operator '")
                    && !why.contains("operator ''")
                    && why.contains("Hint: try --engine onnxruntime");
                if !expected || !clear {
                    faults.push(format!("{name} ({operator}) is refused: {why}"));
                }
            }
            packed::Outcome::Wrong(why) => {
                faults.push(format!("{name} ({operator}): {why}"));
            }
        }
    }
    let refused = exclusions::REFUSED_OPERATORS.len();
    println!("ONNX operators: {equal} cases equal onnxruntime, {refused} are refused by name");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let known = |name: &&&str| !cases.contains(*name);
    let unknown: Vec<_> = exclusions::REFUSED_OPERATORS.iter().filter(known).collect();
    assert!(unknown.is_empty(), "no such cases: {unknown:?}");
}

#[test]
fn the_embedded_engine_gives_every_byte_of_tensorflow_lites_8_bit_operators() {
    run_tables("auto");
}

#[test]
#[cfg(feature = "onnxruntime")]
fn onnxruntime_gives_every_byte_of_tensorflow_lites_8_bit_operators() {
    if version(&Registry::new(None), "onnxruntime").is_some() {
        run_tables("onnxruntime");
    }
}

fn run_tables(engine: &str) {
    let lacking = if engine == "onnxruntime" { exclusions::ONNXRUNTIME_LACKS } else { &[] };
    packed::judge(engine, &testdata().join("tflite_tables.zip"), 140, lacking);
}

/// Cases of `tflite_cases.zip`, which have to be computed by any engine.
fn run_tflite_cases(engine: &str) {
    if version(&Registry::new(None), engine).is_some() {
        packed::judge(engine, &testdata().join("tflite_cases.zip"), 70, &[]);
    }
}

#[test]
fn the_embedded_engine_computes_rare_operators_and_storage_as_tensorflow_lite() {
    run_tflite_cases("auto");
}

#[test]
#[cfg(feature = "onnxruntime")]
fn onnxruntime_computes_rare_operators_and_storage_as_tensorflow_lite() {
    run_tflite_cases("onnxruntime");
}

#[test]
fn a_graph_of_training_answers_as_the_one_to_deploy() {
    let folder = testdata().join("models/mxnet-sagemaker-ssd");
    let pixels = (0..3 * 300 * 300).map(|n| (n * 7919 % 256) as f32).collect();
    let picture = sedge_tensor::Tensor::new([1, 3, 300, 300], pixels).unwrap();
    let rows = |prefix: &str, output: &str| {
        let path = folder.join(format!("{prefix}-symbol.json"));
        let graph = sedge_package::Package::open(&path, &[]).unwrap().graph;
        let engine = Registry::new(None).engine("auto").unwrap();
        let session = engine.load(Model::Graph(graph), &LoadOptions { threads: 2 }).unwrap();
        assert_eq!(session.inputs().len(), 1, "{prefix}");
        let at = session.outputs().iter().position(|info| info.name == output).unwrap();
        session.run(std::slice::from_ref(&picture)).unwrap().swap_remove(at)
    };
    let deployed = rows("deploy_model_algo_1", "detection_output");
    assert_eq!(rows("model_algo_1", "det_out_output").bytes(), deployed.bytes());
    assert!(deployed.to_f32().unwrap().iter().any(|&class| class > 0.0));
}

fn run_mxnet_operators(engine: &str) {
    if version(&Registry::new(None), engine).is_some() {
        let archive = testdata().join("mxnet_ops.zip");
        packed::judge(engine, &archive, 130, exclusions::MXNET_OPERATORS);
    }
}

#[test]
fn the_embedded_engine_computes_every_operator_as_mxnet() {
    run_mxnet_operators("auto");
}

#[test]
#[cfg(feature = "onnxruntime")]
fn onnxruntime_computes_every_operator_as_mxnet() {
    run_mxnet_operators("onnxruntime");
}

#[test]
#[cfg(feature = "onnxruntime")]
fn onnxruntime_answers_the_same_for_what_is_read_and_written_again() {
    if version(&Registry::new(None), "onnxruntime").is_some() {
        packed::judge("onnxruntime", &testdata().join("onnx_ops.zip"), 700, &[]);
    }
}

/// Every case of TensorFlow's operators.
fn tensorflow(engine: &str) {
    if version(&Registry::new(None), engine).is_none() {
        return;
    }
    packed::judge(engine, &testdata().join("tensorflow_ops.zip"), 250, &[]);
    let (count, faults) = saved::run(engine, testdata());
    assert!(count >= 5, "only {count} saved models were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_embedded_engine_computes_every_operator_as_tensorflow() {
    tensorflow("auto");
}

#[test]
#[cfg(feature = "onnxruntime")]
fn onnxruntime_computes_every_operator_as_tensorflow() {
    tensorflow("onnxruntime");
}
