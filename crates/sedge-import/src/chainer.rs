//! Chainer's weights, which are files of arrays without a graph.
//!
//! The network is named beside them: one of `chainer.links`, written here as Chainer computes it,
//! or an ONNX file whose parameters have the names of the arrays.

mod links;
mod network;
mod onnx;
mod weights;

use sedge_graph::{Graph, GraphError};

use crate::{Fact, Source, heads, npz};
use weights::Weights;

pub use links::NAMES as LINKS;

/// What the name of a network begins with that is one of Chainer's own.
const SCHEME: &str = "chainer:";

/// Why weights do not make a model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive cannot be read.
    #[error("the archive of weights cannot be read: {0}")]
    Archive(String),
    /// Nobody says which network the weights belong to.
    #[error(
        "weights alone are no network. Hint: say which in model.toml, or with --set \
         model.architecture=...: {} of chainer.links, or an ONNX file beside the weights whose \
         parameters have their names",
        LINKS.map(|name| format!("{SCHEME}{name}")).join(", ")
    )]
    NoArchitecture,
    /// A network of Chainer's that is not written here.
    #[error("the architecture '{0}' is not known. Hint: use one of {list}, or an ONNX file", list = LINKS.join(", "))]
    UnknownLink(String),
    /// The file of the network.
    #[error("the architecture '{name}' cannot be read: {problem}")]
    Architecture {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A parameter that the weights lack.
    #[error("the weights have no '{0}', which the architecture needs")]
    Missing(String),
    /// A parameter of another shape.
    #[error("'{name}' has the shape {found:?}, the architecture needs {wanted:?}")]
    Shape {
        /// The parameter.
        name: String,
        /// Its shape in the weights.
        found: Vec<usize>,
        /// What the network needs.
        wanted: Vec<usize>,
    },
    /// Arrays that belong to no parameter.
    #[error(
        "the architecture has no place for {} of the arrays, such as '{first}'. \
         Hint: its parameters must have the names of the arrays",
        .count
    )]
    Unused {
        /// One of them.
        first: String,
        /// How many there are.
        count: usize,
    },
    /// The network does not hang together.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Puts weights into the network that the source names.
pub(crate) fn import(source: &Source<'_>) -> Result<(Graph, Vec<Fact>), Error> {
    let architecture = source.architecture.ok_or(Error::NoArchitecture)?;
    let arrays = npz::read(&source.bytes).map_err(Error::Archive)?;
    let mut weights = Weights::new(arrays);
    let (graph, mut facts) = match architecture.strip_prefix(SCHEME) {
        Some(link) => links::build(link.trim(), &mut weights)?,
        None => (onnx::fill(source, architecture, &mut weights)?, Vec::new()),
    };
    weights.all_used()?;
    let found = heads::head_facts(&graph).into_iter().chain(heads::input_facts(&graph));
    for fact in found {
        // What the network's authors say comes before what its graph suggests.
        if !facts.iter().any(|known: &Fact| known.key == fact.key) {
            facts.push(fact);
        }
    }
    Ok((graph, facts))
}
