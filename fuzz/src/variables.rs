//! Saved models of TensorFlow: the graph, the index of its variables, and their elements.

use std::path::Path;

use sedge_package::Package;

use crate::{Target, model};

/// See the module.
pub const TARGET: Target =
    Target { name: "variables", max_peak_bytes: model::MAX_PEAK_BYTES, body };

/// The input has the lengths of graph and index in two bytes each, then both, then the elements.
pub(crate) fn joined(graph: &[u8], index: &[u8], data: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes();
    [&length(graph)[..], &length(index)[..], graph, index, data].concat()
}

fn body(bytes: &[u8]) {
    let &[a, b, c, d, ref rest @ ..] = bytes else { return };
    let part = |rest: &[u8], length: [u8; 2]| rest.len().min(u16::from_le_bytes(length).into());
    let (graph, rest) = rest.split_at(part(rest, [a, b]));
    let (index, data) = rest.split_at(part(rest, [c, d]));
    let Ok(directory) = tempfile::tempdir() else { return };
    if write(directory.path(), graph, index, data).is_err() {
        return;
    }
    match Package::open(&directory.path().join("saved_model.pb"), &[]) {
        Ok(package) => model::describe(package),
        Err(error) => drop(error.to_string()),
    }
}

fn write(directory: &Path, graph: &[u8], index: &[u8], data: &[u8]) -> std::io::Result<()> {
    let variables = directory.join("variables");
    std::fs::create_dir(&variables)?;
    std::fs::write(directory.join("saved_model.pb"), graph)?;
    std::fs::write(variables.join("variables.index"), index)?;
    std::fs::write(variables.join("variables.data-00000-of-00001"), data)
}
