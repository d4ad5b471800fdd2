//! What leaves the device, as scrapers and people are told of it.
//!
//! `GET /api/v1/egress`: [`Leaving`] as JSON; `null` where nothing leaves.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::App;

/// Who knows what leaves the device.
pub trait Outward: Debug + Send + Sync {
    /// What waits and what left, as it is in memory; `None` where no way out is configured.
    fn leaving(&self) -> Option<Leaving>;
}

/// What waits to leave the device, and what left.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Leaving {
    /// Name of the device.
    pub thing: String,
    /// Bytes of all that waits.
    pub bytes: u64,
    /// The bound on them.
    pub max_bytes: u64,
    /// What waits, by destination and priority.
    pub lanes: Vec<LeavingLane>,
    /// The broker, where there is one.
    pub broker: Option<BrokerStatus>,
    /// The buckets that samples go to.
    pub buckets: Vec<BucketStatus>,
    /// What became of samples since the start, by configuration.
    pub samples: Vec<SampleCounts>,
    /// Answers that were not looked at because too many waited.
    pub missed: u64,
}

/// What waits for a destination with one priority, and what came and went since there is the spool.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct LeavingLane {
    pub destination: String,
    pub priority: String,
    pub records: u64,
    pub bytes: u64,
    /// Seconds that the oldest waits.
    pub oldest_s: Option<f64>,
    pub appended: u64,
    pub delivered: u64,
    pub refused: u64,
    pub discarded: u64,
    pub dropped_by_size: u64,
    pub dropped_by_age: u64,
    pub lost: u64,
}

/// How the connection to the broker does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BrokerStatus {
    /// Its name and port.
    pub address: String,
    /// Whether messages go.
    pub connected: bool,
    /// What is wrong, or was last, with what to do.
    pub problem: Option<String>,
    /// Connections that were accepted.
    pub connections: u64,
    /// Messages that it has.
    pub delivered: u64,
    /// Messages that it does not take.
    pub refused: u64,
    /// Messages that were sent more than once.
    pub repeated: u64,
    /// Messages that came from it.
    pub received: u64,
    /// From publish to acknowledgement: upper bounds in seconds, and how many were in each; the
    /// last count is of those above.
    pub latency_bounds_s: Vec<f64>,
    /// See there.
    pub latency_counts: Vec<u64>,
    /// All together, in seconds.
    pub latency_sum_s: f64,
}

/// How the uploads to a bucket do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BucketStatus {
    /// The bucket.
    pub bucket: String,
    /// Objects that were put there since the start.
    pub uploads: u64,
    /// What that took, in seconds.
    pub seconds: f64,
    /// Why samples wait, if they do.
    pub problem: Option<String>,
}

/// What became of the samples of one configuration since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SampleCounts {
    /// The configuration.
    pub configuration: String,
    /// Name of an outcome and how often it came.
    pub outcomes: BTreeMap<&'static str, u64>,
}

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/egress", get(leaving))
}

async fn leaving(State(app): State<Arc<App>>) -> Json<Option<Leaving>> {
    Json(app.leaving())
}

impl App {
    pub(crate) fn leaving(&self) -> Option<Leaving> {
        self.options.outward.as_ref()?.leaving()
    }
}
