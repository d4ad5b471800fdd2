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
    /// What answered ended while it did; it is started again.
    #[error("{0}")]
    Crashed(String),
    /// What answered took more memory than it may, and was ended.
    #[error(
        "the service took {used_mib} MiB of memory, its limit is {limit_mib} MiB, and was restarted. Hint: set memory_mib = {suggested_mib} if that much is meant"
    )]
    Memory {
        /// Its limit in MiB.
        limit_mib: u64,
        /// What it took in MiB, when it was seen last.
        used_mib: u64,
        /// A limit that leaves room.
        suggested_mib: u64,
    },
    /// The service was given up.
    #[error("the service is broken: {0}")]
    Broken(String),
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
            Self::Crashed(_) => "crashed",
            Self::Memory { .. } => "memory",
            Self::Broken(_) => "broken",
            Self::Stopping => "stopping",
        }
    }
}
