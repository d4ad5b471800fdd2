//! Quantised models answer what their own framework answers: every byte of it.
//!
//! The conformance suite allows steps and errors that suit all frameworks; for quantised models the
//! engines promise more.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use sedge_engine::{LoadOptions, Model, Registry, Session};
use sedge_tensor::{DType, Tensor};
use sedge_vision::{DecodeLimits, decode};
use serde_json::Value;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

/// Reference folder, start of the case's name, model file.
const MODELS: [(&str, &str, &str); 9] = [
    (
        "tflite_mobilenet_v1_0.25_128_quant",
        "",
        "mobilenet-v1-0-25-128-quant/mobilenet_v1_0.25_128_quant.tflite",
    ),
    (
        "tflite_mobilenet_v1_0.25_224_quant",
        "",
        "mobilenet-v1-0-25-224-quant/mobilenet_v1_0.25_224_quant.tflite",
    ),
    (
        "tflite_mobilenet_v1_0.75_192_quant",
        "",
        "mobilenet-v1-0-75-192-quant/mobilenet_v1_0.75_192_quant.tflite",
    ),
    ("tflite_mobilenet_v2_1.0_224_quant", "", "mobilenet-v2/mobilenet_v2_1.0_224_quant.tflite"),
    (
        "tflite_mobilenet_v2_1.0_224_ptq_int8",
        "",
        "mobilenet-v2-ptq/tf2_mobilenet_v2_1.0_224_ptq.tflite",
    ),
    (
        "tflite_resnet8_cifar10",
        "pretrainedResnet_quant__",
        "resnet8-cifar10-quant/pretrainedResnet_quant.tflite",
    ),
    ("tflite_vww96", "vww_96_int8__", "vww96-int8/vww_96_int8.tflite"),
    (
        "tflite_ssd_mobilenet_v1_coco_quant",
        "",
        "ssd-mobilenet-v1-coco/coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite",
    ),
    ("onnx_mobilenet_v1_0.25_224_qdq_int8", "", "mobilenet-v1-onnx-int8/model.onnx"),
];

fn shape(info: &Value) -> Vec<usize> {
    info["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
}

fn dtype(info: &Value) -> DType {
    match info["dtype"].as_str().unwrap() {
        "uint8" => DType::U8,
        "int8" => DType::I8,
        "float32" => DType::F32,
        other => panic!("no case has {other}"),
    }
}

/// A `.npy` file's elements stand at its end.
fn read_npy(path: &Path, info: &Value) -> Tensor {
    let file = bytes::Bytes::from(std::fs::read(path).unwrap());
    let (dtype, shape) = (dtype(info), shape(info));
    let length = shape.iter().product::<usize>() * dtype.size().unwrap();
    Tensor::from_bytes(dtype, shape, file.slice(file.len() - length..)).unwrap()
}

fn input(folder: &Path, case: &Value) -> Tensor {
    let info = &case["inputs"][0];
    if let Some(file) = info["file"].as_str() {
        return read_npy(&folder.join(file), info);
    }
    let file = folder.join(case["resized_rgb8"]["file"].as_str().unwrap());
    let picture = decode(&std::fs::read(file).unwrap(), &DecodeLimits::default()).unwrap();
    let bytes = picture.into_rgb().pixels;
    match dtype(info) {
        DType::U8 => Tensor::new(shape(info), bytes).unwrap(),
        DType::F32 => {
            let real = bytes.iter().map(|&b| (f32::from(b) - 127.5) / 127.5).collect();
            Tensor::new(shape(info), real).unwrap()
        }
        other => panic!("no picture is {other}"),
    }
}

fn load(engine: &str, file: &str) -> Box<dyn Session> {
    let file = std::fs::read(testdata().join("models").join(file)).unwrap();
    let graph = sedge_import::import(&sedge_import::Source::alone(file)).unwrap().graph;
    let engine = Registry::new(None).engine(engine).unwrap();
    engine.load(Model::Graph(graph), &LoadOptions { threads: 2 }).unwrap()
}

#[test]
fn every_answer_of_the_embedded_engine_equals_the_original() {
    let equal = |got: &Tensor, want: &Tensor| got.bytes() == want.bytes();
    assert_eq!(every_answer_equals_the_original("native", |_| true, equal), 38);
}

/// What follows onnxruntime's arithmetic is its own business.
#[test]
#[cfg(feature = "onnxruntime")]
fn every_answer_of_onnxruntime_equals_tensorflow_lite() {
    let available = Registry::new(None).engine("onnxruntime").and_then(|engine| engine.version());
    if let Err(error) = available {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        println!("skipped: {error}");
        return;
    }
    let of_tflite = |folder: &str| folder.starts_with("tflite_");
    // Boxes of detectors are decoded in floats, where the original has doubles.
    let equal = |got: &Tensor, want: &Tensor| match (got.view::<f32>(), want.view::<f32>()) {
        (Ok(got), Ok(want)) => got.iter().zip(want.iter()).all(|(a, b)| (a - b).abs() < 2e-7),
        _ => got.bytes() == want.bytes(),
    };
    assert_eq!(every_answer_equals_the_original("onnxruntime", of_tflite, equal), 34);
}

fn every_answer_equals_the_original(
    engine: &str,
    wanted: impl Fn(&str) -> bool,
    equal: impl Fn(&Tensor, &Tensor) -> bool,
) -> usize {
    let mut cases = 0;
    for (folder, start, file) in MODELS.into_iter().filter(|(folder, ..)| wanted(folder)) {
        let folder = testdata().join("reference").join(folder);
        let session = load(engine, file);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with(start) || !name.ends_with(".json") {
                continue;
            }
            let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let got = session.run(&[input(&folder, &case)]).unwrap();
            for (got, info) in got.iter().zip(case["outputs"].as_array().unwrap()) {
                let want = read_npy(&folder.join(info["file"].as_str().unwrap()), info);
                let same = got.dtype() == want.dtype() && equal(got, &want);
                assert!(same, "{name}: output {} differs", info["name"]);
            }
            cases += 1;
        }
    }
    cases
}
