//! The one intermediate representation of a model: a graph with ONNX operator semantics.
//!
//! For: what importers write and engines read. Every graph uses one pinned operator set
//! ([`OPSET`]) of the default ONNX domain, quantised models as `QuantizeLinear` /
//! `DequantizeLinear` pairs, and operators that ONNX lacks in the domain [`SEDGE_DOMAIN`], each
//! with an expansion into ONNX operators ([`passes::expand`]). Not for: running anything, or
//! reading any format but ONNX.
//!
//! Read [`Graph`] first, then [`Node`].

#![forbid(unsafe_code)]

mod attribute;
mod build;
mod graph;
pub mod onnx;
pub mod passes;
pub mod shapes;
mod statistics;

pub use attribute::Attribute;
pub use build::NodeBuilder;
pub use graph::{Dim, Graph, GraphError, Node, Value, ValueId};
pub use statistics::{Statistics, statistics};

/// The version of the default ONNX operator set that every graph is written in.
///
/// 21 is the newest that all engines of the registry read (onnxruntime since 1.18).
pub const OPSET: i64 = 21;

/// Domain of the operators that ONNX has no equivalent for.
pub const SEDGE_DOMAIN: &str = "ai.sedge";
