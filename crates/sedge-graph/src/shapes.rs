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

/// Fills in shapes as [`infer`] does, and corrects what the file states of results by what follows
/// from inputs and weights: only that says what running the graph takes.
pub fn settle(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let outputs = graph.nodes[index].outputs.clone();
        let stated: Vec<_> =
            outputs.iter().map(|id| id.and_then(|id| graph.value_mut(id).shape.take())).collect();
        infer_node(graph, index);
        for (id, stated) in outputs.into_iter().zip(stated) {
            let (Some(id), Some(stated)) = (id, stated) else { continue };
            let shape = &mut graph.value_mut(id).shape;
            match shape {
                Some(dims) if dims.len() == stated.len() => {
                    let unknown =
                        dims.iter_mut().zip(stated).filter(|(dim, _)| dim.fixed().is_none());
                    unknown.for_each(|(dim, stated)| *dim = stated);
                }
                Some(_) => {}
                None => *shape = Some(stated),
            }
        }
    }
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
