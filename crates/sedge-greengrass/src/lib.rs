//! The dialects of AWS IoT Greengrass.
//!
//! A group of Greengrass V1 is read by [`group`] into what it means: connectors, functions,
//! machine-learning resources, subscriptions, loggers. Its connectors become services, its
//! functions become processes, and everything they ask of each other is a [`Call`]. [`Core`] runs
//! the functions and carries the calls.

mod arn;
mod call;
pub mod code;
mod connector;
mod context;
mod core;
pub mod core_config;
mod function;
pub mod group;
mod id;
mod ipc;
pub mod local;
mod log;
pub mod models;
mod router;
mod secrets;
mod shadow;

pub use crate::core::{Core, CoreStatus, Options, StartError};
pub use arn::{ArnError, ConnectorArn, FunctionArn};
pub use call::{Answer, Call, Callee, Failure, Kind};
pub use connector::{
    FEEDBACK_ORIGIN, FeedbackConnector, InferenceConnector, Metric, MetricsConnector,
    UnservedConnector, function_name, metrics_destination,
};
pub use context::ClientContext;
pub use function::{FunctionStatus, LaunchError, State};
pub use id::uuid;
pub use ipc::{
    Given, KeySource, Keys, MAX_HEAD_BYTES, MAX_HELD_BYTES, MAX_OPEN_CALLS, MAX_PAYLOAD_BYTES,
    Registry,
};
pub use log::{LogSink, Logs};
pub use router::{Message, NoUplink, PublishError, Router, Taken, Uplink};
