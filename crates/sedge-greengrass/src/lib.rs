//! The dialects of AWS IoT Greengrass.
//!
//! A group of Greengrass V1 is read by [`group`] into what it means: connectors, functions,
//! machine-learning resources, subscriptions, loggers. Its connectors become services, its
//! functions become processes, and everything they ask of each other is a [`Call`].

mod arn;
mod call;
mod connector;
pub mod group;

pub use arn::{ArnError, ConnectorArn, FunctionArn};
pub use call::{Answer, Call, Callee, Failure, Kind};
pub use connector::{InferenceConnector, function_name};
