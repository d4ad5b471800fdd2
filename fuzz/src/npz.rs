//! NumPy archives: the weights of a Chainer network that an ONNX file describes.

use std::path::Path;

use sedge_graph::{Dim, Graph, Value, onnx};
use sedge_package::{Package, read_npz};
use sedge_tensor::DType;

use crate::{Target, model};

/// See the module.
pub const TARGET: Target = Target { name: "npz", max_peak_bytes: model::MAX_PEAK_BYTES, body };

const MANIFEST: &str =
    "schema = 1\n[model]\nfiles = [\"weights.npz\"]\narchitecture = \"net.onnx\"\n";

fn body(bytes: &[u8]) {
    let Ok(directory) = tempfile::tempdir() else { return };
    if write(directory.path(), bytes).is_err() {
        return;
    }
    drop(read_npz(&directory.path().join("weights.npz")).map_err(|error| error.to_string()));
    match Package::open(directory.path(), &[]) {
        Ok(package) => model::describe(package),
        Err(error) => drop(error.to_string()),
    }
}

fn write(directory: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(directory.join("model.toml"), MANIFEST)?;
    std::fs::write(directory.join("net.onnx"), network())?;
    std::fs::write(directory.join("weights.npz"), bytes)
}

/// One linear layer, whose weights are `fc/W` and `fc/b`.
fn network() -> Vec<u8> {
    let mut graph = Graph::new("network");
    let mut input = |name: &str, shape: &[usize]| {
        let shape = Some(shape.iter().map(|&n| Dim::Fixed(n)).collect());
        let dtype = Some(DType::F32);
        let value = graph.add_value(Value { name: name.into(), dtype, shape, ..Value::default() });
        graph.inputs.push(value);
        value
    };
    let (x, weights, bias) = (input("x", &[1, 4]), input("fc/W", &[3, 4]), input("fc/b", &[3]));
    let node = graph.node("Gemm").input(x).input(weights).input(bias);
    let y = node.attribute("transB", 1i64).output("y");
    graph.outputs.push(y);
    onnx::write(&graph)
}
