//! The TensorFlow Lite importer on real files: one-operator models of the converter, and what
//! damage makes of them. What the graphs compute is checked where engines are.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sedge_graph::Graph;
use sedge_import::{Format, ImportError, Source, import, tflite};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tflite_ops")
}

fn cases() -> Vec<(String, Bytes)> {
    let mut cases: Vec<(String, Bytes)> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tflite"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap().into())
        })
        .collect();
    cases.sort();
    assert!(cases.len() > 250, "the cases are missing");
    cases
}

fn case(name: &str) -> Bytes {
    fs::read(folder().join(name).with_extension("tflite")).unwrap().into()
}

fn ops(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| node.op.as_str()).collect()
}

#[test]
fn every_case_is_imported() {
    for (name, bytes) in cases() {
        let imported =
            import(&Source::alone(bytes.clone())).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(imported.format, Format::Tflite);
        assert!(!imported.graph.outputs.is_empty(), "{name}");
    }
}

#[test]
fn quantised_operators_stand_between_dequantise_and_quantise() {
    let graph = import(&Source::alone(case("conv_valid_stride2_relu6_i8"))).unwrap().graph;
    let ops = ops(&graph);
    let conv = ops.iter().position(|op| *op == "Conv").unwrap();
    // The quantised range implies the activation.
    assert_eq!(ops[conv + 1], "QuantizeLinear", "{ops:?}");
    assert!(!ops.contains(&"Clip"), "{ops:?}");
    let input = graph.value(graph.inputs[0]);
    assert_eq!(input.dtype, Some(sedge_tensor::DType::I8));
    assert!(input.quantization.is_some());
}

#[test]
fn weights_are_shared_with_the_file_when_their_order_stays() {
    let bytes = case("fully_connected");
    let graph = import(&Source::alone(bytes.clone())).unwrap().graph;
    let file = bytes.as_ptr_range();
    let shared = graph
        .values()
        .filter_map(|(_, value)| value.constant.as_ref())
        .any(|constant| constant.shape() == [7, 12] && file.contains(&constant.bytes().as_ptr()));
    assert!(shared);
}

#[test]
fn operators_without_a_translation_are_named() {
    for (file, name) in [
        ("made_up_operator", "made-up-operator (1)"),
        ("HASHTABLE_SIZE", "HASHTABLE_SIZE (1)"),
        ("WHILE", "WHILE (1)"),
    ] {
        let error = import(&Source::alone(case(&format!("refused/{file}")))).unwrap_err();
        assert!(matches!(error, ImportError::Tflite(tflite::Error::Unsupported(_))), "{error}");
        assert!(error.to_string().ends_with(name), "{error}");
    }
    assert!(tflite::supported_operators().any(|name| name == "TFLite_Detection_PostProcess"));
    assert!(tflite::supported_operators().all(|name| name != "WHILE"));
}

/// A pseudorandom sequence that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (_, bytes) in cases() {
        for _ in 0..60 {
            let mut damaged = bytes.to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(damaged.len());
                let edges = [0, 1, 2, 0x7f, 0x80, 0xff];
                damaged[at] = match random.below(3) {
                    0 => random.below(256) as u8,
                    1 => edges[random.below(edges.len())],
                    _ => damaged[at].wrapping_add(1),
                };
            }
            let _ = import(&Source::alone(damaged));
        }
        let _ = import(&Source::alone(bytes.slice(..random.below(bytes.len()))));
    }
}
