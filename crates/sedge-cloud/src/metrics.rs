//! Metrics of CloudWatch.
//!
//! Source: "PutMetricData", Amazon CloudWatch API Reference. Of its three wire forms this is the
//! oldest (AWS query), which every server that plays CloudWatch takes.

mod batches;
mod form;

use std::io::Write;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;

pub use batches::{METRIC_UNITS, metric_batches};

use crate::{Aws, AwsError, Body, ClientError, Request, Service};

/// From this size on compressing is worth its while ("Request compression", AWS SDKs and Tools
/// Reference Guide).
const LEAST_COMPRESSED: usize = 10_240;

/// One data point, or some of the same moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, 1 to 255 characters.
    pub name: String,
    /// Names and values that tell it from others, at most 30.
    pub dimensions: Vec<(String, String)>,
    /// When it was; when it arrives where nothing is said. At most 2 weeks ago, and 2 hours ahead.
    pub timestamp: Option<SystemTime>,
    /// What was measured.
    pub value: Measured,
    /// One of CloudWatch's units, such as `Count`, `Bytes`, `Milliseconds`.
    pub unit: Option<String>,
    /// Whether it is kept by the second instead of by the minute.
    pub high_resolution: bool,
}

/// What was measured. Numbers are between -2^360 and 2^360.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// Once.
    One(f64),
    /// Some values, and how often each was seen, more than 0 times.
    Many(Vec<(f64, f64)>),
    /// So often that only this is left.
    Summary {
        /// How many, more than 0.
        samples: f64,
        /// All of them together.
        sum: f64,
        /// The least.
        minimum: f64,
        /// The most.
        maximum: f64,
    },
}

/// An accepted request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// By which Amazon's support finds it.
    pub request_id: Option<String>,
    /// How often it was sent again.
    pub retries: u32,
}

/// Puts metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    aws: Aws,
}

impl Metrics {
    /// In the region of `aws`.
    #[must_use]
    pub fn new(aws: Aws) -> Self {
        Self { aws }
    }

    /// Puts metrics, which are one request of [`metric_batches`]. What is sent twice because an
    /// answer was lost is counted twice: CloudWatch knows no other way.
    ///
    /// # Errors
    ///
    /// When the namespace is none, or CloudWatch refuses them or cannot be reached.
    pub fn put(&self, namespace: &str, metrics: &[Metric]) -> Result<Accepted, AwsError> {
        check_namespace(namespace)?;
        let text = form::request(namespace, metrics);
        let url = format!("{}/", self.aws.endpoint(Service::Metrics));
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        let mut request = Request::post(url, Body::None).header("content-type", kind);
        request.body = if text.len() < LEAST_COMPRESSED {
            text.into()
        } else {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
            request = request.header("content-encoding", "gzip");
            compressed.map_err(|error| ClientError::Body(error.to_string()))?.into()
        };
        let what = format!("{} metrics of '{namespace}'", metrics.len());
        let answer = self.aws.call(&request, Service::Metrics, &what)?;
        Ok(Accepted { request_id: answer.request_id(), retries: answer.retries })
    }
}

/// Refuses namespaces that CloudWatch does not take from users.
fn check_namespace(namespace: &str) -> Result<(), ClientError> {
    let refuse = |problem: &str| {
        Err(ClientError::Request(format!("'{namespace}' is no namespace of metrics: {problem}")))
    };
    let readable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if !(1..=255).contains(&namespace.len()) || !namespace.bytes().all(readable) {
        return refuse("1 to 255 characters of ASCII");
    }
    if namespace.starts_with(':') {
        return refuse("it begins with a colon");
    }
    if namespace.starts_with("AWS/") {
        return refuse("those that begin with AWS/ are Amazon's own");
    }
    Ok(())
}
