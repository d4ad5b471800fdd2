//! TensorFlow Lite files.
//!
//! The graph keeps the file's tensors by name. What ONNX does channels first is wrapped in
//! transposes, and quantised tensors are integers between a QuantizeLinear and its
//! DequantizeLinear; taking out what is superfluous is left to the graph's rewrites.

mod archive;
mod builder;
mod conv;
mod detection;
mod diagonal;
mod elementwise;
mod flexbuffer;
mod gather;
mod integers;
mod matrix;
mod mediapipe;
mod metadata;
mod model;
mod operators;
mod pool;
mod quantize;
mod reader;
mod reason;
mod reduce;
mod resize;
mod scatter;
mod schema;
mod scores;
mod shape;
mod slice;
mod sparse;
mod subgraphs;
mod suppress;
mod variables;

pub use operators::{Support, operators, supported_operators};
pub use reason::Reason;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use sedge_graph::{Graph, GraphError};

use crate::flatbuffer::Malformed;
use crate::refusal::Refusal;
use crate::{Fact, heads};
use builder::{Context, Op};
use model::{Model, Operator};

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
    /// Several signatures with different subgraphs, none of which is the usual one.
    #[error(
        "the model has the signatures {}, and none of them is 'serving_default'. \
         Hint: export the one that takes pictures", .0.join(", ")
    )]
    Signatures(Vec<String>),
    /// Subgraphs that call each other without end.
    #[error("the file's subgraphs call each other deeper than {0} times")]
    Depth(usize),
    /// Operators no translation exists for, with how often each occurs.
    #[error("operators that are not supported: {}{}", Listed(.0), Hints(.0))]
    Unsupported(Vec<(String, usize)>),
    /// An operator of a supported kind in a form that is not.
    #[error("operator {operator}{} cannot be imported: {reason}", Made(.result))]
    Operator {
        /// Kind of the operator.
        operator: String,
        /// Name of its first result; empty where it has none.
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

/// What an operator makes, where it makes anything.
struct Made<'a>(&'a str);

impl fmt::Display for Made<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " that makes '{}'", self.0) }
    }
}

/// Begins the names of TensorFlow operators that the converter could not translate.
const FLEX: &str = "Flex";

/// What to do about operators that are not supported, each advice once.
struct Hints<'a>(&'a [(String, usize)]);

impl fmt::Display for Hints<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        let hints: BTreeSet<&str> = names.filter_map(hint).collect();
        hints.into_iter().try_for_each(|hint| write!(f, ". Hint: {hint}"))
    }
}

fn hint(name: &str) -> Option<&'static str> {
    if name.starts_with(FLEX) {
        return Some(
            "operators named Flex... are TensorFlow's own: import the saved model instead, or \
             convert it with TensorFlow Lite's operators alone",
        );
    }
    operators::reason(name).map(Reason::hint)
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
    let mut context = Context::new(&model);
    for operator in &model.operators {
        let build = builder(operator)
            .ok_or_else(|| Error::Unsupported(vec![(operator.name.clone(), 1)]))?;
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
    let facts = known_facts(bytes, &model, &graph);
    Ok((graph, facts))
}

/// What the file says of its use. What it states outright comes before what its graph suggests.
fn known_facts(bytes: &Bytes, model: &Model<'_>, graph: &Graph) -> Vec<Fact> {
    let heads = heads::head_facts(graph).into_iter().chain(heads::input_facts(graph));
    let mut stated = metadata::facts(bytes, model, graph);
    let exported = metadata::yolo_facts(bytes, model, graph);
    let heads: Vec<Fact> = heads.collect();
    let kind = stated.iter().chain(&heads).find(|fact| fact.key == "decoder.kind");
    let takes_scores = kind.and_then(|kind| kind.value.as_str());
    // What is said of scores means nothing to a decoder that somebody else will choose.
    if !exported.is_empty() || !matches!(takes_scores, Some("classes" | "tflite-detection")) {
        stated.retain(|fact| !fact.key.starts_with("decoder."));
    }
    let mut facts: Vec<Fact> = Vec::new();
    for fact in exported.into_iter().chain(stated).chain(heads) {
        if !facts.iter().any(|known| known.key == fact.key) {
            facts.push(fact);
        }
    }
    facts
}

fn builder(operator: &Operator<'_>) -> Option<operators::Build> {
    match operator.custom {
        true => operators::custom_builder(&operator.name),
        false => operators::builder(&operator.name),
    }
}

fn refuse_unknown(model: &Model<'_>) -> Result<(), Error> {
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for operator in &model.operators {
        if builder(operator).is_none() {
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
    fn refused_operators_are_told_with_the_way_on() {
        let told = |names: &[&str]| {
            Error::Unsupported(names.iter().map(|name| (name.to_string(), 2)).collect()).to_string()
        };
        assert!(told(&["SVDF"]).contains("SVDF (2). Hint: the model keeps variables"));
        assert!(told(&["FlexErf"]).contains("FlexErf (2). Hint: operators named Flex..."));
        let both = told(&["IF", "WHILE"]);
        assert_eq!(both.matches("Hint").count(), 1, "{both}");
        assert_eq!(told(&["mine"]), "operators that are not supported: mine (2)");
    }
}
