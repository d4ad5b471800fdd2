//! The TensorFlow Lite importer on real files: one-operator models of the converter, and what
//! damage makes of them. What the graphs compute is checked where engines are.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
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
        (
            "HASHTABLE_SIZE",
            "HASHTABLE_SIZE (1). Hint: words become numbers before the model: export the part \
             behind its tables",
        ),
        (
            "WHILE",
            "WHILE (1). Hint: export the part before or behind loops and conditions, or a model \
             without them",
        ),
    ] {
        let error = import(&Source::alone(case(&format!("refused/{file}")))).unwrap_err();
        assert!(matches!(error, ImportError::Tflite(tflite::Error::Unsupported(_))), "{error}");
        assert!(error.to_string().ends_with(name), "{error}");
    }
    assert!(tflite::supported_operators().any(|name| name == "TFLite_Detection_PostProcess"));
    assert!(tflite::supported_operators().all(|name| name != "WHILE"));
}

/// Every file of an archive of cases.
fn packed(name: &str) -> Vec<(String, Vec<u8>)> {
    let path = folder().with_file_name(name);
    let mut archive = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    let mut read = |name: String| {
        let mut bytes = Vec::new();
        archive.by_name(&name).unwrap().read_to_end(&mut bytes).unwrap();
        (name, bytes)
    };
    names.into_iter().map(&mut read).collect()
}

/// Whether a file's weights, inputs or outputs are quantised to 8 bits.
fn is_quantized(bytes: &[u8]) -> bool {
    let graph = import(&Source::alone(bytes.to_vec())).unwrap().graph;
    let byte =
        |dtype: Option<sedge_tensor::DType>| dtype.and_then(sedge_tensor::DType::size) == Some(1);
    let ends = graph.inputs.iter().chain(&graph.outputs).map(|&id| graph.value(id));
    let mut ends = ends.filter(|value| value.quantization.is_some());
    let mut weights = graph.nodes.iter().filter(|node| node.op == "DequantizeLinear");
    ends.any(|value| byte(value.dtype))
        || weights.any(|node| node.input(0).is_some_and(|id| byte(graph.value(id).dtype)))
}

#[test]
fn every_operator_has_a_case_in_every_form_that_it_claims() {
    let mut tested: Vec<(String, bool)> = Vec::new();
    let index = fs::read(folder().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    for entry in index.as_array().unwrap() {
        let quantized = is_quantized(&case(entry["name"].as_str().unwrap()));
        let names = entry["operators"].as_array().unwrap().iter();
        tested.extend(names.map(|name| (name.as_str().unwrap().to_owned(), quantized)));
    }
    for archive in ["tflite_tables.zip", "tflite_cases.zip"] {
        let files = packed(archive);
        let file = |name: &str| &files.iter().find(|(known, _)| known == name).unwrap().1;
        let index: serde_json::Value = serde_json::from_slice(file("index.json")).unwrap();
        for entry in index.as_array().unwrap() {
            let quantized = is_quantized(file(entry["model"].as_str().unwrap()));
            tested.push((entry["operator"].as_str().unwrap().to_owned(), quantized));
        }
    }
    // What a case of variables consists of, beside the operator it is named for.
    let together = ["ASSIGN_VARIABLE", "CALL_ONCE", "VAR_HANDLE"];
    let mut faults = Vec::new();
    for (name, support) in tflite::operators() {
        let mut forms = tested.iter().filter(|(operator, _)| operator == name).peekable();
        let any = forms.peek().is_some();
        let quantized = forms.any(|(_, quantized)| *quantized);
        let sound = match support {
            tflite::Support::Refused(_) => !any,
            tflite::Support::Plain => together.contains(&name) || (any && !quantized),
            tflite::Support::Quantized => quantized,
        };
        if !sound {
            faults.push(format!("{name} is {support:?}; has cases: {any}, quantised: {quantized}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_subgraphs_and_variables_cannot_be_is_said() {
    let files = packed("tflite_cases.zip");
    for (name, why) in [
        ("two_signatures", "the signatures train, infer, and none of them is 'serving_default'"),
        ("endless", "the file's subgraphs call each other deeper than 16 times"),
        (
            "assigned_later",
            "operator ASSIGN_VARIABLE cannot be imported: it changes a variable that the next request would find changed",
        ),
        ("never_assigned", "variable 'count' has no value before the first request"),
        ("flex", "FlexErfc (1). Hint: operators named Flex... are TensorFlow's own"),
    ] {
        let name = format!("refused/{name}.tflite");
        let (_, bytes) = files.iter().find(|(known, _)| *known == name).unwrap();
        let error = import(&Source::alone(bytes.clone())).unwrap_err().to_string();
        assert!(error.contains(why), "{name}: {error}");
    }
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
    let rare = packed("tflite_cases.zip").into_iter().filter(|(name, _)| name.ends_with(".tflite"));
    let rare = rare.map(|(name, bytes)| (name, Bytes::from(bytes)));
    for (_, bytes) in cases().into_iter().chain(rare) {
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
