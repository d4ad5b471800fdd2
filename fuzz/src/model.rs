//! What the program does with a model file: opens it as a package, describes it, prepares it for an
//! engine; loads and runs it where that is certain to be little work.

use sedge_engine::{Engine, LoadOptions, Native, TensorInfo};
use sedge_graph::{Attribute, Graph, Statistics, onnx, passes, shapes, statistics};
use sedge_package::{Package, manifest_template};
use sedge_tensor::{DType, Tensor};

/// Weights share the file; what is made of a small file is small as well.
pub(crate) const MAX_PEAK_BYTES: usize = 128 << 20;

/// Bytes of all tensors, nodes and multiplications up to which a model is loaded and run.
const MAX_TENSOR_BYTES: usize = 1 << 20;
const MAX_NODES: usize = 64;
const MAX_MULTIPLICATIONS: u64 = 10_000_000;

/// Opens a bare model file.
pub(crate) fn open(bytes: &[u8]) {
    open_files(&[("model", bytes)]);
}

/// Opens the first of files that lie beside each other.
pub(crate) fn open_files(files: &[(&str, &[u8])]) {
    let Ok(directory) = tempfile::tempdir() else { return };
    for (name, bytes) in files {
        if std::fs::write(directory.path().join(name), bytes).is_err() {
            return;
        }
    }
    let Some((main, _)) = files.first() else { return };
    match Package::open(&directory.path().join(main), &[]) {
        Ok(package) => describe(package),
        Err(error) => drop(error.to_string()),
    }
}

/// Everything the commands say about an opened package, then [`prepare`] and perhaps [`load`].
pub(crate) fn describe(mut package: Package) {
    drop(manifest_template(&package, Some("labels.txt")));
    drop(package.effective_settings().map_err(|incomplete| incomplete.to_string()));
    drop(package.task().to_string());
    let graph = std::mem::take(&mut package.graph);
    let (inputs, outputs) = TensorInfo::of_graph(&graph);
    inputs.iter().chain(&outputs).for_each(|info| drop(info.shape_text()));
    prepare(&graph);
    let mut settled = graph.clone();
    shapes::settle(&mut settled);
    if is_small(&settled, &statistics(&settled)) {
        let mut spelled = graph.clone();
        if sedge_engine::spell_out(&mut spelled) > 0 {
            load(spelled);
        }
        load(graph);
    }
}

fn prepare(graph: &Graph) {
    let mut plain = graph.clone();
    match passes::expand(&mut plain) {
        Ok(()) => {
            drop(passes::remaining_custom_operators(&plain));
            passes::clean(&mut plain);
            shapes::infer(&mut plain);
            let _ = onnx::read(&onnx::write(&plain).into());
        }
        Err(error) => drop(error.to_string()),
    }
    sedge_engine::spell_out(&mut graph.clone());
    let mut quantized = graph.clone();
    if passes::expand_quantized(&mut quantized).is_ok() {
        shapes::infer(&mut quantized);
    }
}

fn is_small(graph: &Graph, counted: &Statistics) -> bool {
    let bytes = |value: &sedge_graph::Value| {
        let count = sedge_tensor::element_count(&value.fixed_shape()?)?;
        count.checked_mul(value.dtype.unwrap_or(DType::F32).size()?)
    };
    let read_or_written = |node: &sedge_graph::Node| {
        node.inputs.iter().chain(&node.outputs).flatten().copied().collect::<Vec<_>>()
    };
    let has_body = |node: &sedge_graph::Node| {
        node.attributes.values().any(|attribute| matches!(attribute, Attribute::Graph(_)))
    };
    let mut ids: Vec<_> = graph.nodes.iter().flat_map(read_or_written).collect();
    ids.extend(&graph.inputs);
    let all = ids.iter().try_fold(0usize, |sum, &id| sum.checked_add(bytes(graph.value(id))?));
    graph.nodes.len() <= MAX_NODES
        && !graph.nodes.iter().any(has_body)
        && all.is_some_and(|all| all <= MAX_TENSOR_BYTES)
        && counted.multiply_accumulates.is_some_and(|n| n <= MAX_MULTIPLICATIONS)
}

fn load(graph: Graph) {
    let loaded = Native.load(sedge_engine::Model::Graph(graph), &LoadOptions { threads: 1 });
    let session = match loaded {
        Ok(session) => session,
        Err(error) => return drop(error.to_string()),
    };
    let inputs: Option<Vec<Tensor>> = session.inputs().iter().map(TensorInfo::zeros).collect();
    if let Some(inputs) = inputs {
        drop(session.run(&inputs).map_err(|error| error.to_string()));
    }
}
