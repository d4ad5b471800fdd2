use serde::{Deserialize, Serialize};

/// Why a request has no answer. Protocol adapters turn the kind into their status codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunnerError {
    /// The bytes are no picture that can be decoded, or it cannot be prepared.
    #[error("{0}")]
    Picture(String),
    /// Nobody said how this model wants its pictures.
    #[error("{0}")]
    Unprepared(String),
    /// Tensors that do not fit the model.
    #[error("{0}")]
    Tensors(String),
    /// The engine or the decoder failed on this request.
    #[error("{0}")]
    Failed(String),
    /// The queue is full; nothing was done.
    #[error(
        "the service is overloaded: {waiting} requests are waiting. Hint: retry in {retry_after_s} s"
    )]
    Overloaded {
        /// Requests in the queue.
        waiting: usize,
        /// When it is worth trying again, in seconds.
        retry_after_s: u64,
    },
    /// The deadline passed before an answer was there.
    #[error("the request was not answered within {timeout_ms} ms")]
    Deadline {
        /// The limit.
        timeout_ms: u64,
    },
    /// The service is shutting down.
    #[error("the service is stopping")]
    Stopping,
}

impl RunnerError {
    /// One word for metrics and events.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Picture(_) => "picture",
            Self::Unprepared(_) => "unprepared",
            Self::Tensors(_) => "tensors",
            Self::Failed(_) => "failed",
            Self::Overloaded { .. } => "overloaded",
            Self::Deadline { .. } => "deadline",
            Self::Stopping => "stopping",
        }
    }
}
