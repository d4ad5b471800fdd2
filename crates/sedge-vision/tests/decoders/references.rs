//! The stored cases of `testdata/decoders`, or of the folder `DECODER_CASES` names.

use std::path::{Path, PathBuf};

use sedge_tensor::Tensor;
use sedge_vision::nms::iou;
use sedge_vision::{Answer, Box2d, Decoder, Labels, Output, Placement, Selection};
use serde::Deserialize;

use crate::npy;

#[derive(Deserialize)]
struct Case {
    picture: (u32, u32),
    input: (u32, u32),
    outputs: Vec<Stored>,
    detections: Vec<Expected>,
    top_k: Option<usize>,
}

#[derive(Deserialize)]
struct Stored {
    name: String,
    file: String,
}

#[derive(Deserialize)]
struct Expected {
    class_index: usize,
    score: f32,
    #[serde(rename = "box")]
    corners: [f32; 4],
}

/// Lowest overlap, largest difference of a score and of an edge in pixels.
#[derive(Clone, Copy, Debug)]
struct Difference {
    iou: f64,
    score: f32,
    edge: f32,
}

const SAME: Difference = Difference { iou: 1.0, score: 0.0, edge: 0.0 };

impl Difference {
    fn worse(self, other: Self) -> Self {
        Self {
            iou: self.iou.min(other.iou),
            score: self.score.max(other.score),
            edge: self.edge.max(other.edge),
        }
    }
}

fn folder() -> PathBuf {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/decoders");
    std::env::var_os("DECODER_CASES").map_or(stored, PathBuf::from)
}

fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

fn compare(decoder: &Decoder, path: &Path) -> Difference {
    let case: Case = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let read = |o: &Stored| npy::read(std::fs::read(path.with_file_name(&o.file)).unwrap());
    let tensors: Vec<Tensor> = case.outputs.iter().map(read).collect();
    let names = case.outputs.iter().map(|o| o.name.as_str());
    let output = |(name, tensor)| Output { name, tensor, quantization: None };
    let outputs: Vec<Output<'_>> = names.zip(&tensors).map(output).collect();
    let placement = Placement::stretch(case.picture, case.input);
    let selection = Selection { threshold: None, top_k: case.top_k };
    let answer = decoder.decode(&outputs, &placement, &Labels::default(), selection).unwrap();
    let Answer::Objects(objects) = answer else { panic!("{answer:?}") };

    assert_eq!(objects.len(), case.detections.len(), "{}: {objects:#?}", path.display());
    let mut difference = SAME;
    for (object, expected) in objects.iter().zip(&case.detections) {
        assert_eq!(object.index, expected.class_index, "{}", path.display());
        let [xmin, ymin, xmax, ymax] = expected.corners;
        let (width, height) = (case.picture.0 as f32, case.picture.1 as f32);
        let clamped = Box2d {
            xmin: xmin.clamp(0.0, width),
            ymin: ymin.clamp(0.0, height),
            xmax: xmax.clamp(0.0, width),
            ymax: ymax.clamp(0.0, height),
        };
        let b = object.bounds;
        let edges = [
            b.xmin - clamped.xmin,
            b.ymin - clamped.ymin,
            b.xmax - clamped.xmax,
            b.ymax - clamped.ymax,
        ];
        difference = difference.worse(Difference {
            iou: iou(b, clamped, [0.0; 2]),
            score: (object.score - expected.score).abs(),
            edge: edges.iter().fold(0.0, |max, edge| edge.abs().max(max)),
        });
    }
    difference
}

#[test]
fn stored_outputs_give_the_detections_of_the_reference() {
    let models: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("decoder.toml").exists())
        .collect();
    assert!(models.len() >= 9, "{models:?}");
    for model in models {
        let text = std::fs::read_to_string(model.join("decoder.toml")).unwrap();
        let decoder: Decoder = toml::from_str(&text).unwrap();
        let cases = with_extension(&model, "json");
        assert!(!cases.is_empty(), "{}", model.display());
        for case in cases {
            let difference = compare(&decoder, &case);
            println!("{}: {difference:?}", case.display());
            assert!(difference.iou > 0.999, "{}: {difference:?}", case.display());
            assert!(difference.score < 1e-5, "{}: {difference:?}", case.display());
            assert!(difference.edge < 0.02, "{}: {difference:?}", case.display());
        }
    }
}

#[test]
fn unknown_keys_are_refused_and_missing_ones_named() {
    let parse = |text: &str| toml::from_str::<Decoder>(text).map_err(|e| e.to_string());
    assert!(parse("kind = \"tensor\"").is_ok());
    for (text, word) in [
        ("kind = \"tensor\"\nscale = 1", "scale"),
        ("kind = \"classes\"\nactivate = \"softmax\"", "activate"),
        ("kind = \"ssd-anchors\"", "box_form"),
        ("kind = \"grid\"\nlayout = \"rows\"\nbox_form = \"corners\"", "fields"),
        ("kind = \"detection-rows\"\nnms = {}", "nms"),
        ("kind = \"yolo\"", "detection-rows"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
}
