//! TensorFlow Lite files.
//!
//! The graph keeps the file's tensors by name. What ONNX does channels first is wrapped in
//! transposes, and quantised tensors are integers between a QuantizeLinear and its
//! DequantizeLinear; taking out what is superfluous is left to the graph's rewrites.

mod archive;
mod builder;
mod conv;
mod detection;
mod elementwise;
mod flexbuffer;
mod matrix;
mod metadata;
mod model;
mod operators;
mod pool;
mod quantize;
mod reduce;
mod resize;
mod schema;
mod shape;
mod slice;

pub use operators::supported_operators;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use sedge_graph::{Graph, GraphError};

use crate::flatbuffer::Malformed;
use crate::refusal::Refusal;
use crate::{Fact, heads};
use builder::{Context, Op};
use model::Model;

/// Why a TensorFlow Lite file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The FlatBuffer is damaged or cut off.
    #[error("the file is damaged or incomplete: {0}")]
    Malformed(#[from] Malformed),
    /// Something refers to what is not there.
    #[error("the file is damaged: it refers to {what} {index}, which does not exist")]
    Reference {
        /// Kind of the missing thing.
        what: &'static str,
        /// Its index.
        index: usize,
    },
    /// Data behind the FlatBuffer lies outside the file.
    #[error("the file is incomplete: it refers to {size} bytes at offset {offset}")]
    Outside {
        /// Start of the data.
        offset: u64,
        /// Length of the data.
        size: u64,
    },
    /// A constant has too little data for its shape.
    #[error("the file is damaged: constant '{name}' has less data than its shape needs")]
    Constant {
        /// Name of the constant.
        name: String,
    },
    /// More than any sound file has.
    #[error("the file lists {count} {what}; at most {most} are accepted")]
    TooMany {
        /// Kind of thing.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// Lists are shared so often that reading them all would take far more than the file's size.
    #[error("the file refers to the same data again and again, far beyond its own size")]
    Shared,
    /// A schema version nobody uses any more, or not yet.
    #[error("schema version {0} is not supported, only version 3")]
    Version(u32),
    /// There is no graph.
    #[error("the file contains no model")]
    Empty,
    /// More than one subgraph.
    #[error(
        "the model has {0} subgraphs (control flow or several signatures); only models of one are supported. \
         Hint: export a single signature without loops and conditions"
    )]
    Subgraphs(usize),
    /// Operators no translation exists for, with how often each occurs.
    #[error("operators that are not supported: {}{}", Listed(.0), state_hint(.0))]
    Unsupported(Vec<(String, usize)>),
    /// An operator of a supported kind in a form that is not.
    #[error("operator {operator} that makes '{result}' cannot be imported: {reason}")]
    Operator {
        /// Kind of the operator.
        operator: String,
        /// Name of its first result.
        result: String,
        /// What is wrong.
        reason: String,
    },
    /// An output is not produced.
    #[error("output '{name}' cannot be imported: {reason}")]
    Output {
        /// Name of the output.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The operators do not form a graph.
    #[error("the file is damaged: {0}")]
    Graph(#[from] GraphError),
}

/// Operators with their counts, as a message shows them.
pub(crate) struct Listed<'a>(pub(crate) &'a [(String, usize)]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, count)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{name} ({count})")?;
        }
        Ok(())
    }
}

/// Operators of models that remember something from one request to the next.
const STATEFUL: [&str; 9] = [
    "ASSIGN_VARIABLE",
    "CALL_ONCE",
    "LSTM",
    "READ_VARIABLE",
    "RNN",
    "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "VAR_HANDLE",
];

fn state_hint(operators: &[(String, usize)]) -> &'static str {
    match operators.iter().any(|(name, _)| STATEFUL.contains(&name.as_str())) {
        true => {
            ". Hint: the model keeps variables from one request to the next, which a service has \
             none of; export it with its state as inputs and outputs"
        }
        false => "",
    }
}

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Self {
        Self(error.to_string())
    }
}

/// Imports a TensorFlow Lite file. Weights are slices of `bytes`, except where ONNX wants them in
/// another order.
pub(crate) fn import(bytes: &Bytes) -> Result<(Graph, Vec<Fact>), Error> {
    let model = Model::read(bytes)?;
    refuse_unknown(&model)?;
    if model.subgraphs > 1 {
        return Err(Error::Subgraphs(model.subgraphs));
    }
    let mut context = Context::new(&model);
    for operator in &model.operators {
        let build = if operator.custom {
            operators::custom_builder(&operator.name)
        } else {
            operators::builder(&operator.name)
        };
        let build = build.ok_or_else(|| Error::Unsupported(vec![(operator.name.clone(), 1)]))?;
        build(&mut Op { context: &mut context, operator }).map_err(|refusal| {
            let result = operator.outputs.iter().copied().flatten().next();
            Error::Operator {
                operator: operator.name.clone(),
                result: result.map_or_else(String::new, |index| model.tensors[index].name.clone()),
                reason: refusal.to_string(),
            }
        })?;
    }
    let mut graph = context.finish()?;
    // Engines with integer kernels round as the graph's own framework does.
    graph.metadata.insert("sedge.rounding".to_owned(), "tflite".to_owned());
    if let Some(description) = &model.description {
        graph.metadata.insert("description".to_owned(), description.clone());
    }
    let mut facts = metadata::facts(bytes, &model);
    let heads = heads::head_facts(&graph).into_iter().chain(heads::input_facts(&graph));
    for fact in heads {
        // What the file states outright comes before what its graph suggests.
        if !facts.iter().any(|known: &Fact| known.key == fact.key) {
            facts.push(fact);
        }
    }
    Ok((graph, facts))
}

fn refuse_unknown(model: &Model<'_>) -> Result<(), Error> {
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for operator in &model.operators {
        let build = if operator.custom {
            operators::custom_builder(&operator.name)
        } else {
            operators::builder(&operator.name)
        };
        if build.is_none() {
            *unknown.entry(&operator.name).or_default() += 1;
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::Unsupported(unknown.into_iter().map(|(name, n)| (name.to_owned(), n)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_with_a_memory_are_told_what_to_do() {
        let told = |name: &str| Error::Unsupported(vec![(name.to_owned(), 2)]).to_string();
        assert!(told("VAR_HANDLE").contains("VAR_HANDLE (2). Hint: the model keeps variables"));
        assert_eq!(told("WHILE"), "operators that are not supported: WHILE (2)");
    }
}
