//! The cloud as a device uses it: requests over HTTP, who signs them, the services that are asked,
//! and messages to a broker and back.
//!
//! For: everything that leaves the device, and what is fetched with signed requests. Not for:
//! keeping what could not be sent, and deciding what is sent. Requests block the thread that sends
//! them, within bounds; what is in [`mqtt`] is asynchronous.
//!
//! Read [`Remote`] first, then [`Aws`]; of messages, [`mqtt`].

#![forbid(unsafe_code)]

mod address;
mod aws;
mod batch;
mod client;
mod clock;
mod credentials;
mod logs;
mod metrics;
pub mod mqtt;
mod pem;
mod remote;
mod retry;
mod s3;
mod sign;

pub use address::is_loopback;
pub use aws::{Aws, AwsError, Refusal, Retry, Service, hint_of};
pub use batch::{Batches, LeftOut};
pub use client::{Body, Client, ClientError, Request, Response};
pub use clock::Utc;
pub use credentials::{Issued, Origin};
pub use logs::{LogEvent, Logs, LogsTaken, log_batches};
pub use metrics::{Accepted, METRIC_UNITS, Measured, Metric, Metrics, metric_batches};
pub use pem::{Identity, Pem, PemError};
pub use remote::{Credentials, IotRole, Keys, Remote};
pub use retry::{Stop, back_off, wait};
pub use s3::{Cut, Encryption, PutObject, S3, Stored};
