//! What every engine that reads ONNX needs done to a graph first.

use sedge_graph::passes::{self, ExpandError};
use sedge_graph::{Graph, onnx};

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
    Ok(graph)
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
