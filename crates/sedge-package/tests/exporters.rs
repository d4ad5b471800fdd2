//! Models of exporters that embed their own use, opened without a manifest.
#![allow(clippy::unwrap_used)]

use sedge_graph::{Dim, Graph, Value, onnx};
use sedge_package::{InputSpec, Origin, Package, Task};
use sedge_tensor::{DType, Tensor};
use sedge_vision::decoders::{Decoder, GridFields, GridLayout, RowColumns};
use sedge_vision::{Color, Filter, Resize};

/// An ONNX file with one picture input and one output of a detector's head shape.
fn exported(input: [Option<usize>; 4], output: [usize; 3], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut graph = Graph::new("exported");
    let dim = |n: Option<usize>| n.map_or(Dim::Symbol("free".into()), Dim::Fixed);
    let images = graph.add_value(Value {
        name: "images".into(),
        dtype: Some(DType::F32),
        shape: Some(input.map(dim).to_vec()),
        ..Value::default()
    });
    graph.inputs.push(images);
    let head = Tensor::new(output, vec![0f32; output.iter().product()]).unwrap();
    let head = graph.add_constant("head", head);
    let mean = graph.node("ReduceMean").input(images).attribute("keepdims", 0).output("mean");
    let answer = graph.node("Add").input(head).input(mean).output("output0");
    let value = graph.value_mut(answer);
    value.dtype = Some(DType::F32);
    value.shape = Some(output.map(Dim::Fixed).to_vec());
    graph.outputs.push(answer);
    graph.metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    onnx::write(&graph)
}

fn open(file: &[u8], overrides: &[(String, toml::Value, Origin)]) -> Package {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("yolo.onnx");
    std::fs::write(&path, file).unwrap();
    Package::open(&path, overrides).unwrap()
}

const NAMES: &str = "{0: 'cat', 1: 'dog'}";
const FIXED: [Option<usize>; 4] = [Some(1), Some(3), Some(320), Some(320)];

#[test]
fn a_yolo_export_needs_no_manifest() {
    let metadata =
        [("task", "detect"), ("stride", "32"), ("names", NAMES), ("imgsz", "[320, 320]")];
    for input in [FIXED, [None, Some(3), None, None]] {
        let package = open(&exported(input, [1, 6, 2100], &metadata), &[]);
        let (inputs, decoder) = package.pipeline().unwrap();
        let InputSpec::Image(image) = &inputs[0] else { panic!("no picture input") };
        assert_eq!((image.width, image.height), (320, 320));
        let fitted = (image.color, image.resize, image.filter);
        assert_eq!(fitted, (Color::Rgb, Resize::Letterbox, Filter::OpencvLinear));
        assert_eq!((image.mean.as_slice(), image.std.as_slice()), (&[0.0][..], &[255.0][..]));
        let Decoder::Grid(grid) = decoder else { panic!("no grid") };
        assert_eq!((grid.layout, grid.fields), (GridLayout::Columns, GridFields::BoxClasses));
        assert_eq!(package.labels.get(1), Some("dog"));
        assert_eq!(package.task(), Task::ObjectDetection);
    }
}

#[test]
fn head_shapes_tell_generations_apart() {
    let metadata = [("stride", "32"), ("names", NAMES)];
    let (_, decoder) = open(&exported(FIXED, [1, 6300, 7], &metadata), &[]).pipeline().unwrap();
    assert!(
        matches!(decoder, Decoder::Grid(grid) if grid.fields == GridFields::BoxObjectnessClasses)
    );
    let (_, decoder) = open(&exported(FIXED, [1, 300, 6], &metadata), &[]).pipeline().unwrap();
    assert!(
        matches!(decoder, Decoder::DetectionRows(rows) if rows.columns == RowColumns::CornersScoreClass)
    );
}

#[test]
fn the_specifications_image_keys_are_read() {
    let metadata =
        [("Image.BitmapPixelFormat", "Bgr8"), ("Image.NominalPixelRange", "Normalized_1_1")];
    let overrides =
        [("decoder.kind".to_owned(), "tensor".into(), Origin::Flag("--decoder".into()))];
    let package = open(&exported(FIXED, [1, 6, 2100], &metadata), &overrides);
    let (inputs, _) = package.pipeline().unwrap();
    let InputSpec::Image(image) = &inputs[0] else { panic!("no picture input") };
    assert_eq!((image.color, image.mean[0], image.std[0]), (Color::Bgr, 127.5, 127.5));
}

#[test]
fn without_metadata_everything_open_is_listed() {
    let incomplete = open(&exported(FIXED, [1, 6, 2100], &[]), &[]).pipeline().unwrap_err();
    let keys: Vec<_> = incomplete.missing.iter().map(|missing| missing.key.as_str()).collect();
    assert_eq!(keys, ["input.color", "input.mean", "input.std", "decoder.kind"]);
}
