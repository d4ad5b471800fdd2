//! Importers: one module per source format, each writing the one graph.
//!
//! For: turning a model's files into a [`sedge_graph::Graph`] and the [`Fact`]s they state about
//! their own use (labels, normalisation, ...). Not for: reading manifests, choosing engines or
//! touching the disk: whoever calls hands in a [`Source`].
//!
//! Read [`import`] first, then [`Source`] and [`Fact`].

#![forbid(unsafe_code)]

pub mod chainer;
mod facts;
mod flatbuffer;
mod foreign;
mod gluoncv;
mod heads;
pub mod mxnet;
pub mod npz;
mod onnx;
mod permute;
mod refusal;
mod source;
mod strided;
pub mod tensorflow;
pub mod tflite;
mod yolo;

pub use facts::Fact;
pub use foreign::{Foreign, foreign, foreign_archive};
pub use heads::interface_facts;
pub use onnx::{MAX_SETTINGS_BYTES, QUANTIZATION, SETTINGS, quantization_text};
pub use source::{Alone, Siblings, Source};

use sedge_graph::Graph;

/// Formats of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Format {
    Tflite,
    Onnx,
    /// A frozen graph.
    TensorFlow,
    SavedModel,
    /// Weights of Chainer, with the name of their network.
    Chainer,
    Mxnet,
    /// Machine code of SageMaker Neo, which is not imported but run by its own runtime; packages
    /// of it are recognised where packages are.
    Neo,
}

impl Format {
    /// Recognises the main file of a model by its first bytes, at least 16 where there are as many,
    /// and by its name where they are no proof: a protobuf, or JSON, has no signature.
    pub fn recognise(name: &str, bytes: &[u8]) -> Option<Self> {
        // A FlatBuffer's identifier follows the root offset; TensorFlow Lite's is "TFL3".
        if bytes.get(4..8) == Some(b"TFL3") {
            return Some(Format::Tflite);
        }
        // An archive of arrays; others have the same signature.
        if bytes.starts_with(b"PK\x03\x04") && name.ends_with(".npz") {
            return Some(Format::Chainer);
        }
        // The version of the format, which is 1, then a graph. An ONNX file of that version would
        // begin so too, but is older than what can be read.
        if bytes.starts_with(&[0x08, 0x01, 0x12]) && !name.ends_with(".onnx") {
            return Some(Format::SavedModel);
        }
        // A protobuf whose first field is number 1, a small number: `ModelProto.ir_version`.
        if matches!(bytes, [0x08, 1..=63, ..]) {
            return Some(Format::Onnx);
        }
        // Weights have a signature, the graph they belong to is JSON.
        let is_json = bytes.trim_ascii_start().starts_with(b"{");
        if mxnet::is_params(bytes) || (mxnet::is_symbol(name) && is_json) {
            return Some(Format::Mxnet);
        }
        tensorflow::is_graph(bytes).then_some(Format::TensorFlow)
    }

    /// The name used in manifests, messages and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Format::Tflite => "tflite",
            Format::Onnx => "onnx",
            Format::TensorFlow => "tensorflow",
            Format::SavedModel => "saved-model",
            Format::Chainer => "chainer",
            Format::Mxnet => "mxnet",
            Format::Neo => "neo",
        }
    }
}

/// A model file turned into a graph.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Where it came from.
    pub format: Format,
    /// The graph; weights share the file's bytes.
    pub graph: Graph,
    /// What the files say about their own use.
    pub facts: Vec<Fact>,
    /// Names of the other files that were read: with the main one, they are the model.
    pub beside: Vec<String>,
}

/// Why a model file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No importer knows these bytes.
    #[error(
        "the file is of no format that can be imported: TensorFlow Lite, ONNX, TensorFlow (frozen \
         graph or saved model), MXNet (symbol and parameters)"
    )]
    UnknownFormat,
    /// A known format that is not imported.
    #[error("it is {}. Hint: {}", .0.name, .0.hint)]
    Foreign(&'static Foreign),
    /// The TensorFlow Lite importer refused.
    #[error("cannot import the TensorFlow Lite model: {0}")]
    Tflite(#[from] tflite::Error),
    /// The ONNX reader refused.
    #[error("cannot import the ONNX model: {0}")]
    Onnx(#[from] sedge_graph::onnx::ReadError),
    /// The TensorFlow importer refused.
    #[error("cannot import the TensorFlow model: {0}")]
    TensorFlow(#[from] tensorflow::Error),
    /// The weights do not make a network.
    #[error("cannot import the Chainer model: {0}")]
    Chainer(#[from] chainer::Error),
    /// The MXNet importer refused.
    #[error("cannot import the MXNet model: {0}")]
    Mxnet(#[from] mxnet::Error),
    /// The imported graph does not hang together.
    #[error("cannot import the model: {0}")]
    Graph(#[from] sedge_graph::GraphError),
}

/// Imports a model of any known format. Its bytes may be memory-mapped: weights are slices of them,
/// not copies.
///
/// # Errors
/// Unknown formats, broken files, and operators that are not supported, named.
pub fn import(source: &Source<'_>) -> Result<Imported, ImportError> {
    let bytes = &source.bytes;
    if let Some(foreign) = foreign(source.name, bytes) {
        return Err(ImportError::Foreign(foreign));
    }
    let format = Format::recognise(source.name, bytes).ok_or(ImportError::UnknownFormat)?;
    let (mut graph, facts) = match format {
        Format::Tflite => tflite::import(bytes)?,
        Format::Onnx => onnx::import(source)?,
        Format::TensorFlow => tensorflow::import_graph(source)?,
        Format::SavedModel => tensorflow::import_saved_model(source)?,
        Format::Chainer => chainer::import(source)?,
        Format::Mxnet => mxnet::import(source)?,
        Format::Neo => return Err(ImportError::UnknownFormat),
    };
    sedge_graph::passes::simplify(&mut graph)?;
    Ok(Imported { format, graph, facts, beside: source.taken() })
}
