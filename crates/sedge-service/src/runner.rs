use sedge_engine::TensorInfo;
use serde::{Deserialize, Serialize};

use crate::{Request, Response, RunnerError};

/// What a protocol adapter may know about a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    pub format: String,
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

    /// Answers several, in one run where the model allows it; one answer each, in their order.
    fn run_batch(&self, requests: &[&Request]) -> Vec<Result<Response, RunnerError>> {
        requests.iter().map(|request| self.run(request)).collect()
    }
}
