//! Shape and element type inference, and the folding of shape arithmetic.
//!
//! Inference only ever adds knowledge: a value whose shape the file states keeps it. Operators it
//! does not know leave their results unknown, which is never an error.

mod compute;
mod fold;
mod movement;
mod operands;
mod rules;
mod window;

use sedge_tensor::DType;

use crate::{Dim, Graph};

pub use fold::{fold, fold_from};

/// What inference found out about one result of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inferred {
    dtype: Option<DType>,
    shape: Option<Vec<Dim>>,
}

/// Fills in element types and shapes, in node order; the graph must be sorted.
pub fn infer(graph: &mut Graph) {
    infer_from(graph, 0);
}

/// The same for the nodes from index `first` on: for importers, which need the shapes of what they
/// have written so far.
pub fn infer_from(graph: &mut Graph, first: usize) {
    for index in first..graph.nodes.len() {
        infer_node(graph, index);
    }
}

/// The shapes that the nodes give, whatever the file states of their results.
///
/// A file may state that a result is small which its nodes make large; only what follows from
/// inputs and weights says what running it takes.
pub fn computed(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let results: Vec<_> =
        graph.nodes.iter().flat_map(|node| &node.outputs).flatten().copied().collect();
    for id in results {
        graph.value_mut(id).shape = None;
    }
    infer(&mut graph);
    graph
}

fn infer_node(graph: &mut Graph, index: usize) {
    let node = &graph.nodes[index];
    let results = rules::infer(graph, node);
    let outputs = node.outputs.clone();
    for (id, inferred) in outputs.into_iter().zip(results) {
        let Some(id) = id else { continue };
        let value = graph.value_mut(id);
        if value.dtype.is_none() {
            value.dtype = inferred.dtype;
        }
        value.shape = match (value.shape.take(), inferred.shape) {
            (Some(stated), Some(inferred)) if stated.len() == inferred.len() => {
                let sharper = |(stated, inferred)| match (stated, inferred) {
                    (Dim::Fixed(n), _) | (_, Dim::Fixed(n)) => Dim::Fixed(n),
                    (Dim::Symbol(s), _) | (_, Dim::Symbol(s)) => Dim::Symbol(s),
                    _ => Dim::Unknown,
                };
                Some(stated.into_iter().zip(inferred).map(sharper).collect())
            }
            (stated, inferred) => stated.or(inferred),
        };
    }
}
