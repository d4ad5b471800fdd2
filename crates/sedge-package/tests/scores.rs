//! What TensorFlow Lite's metadata says of scores, from the file to the answer, and what exporters of
//! the YOLO family leave behind the model.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use sedge_package::{InputSpec, Package, manifest_template};
use sedge_tensor::Tensor;
use sedge_vision::decoders::{Coordinates, Decoder, GridLayout, Output, Selection};
use sedge_vision::{Answer, Labels, Placement, Resize};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tflite_metadata")
}

fn open(name: &str) -> (Package, Value) {
    let expected = std::fs::read(folder().join("expected.json")).unwrap();
    let mut expected: Value = serde_json::from_slice(&expected).unwrap();
    (
        Package::open(&folder().join(name).with_extension("tflite"), &[]).unwrap(),
        expected[name].take(),
    )
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32).collect()
}

/// The answer to stored outputs of the model.
fn answer(package: &Package, expected: &Value, labels: &Labels) -> Answer {
    let (_, decoder) = package.pipeline().unwrap();
    let names = package.graph.outputs.iter().map(|&id| package.graph.value(id).name.clone());
    let tensors: Vec<(String, Tensor)> = names
        .map(|name| {
            let values = floats(&expected["outputs"][&name]);
            let shape =
                expected["shapes"][&name].as_array().map_or(vec![1, values.len()], |dims| {
                    dims.iter().map(|n| n.as_u64().unwrap() as usize).collect()
                });
            (name, Tensor::new(shape, values).unwrap())
        })
        .collect();
    let output = |(name, tensor)| Output { name, tensor, quantization: None };
    let outputs: Vec<Output<'_>> = tensors.iter().map(|(n, t)| output((n.as_str(), t))).collect();
    let placement = Placement::stretch((8, 8), (8, 8));
    decoder.decode(&outputs, &placement, labels, Selection::default()).unwrap()
}

#[test]
fn classes_are_calibrated_and_cut_off_as_the_file_says() {
    let (package, expected) = open("colours");
    let Answer::Classes(classes) = answer(&package, &expected, &package.labels) else {
        panic!("no classes")
    };
    let wanted = floats(&expected["scores"]);
    for class in &classes {
        assert!((class.score - wanted[class.index]).abs() < 1e-6, "{class:?} of {wanted:?}");
        assert!(class.label.is_some());
    }
    let above = wanted.iter().filter(|score| **score >= 0.05).count();
    assert_eq!(classes.len(), above, "{classes:?} of {wanted:?}");

    let origin = |key: &str| package.settings.get(key).unwrap().origin.to_string();
    let metadata = "TensorFlow Lite metadata, ";
    assert_eq!(origin("decoder.score_threshold"), format!("{metadata}ScoreThresholdingOptions"));
    assert_eq!(
        origin("decoder.calibration.transformation"),
        format!("{metadata}ScoreCalibrationOptions")
    );
    let file = format!("{metadata}associated file 'calibration.txt'");
    assert_eq!(origin("decoder.calibration.sigmoids"), file);
    let template = manifest_template(&package, None);
    assert!(template.contains("\nscore_threshold = 0.05\n"), "{template}");
    assert!(template.contains("transformation = \"inverse-logistic\""), "{template}");
}

#[test]
fn a_detectors_outputs_are_found_by_the_names_of_the_metadata() {
    let (package, expected) = open("detector");
    let Answer::Objects(objects) = answer(&package, &expected, &package.labels) else {
        panic!("no objects")
    };
    let (scores, classes) = (floats(&expected["scores"]), floats(&expected["classes"]));
    let mut wanted: Vec<(usize, f32)> =
        classes.iter().map(|&class| class as usize).zip(scores).collect();
    wanted.retain(|(_, score)| *score >= 0.6);
    wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
    assert_eq!((objects.len(), wanted.len()), (1, 1));
    for (object, (class, score)) in objects.iter().zip(wanted) {
        assert_eq!(object.index, class);
        assert!((object.score - score).abs() < 1e-6, "{object:?}, not {score}");
    }
}

#[test]
fn a_conversion_carries_the_calibration_on() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["colours", "detector"] {
        let (package, expected) = open(name);
        let wanted = answer(&package, &expected, &package.labels);
        let (file, folder) =
            (directory.path().join(format!("{name}.onnx")), directory.path().join(name));
        package.convert_to_file(&file, &Default::default()).unwrap();
        package.convert_to_package(&folder, &Default::default()).unwrap();
        for path in [file, folder] {
            let converted = Package::open(&path, &[]).unwrap();
            assert_eq!(
                answer(&converted, &expected, &package.labels),
                wanted,
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn exports_of_the_yolo_family_need_no_manifest() {
    for name in ["yolo_old", "yolo_new"] {
        let package = Package::open(&folder().join(name).with_extension("tflite"), &[]).unwrap();
        let (inputs, decoder) = package.pipeline().unwrap();
        let InputSpec::Image(image) = &inputs[0] else { panic!("no picture input") };
        assert_eq!((image.resize, image.width), (Resize::Letterbox, 32));
        assert_eq!((image.mean.as_slice(), image.std.as_slice()), (&[0.0][..], &[255.0][..]));
        let Decoder::Grid(grid) = decoder else { panic!("no grid") };
        assert_eq!((grid.layout, grid.coordinates), (GridLayout::Columns, Coordinates::Relative));
        assert_eq!(package.labels.get(1), Some("dog's"), "{name}");
        assert_eq!(package.labels.get(2), None);
    }
}
