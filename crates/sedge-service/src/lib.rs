//! Named inference services: admission, queue, and the pipeline from picture to prediction.
//!
//! For: everything between a protocol adapter and a model. A [`Runner`] answers one request on the
//! calling thread; a [`Service`] puts admission, a bounded queue, deadlines and threads in front of
//! one. Not for: sockets, protocols, configuration files.
//!
//! Read [`Request`] and [`Prediction`] first, then [`Runner`], then [`Service`].

#![forbid(unsafe_code)]

mod error;
mod events;
mod explanation;
mod golden;
mod pipeline;
mod prediction;
mod queue;
mod request;
mod runner;
mod service;
mod state;
mod statistics;

pub use error::RunnerError;
pub use events::{Answered, Events, TraceParent};
pub use explanation::{ExplainedSetting, Explanation};
pub use golden::{
    Allowed, Comparison, GoldenError, expected_prediction, record, record_tensors, replay,
    usual_tolerance,
};
pub use pipeline::{LoadOptions, OpenError, Pipeline};
pub use prediction::{OutputTensor, Prediction, Timings};
pub use request::{Payload, Request, Response};
pub use runner::{ModelInfo, Runner};
pub use service::{Limits, Service, Services, ServicesError};
pub use statistics::{BUCKET_BOUNDS_US, Histogram, Outcome, Stage, Statistics};
