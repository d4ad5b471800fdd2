use std::time::{Duration, SystemTime};

use super::packet::Protocol;

/// Upper bounds of the classes of [`Latency`], in milliseconds.
pub const LATENCY_BOUNDS_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// How long acknowledgements took, from the publish.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// How many there were up to each of [`LATENCY_BOUNDS_MS`], and at the end those above.
    pub counts: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Of all together.
    pub sum: Duration,
}

impl Latency {
    pub(super) fn record(&mut self, took: Duration) {
        let ms = took.as_millis();
        let class = LATENCY_BOUNDS_MS.iter().position(|bound| ms <= u128::from(*bound));
        self.counts[class.unwrap_or(LATENCY_BOUNDS_MS.len())] += 1;
        self.sum += took;
    }
}

/// Where a link stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It is being connected.
    #[default]
    Connecting,
    /// Messages go.
    Connected {
        /// Since when.
        since: SystemTime,
        /// In which version.
        protocol: Protocol,
        /// Whether the broker still had the session.
        session_present: bool,
    },
    /// The next attempt is waited for.
    Waiting {
        /// When it is made.
        until: SystemTime,
    },
    /// It was stopped.
    Stopped,
}

/// What a link has come to. Counters only grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// Connections that were accepted.
    pub connections: u64,
    /// Attempts since the last connection that lived long enough.
    pub attempts: u32,
    /// Why there is no connection, or was none for a while, with what to do; and when that was.
    pub last_error: Option<(SystemTime, String)>,
    /// Messages that the broker has, or with QoS 0 the connection took.
    pub delivered: u64,
    /// Messages that the broker does not take.
    pub refused: u64,
    /// Messages that were sent more than once.
    pub repeated: u64,
    /// Messages that wait for their acknowledgement.
    pub in_flight: usize,
    /// Messages from the broker.
    pub received: u64,
    /// From publish to acknowledgement.
    pub latency: Latency,
    /// Filters that the broker does not take, and why.
    pub refused_filters: Vec<(String, String)>,
}
