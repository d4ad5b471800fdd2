//! MXNet models as users bring them: files beside each other, whole or damaged.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sedge_graph::{Dim, Graph};
use sedge_import::{Format, Imported, Siblings, Source, import};

/// A directory in memory.
#[derive(Clone, Default)]
struct Folder(BTreeMap<String, Bytes>);

impl Folder {
    fn of(model: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models").join(model);
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap().into())
        };
        Self(std::fs::read_dir(path).unwrap().map(read).collect())
    }

    fn with(mut self, name: &str, content: impl Into<Bytes>) -> Self {
        self.0.insert(name.to_owned(), content.into());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.remove(name).unwrap();
        self
    }

    fn import(&self, main: &str) -> Result<Imported, String> {
        let source = Source::new(main, self.0[main].clone(), self);
        import(&source).map_err(|error| error.to_string())
    }

    fn error(&self, main: &str) -> String {
        self.import(main).unwrap_err()
    }
}

impl Siblings for Folder {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn read(&self, name: &str) -> std::io::Result<Bytes> {
        self.0.get(name).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

const SYMBOL: &str = "resnet8-symbol.json";
const PARAMS: &str = "resnet8-0000.params";

fn input_shape(graph: &Graph) -> Vec<Option<usize>> {
    graph.value(graph.inputs[0]).shape.as_ref().unwrap().iter().map(Dim::fixed).collect()
}

#[test]
fn either_file_names_the_model_and_both_belong_to_it() {
    let folder = Folder::of("mxnet-resnet8");
    let by_symbol = folder.import(SYMBOL).unwrap();
    assert_eq!(
        (by_symbol.format, &by_symbol.beside[..]),
        (Format::Mxnet, &[PARAMS.to_owned()][..])
    );
    let by_params = folder.import(PARAMS).unwrap();
    assert_eq!(by_params.beside, [SYMBOL]);
    assert_eq!(by_params.graph, by_symbol.graph);
    let output = by_symbol.graph.outputs[0];
    assert_eq!(by_symbol.graph.value(output).name, "softmax_output");
    // The label of training is no input, and the channels follow from the first weights.
    assert_eq!(by_symbol.graph.inputs.len(), 1);
    assert_eq!(input_shape(&by_symbol.graph), [None, Some(3), None, None]);
}

#[test]
fn weights_are_shared_with_the_file() {
    let folder = Folder::of("mxnet-resnet8");
    let file = folder.0[PARAMS].as_ptr_range();
    let graph = folder.import(SYMBOL).unwrap().graph;
    let shared = graph.values().filter_map(|(_, value)| value.constant.as_ref());
    let shared = shared.filter(|tensor| file.contains(&tensor.bytes().as_ptr())).count();
    assert!(shared > 40, "{shared}");
}

#[test]
fn the_shapes_of_sagemaker_give_the_size_for_one_picture() {
    let folder = Folder::of("mxnet-sagemaker-classifier");
    let symbol = "image-classification-symbol.json";
    assert_eq!(input_shape(&folder.import(symbol).unwrap().graph), [1, 3, 96, 96].map(Some));
    for (shapes, want) in [
        (
            r#"[{"name": "softmax_label", "shape": [32]}, {"name": "data", "shape": [32, 3, 64, 80]}]"#,
            64,
        ),
        (r#"[{"name": "other", "shape": [8, 3, 48, 48]}]"#, 48),
    ] {
        let folder = folder.clone().with("model-shapes.json", shapes);
        let shape = input_shape(&folder.import(symbol).unwrap().graph);
        assert_eq!((shape[0], shape[2]), (Some(1), Some(want)), "{shapes}");
    }
}

#[test]
fn old_symbols_are_completed() {
    let graph = Folder::of("mxnet-mtcnn").import("det3-symbol.json").unwrap().graph;
    let names: Vec<&str> = graph.outputs.iter().map(|&id| graph.value(id).name.as_str()).collect();
    assert_eq!(names, ["conv6_3_output", "conv6_2_output", "prob1_output"]);
    // Statistics that a file from before 0.9 does not list.
    let folder = Folder::of("mxnet-resnet8");
    let mut symbol: serde_json::Value = serde_json::from_slice(&folder.0[SYMBOL]).unwrap();
    for node in symbol["nodes"].as_array_mut().unwrap() {
        if node["op"] == "BatchNorm" {
            node["inputs"].as_array_mut().unwrap().truncate(3);
            let attributes = node.as_object_mut().unwrap().remove("attrs").unwrap();
            node["param"] = attributes;
        }
    }
    let old = folder.clone().with(SYMBOL, symbol.to_string());
    assert_eq!(old.import(SYMBOL).unwrap().graph.nodes, folder.import(SYMBOL).unwrap().graph.nodes);
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    let folder = Folder::of("mxnet-resnet8");
    let cannot = "cannot import the MXNet model:";
    assert_eq!(
        folder.clone().without(PARAMS).error(SYMBOL),
        format!(
            "{cannot} the graph needs weights, and beside it there is none. Hint: put \
             resnet8-0000.params there"
        )
    );
    assert_eq!(
        folder.clone().without(SYMBOL).error(PARAMS),
        format!(
            "{cannot} a parameter file holds weights and no graph, and beside it there is none. \
             Hint: put resnet8-symbol.json there"
        )
    );
    let other = Folder::of("mxnet-vww96").0["vww96-0000.params"].clone();
    let message = folder.clone().with(PARAMS, other).error(SYMBOL);
    let start = format!("{cannot} resnet8-0000.params lacks 40 of the graph's weights, such as ");
    let end = "Hint: put the parameter file there that was saved with this graph";
    assert!(message.starts_with(&start) && message.ends_with(end), "{message}");
    let text = String::from_utf8(folder.0[SYMBOL].to_vec()).unwrap();
    let unknown = text.replacen("\"Pooling\"", "\"_contrib_Proposal\"", 1);
    assert_eq!(
        folder.clone().with(SYMBOL, unknown).error(SYMBOL),
        format!("{cannot} operators that are not supported: _contrib_Proposal (1)")
    );
}

#[test]
fn damaged_parameters_are_told_exactly() {
    let folder = Folder::of("mxnet-resnet8");
    let whole = folder.0[PARAMS].to_vec();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        let prefix = "cannot import the MXNet model: the parameter file resnet8-0000.params cannot be read: ";
        let message = folder.clone().with(PARAMS, bytes).error(SYMBOL);
        message.strip_prefix(prefix).unwrap_or(&message).to_owned()
    };
    let cut = "it ends in the middle of an array. Hint: copy it again, it is incomplete";
    assert_eq!(with(&|bytes| bytes.truncate(100_000)), cut);
    assert_eq!(with(&|bytes| bytes[0] = 0x13), "it is no MXNet parameter file");
    assert_eq!(
        with(&|bytes| bytes[16..24].fill(0xff)),
        "it is damaged: it lists 18446744073709551615 arrays in 317544 bytes"
    );
    // Of the first array: storage type, number of dimensions, a dimension, element type.
    assert_eq!(
        with(&|bytes| bytes[28] = 7),
        "it is damaged: an array has the unknown storage type 7"
    );
    assert_eq!(with(&|bytes| bytes[32] = 77), "it is damaged: an array has an impossible shape");
    assert_eq!(with(&|bytes| bytes[43] = 0xff), "it is damaged: an array has an impossible shape");
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let mut state = 9u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % limit
    };
    for model in ["mxnet-mtcnn", "mxnet-sagemaker-classifier"] {
        let folder = Folder::of(model);
        let symbol = folder.0.keys().find(|name| name.ends_with("-symbol.json")).unwrap().clone();
        for name in folder.0.keys() {
            for _ in 0..30 {
                let mut bytes = folder.0[name].to_vec();
                for _ in 0..4 {
                    // Headers stand at the beginning.
                    let reach = if below(2) == 0 { bytes.len().min(400) } else { bytes.len() };
                    let at = below(reach);
                    bytes[at] = [0, 0xff, b'9', bytes[at].wrapping_add(1)][below(4)];
                }
                let damaged = folder.clone().with(name, bytes.clone());
                let _ = damaged.import(&symbol);
                let cut = below(bytes.len());
                let _ = folder.clone().with(name, bytes[..cut].to_vec()).import(&symbol);
            }
        }
    }
}
