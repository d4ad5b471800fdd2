//! Named inference services: admission, queue, and the pipeline from picture to prediction.
//!
//! For: everything between a protocol adapter and a model. A [`Runner`] answers requests on the
//! calling thread; a [`Backend`] has threads or a process for it; at its [`Desk`] requests are
//! admitted, wait and get their turn; both together are a [`Version`], and a [`Service`] answers
//! with one after the other. Not for: sockets, protocols, processes, configuration files.
//!
//! Read [`Request`] and [`Prediction`] first, then [`Runner`], [`Version`] and [`Service`].

#![forbid(unsafe_code)]

mod algorithm;
mod backend;
mod batch;
mod clock;
mod compiled;
mod desk;
mod error;
mod events;
mod explanation;
mod golden;
mod limits;
mod pipeline;
mod prediction;
mod queue;
mod request;
mod runner;
mod service;
mod services;
mod statistics;
mod tap;
mod task;
mod threads;
mod version;

pub use algorithm::{algorithm_body, algorithm_request};
pub use backend::{Backend, BackendStatus, Guard, Memory, Phase};
pub use desk::Desk;
pub use error::RunnerError;
pub use events::{Answered, Events, TraceParent};
pub use explanation::{ExplainedSetting, Explanation};
pub use golden::{
    Allowed, Comparison, GoldenError, expected_prediction, record, record_tensors, replay,
    usual_tolerance,
};
pub use limits::Limits;
pub use pipeline::{LoadOptions, OpenError, Pipeline};
pub use prediction::{OutputTensor, Prediction, Timings};
pub use request::{Payload, Request, Response};
pub use runner::{ModelInfo, Runner};
pub use service::{Service, ServiceState};
pub use services::{Services, ServicesError};
pub use statistics::{BUCKET_BOUNDS_US, Histogram, Outcome, Stage, Statistics};
pub use tap::Tap;
pub use task::{Answer, Task};
pub use threads::run_contained;
pub use version::Version;
