use sedge_engine::TensorInfo;

use crate::{Request, Response, RunnerError};

/// What a protocol adapter may know about a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInfo {
    /// Name of the model.
    pub name: String,
    /// First 12 digits of its identity.
    pub identity: String,
    /// Version for people, when the manifest has one.
    pub version: Option<String>,
    /// What it is for.
    pub task: String,
    /// Format of its file.
    pub format: &'static str,
    /// Engine that runs it.
    pub engine: String,
    /// Inputs in the model's order.
    pub inputs: Vec<TensorInfo>,
    /// Outputs in the model's order.
    pub outputs: Vec<TensorInfo>,
    /// Index of the input that takes pictures, when it is known how.
    pub picture_input: Option<usize>,
    /// What is not known of its pictures, and how to say it; `None` when it takes them.
    pub missing: Option<String>,
    /// Labels by output index, as far as they are known.
    pub labels: Vec<String>,
}

/// Answers one request on the calling thread: decode, preprocess, inference, postprocess.
///
/// A pipeline in this process is one; a worker process behind a socket is another. Runners are
/// shared between threads; requests may run side by side.
pub trait Runner: Send + Sync {
    /// What is behind it.
    fn info(&self) -> &ModelInfo;

    /// Answers a request. Queue times are not its business.
    fn run(&self, request: &Request) -> Result<Response, RunnerError>;
}
