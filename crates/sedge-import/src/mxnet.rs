//! Apache MXNet models: the graph in `PREFIX-symbol.json`, the weights in `PREFIX-NNNN.params`.
//!
//! Symbol files of every version are read, from before 0.9 to 1.9, and parameter files of every
//! NDArray version. What serves only training (labels, targets, losses) is cut away: the outputs
//! are those of inference. Values keep MXNet's names, `NODE_output`.

mod activation;
mod attributes;
mod builder;
mod convolution;
mod detection;
mod elementwise;
mod facts;
mod files;
mod indexing;
mod inputs;
mod join;
mod matrix;
mod ndarray;
mod normalize;
mod operators;
mod params;
mod pool;
mod reduce;
mod regions;
mod resize;
mod shape;
mod slice;
mod sort;
mod symbol;
mod training;
mod weights;

pub use operators::operator_names;
pub use params::ParamsError;

use std::collections::BTreeMap;

use sedge_graph::{Graph, GraphError};

use crate::refusal::Refusal;
use crate::{Fact, Source};
use builder::Context;
use files::Files;
use symbol::Symbol;
use training::Wanted;
use weights::Weights;

pub(crate) use params::is_params;

/// True for the name of a symbol file.
pub(crate) fn is_symbol(name: &str) -> bool {
    name.ends_with(files::SYMBOL)
}

/// Why an MXNet model cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The symbol file is no JSON, or not of a symbol.
    #[error("the symbol file is damaged: {0}")]
    Symbol(String),
    /// A node or head refers to what is not there or comes later.
    #[error(
        "the symbol file is damaged: {what} refers to node {index}, which does not come before it"
    )]
    Reference {
        /// Who refers.
        what: String,
        /// The node it refers to.
        index: u64,
    },
    /// A parameter file cannot be read.
    #[error("the parameter file {file} cannot be read: {error}")]
    Params {
        /// Its name.
        file: String,
        /// What is wrong.
        error: ParamsError,
    },
    /// A file beside the main one cannot be read.
    #[error("cannot read {file}: {error}")]
    Read {
        /// Its name.
        file: String,
        /// What is wrong.
        error: std::io::Error,
    },
    /// A parameter file alone.
    #[error(
        "a parameter file holds weights and no graph, and beside it there is {found}. Hint: put {wanted} there"
    )]
    NoSymbol {
        /// What is there instead.
        found: String,
        /// The file that is wanted.
        wanted: String,
    },
    /// No parameter file, or none that can be told to be the right one.
    #[error("the graph needs weights, and beside it there is {found}. Hint: put {wanted} there")]
    NoParams {
        /// What is there instead.
        found: String,
        /// The file that is wanted.
        wanted: String,
    },
    /// The parameter file lacks weights.
    #[error("{file} lacks {count} of the graph's weights, such as {example}. Hint: {hint}")]
    MissingWeights {
        /// The parameter file.
        file: String,
        /// How many there are.
        count: usize,
        /// The first of them.
        example: String,
        /// What to do.
        hint: &'static str,
    },
    /// Every output serves training.
    #[error(
        "every output of the graph serves training (it needs labels or targets). Hint: export the network for inference"
    )]
    OnlyTraining,
    /// Operators no translation exists for, with how often each occurs.
    #[error("operators that are not supported: {}", listed(.0))]
    Unsupported(Vec<(String, usize)>),
    /// An operator of a supported kind in a form that is not.
    #[error("operator {operator} at node '{node}' cannot be imported: {reason}")]
    Operator {
        /// Kind of the operator.
        operator: String,
        /// Name of its node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// The operators do not form a graph.
    #[error("the file is damaged: {0}")]
    Graph(#[from] GraphError),
}

/// Operators with their counts, as a message shows them.
fn listed(operators: &[(String, usize)]) -> String {
    let each = operators.iter().map(|(name, count)| format!("{name} ({count})"));
    each.collect::<Vec<_>>().join(", ")
}

/// Imports a model whose main file is its symbol file, or the parameter file beside one. Weights
/// are slices of the parameter file.
pub(crate) fn import(source: &Source<'_>) -> Result<(Graph, Vec<Fact>), Error> {
    let files = Files::gather(source)?;
    let symbol = Symbol::read(&files.symbol)?;
    let wanted = Wanted::of(&symbol)?;
    refuse_unknown(&symbol, &wanted)?;
    let weights = Weights::read(&files)?;
    weights.check(&symbol, &wanted, &files)?;
    let mut context = Context::new(&symbol, &weights);
    inputs::declare(&mut context, &wanted, &files)?;
    for index in wanted.nodes() {
        context.translate(index)?;
    }
    let mut graph = context.finish(&wanted)?;
    if let Some(version) = symbol.version {
        let (major, minor, patch) = (version / 10_000, version / 100 % 100, version % 100);
        graph.metadata.insert("mxnet_version".to_owned(), format!("{major}.{minor}.{patch}"));
    }
    let facts = facts::of(&graph, &symbol, &wanted, &files);
    Ok((graph, facts))
}

fn refuse_unknown(symbol: &Symbol, wanted: &Wanted) -> Result<(), Error> {
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for node in wanted.nodes().map(|index| &symbol.nodes[index]) {
        if operators::builder(&node.op).is_none() {
            *unknown.entry(&node.op).or_default() += 1;
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::Unsupported(unknown.into_iter().map(|(name, n)| (name.to_owned(), n)).collect()))
}
