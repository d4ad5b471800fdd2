//! What every engine that reads ONNX needs done to a graph first.

use sedge_graph::passes::{self, ExpandError};
use sedge_graph::{Graph, onnx, shapes};
use sedge_tensor::DType;

use crate::LoadError;
use crate::error::EMBEDDED;

/// Name of the weights' side file; it exists in memory only.
#[cfg(feature = "rten")]
pub(crate) const WEIGHTS: &str = "weights.data";

/// The graph in plain ONNX operators, or why `engine` cannot have it.
pub(crate) fn plain(mut graph: Graph, engine: &'static str) -> Result<Graph, LoadError> {
    passes::expand(&mut graph).map_err(|error| match error {
        ExpandError::NoExpansion { .. } if engine == EMBEDDED => refused(error),
        error => error.into(),
    })?;
    let custom = passes::remaining_custom_operators(&graph);
    let foreign: Vec<_> = custom.keys().filter(|op| op.starts_with("ai.sedge")).cloned().collect();
    if !foreign.is_empty() {
        let what = format!("the operators {}", foreign.join(", "));
        return Err(LoadError::Unsupported { engine, what });
    }
    passes::clean(&mut graph);
    let mut settled = graph.clone();
    shapes::settle(&mut settled);
    refuse_vast(&settled)?;
    Ok(graph)
}

/// Bytes of one tensor above which no device runs a model; a number in a damaged file says more.
const MOST_TENSOR_BYTES: u64 = 8 << 30;
/// Product of the other dimensions up to which a result without elements is let through: operators
/// go through the dimensions, also where there is nothing in them.
const MOST_EMPTY_PLACES: u64 = 1 << 24;

/// Refuses what could only end the process: engines allocate results without asking whether it is
/// possible. The shapes have to be settled.
pub(crate) fn refuse_vast(graph: &Graph) -> Result<(), LoadError> {
    for id in graph.nodes.iter().flat_map(|node| &node.outputs).flatten() {
        let value = graph.value(*id);
        let Some(shape) = value.fixed_shape() else { continue };
        let size = value.dtype.and_then(DType::size).unwrap_or(1);
        let dims = shape.iter().filter(|&&dim| dim > 0).map(|&dim| dim as u64);
        let places = dims.fold(1u64, u64::saturating_mul);
        let is_vast = match shape.contains(&0) {
            true => places > MOST_EMPTY_PLACES,
            false => places.saturating_mul(size as u64) > MOST_TENSOR_BYTES,
        };
        if is_vast {
            return Err(LoadError::Vast { name: value.name.clone(), shape });
        }
    }
    Ok(())
}

/// An operator without expansion as one that the embedded engine lacks.
pub(crate) fn refused(error: ExpandError) -> LoadError {
    match error {
        ExpandError::NoExpansion { operator, node } => LoadError::Operator {
            operator,
            place: if node.is_empty() { String::new() } else { format!(" at node '{node}'") },
            reason: "this form of it is not supported".into(),
        },
        error => error.into(),
    }
}

/// A graph as ONNX bytes with its large weights apart, so that they are copied once. The graph goes
/// first: what the rewrites made of weights is then given back while it is copied.
#[cfg(feature = "rten")]
pub(crate) fn with_weights_apart(graph: Graph) -> (Vec<u8>, Vec<u8>) {
    let options = onnx::WriteOptions { external: Some(WEIGHTS.into()) };
    let (model, weights) = onnx::write_with(&graph, &options);
    drop(graph);
    (model, weights.into_vec())
}

/// A graph as one ONNX file.
#[cfg(feature = "onnxruntime")]
pub(crate) fn whole(graph: &Graph) -> Vec<u8> {
    onnx::write(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: the file states 4x2x3, its operator makes petabytes.
    #[test]
    fn results_are_measured_by_what_makes_them() {
        let bytes = include_bytes!("../../../testdata/fuzz/onnx/regression-expand-to-vast");
        let graph = onnx::read(&bytes.to_vec().into()).unwrap();
        let error = plain(graph.clone(), EMBEDDED).unwrap_err().to_string();
        assert!(
            error.contains("'Identity' would have the shape [90164248444932, 2, 3]"),
            "{error}"
        );
        let mut fine = graph;
        fine.nodes[0].op = "Identity".into();
        fine.nodes[0].inputs.truncate(1);
        assert!(plain(fine, EMBEDDED).is_ok());
    }
}
