//! The MQTT client against a real broker: mosquitto, which the tests start and end themselves,
//! and against brokers and networks that misbehave.
#![allow(clippy::unwrap_used)]

mod broker;
mod certificates;
mod delivery;
mod hostile;
mod network;
mod proxy;
mod queue;
mod raw;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Mosquitto;
use queue::Queue;
use sedge_cloud::mqtt::{Link, Qos, Settings, State};

/// Long for a machine that compiles at the same time; nothing waits as long as that otherwise.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Settings for a broker on this machine, without TLS and with short waits.
pub(crate) fn settings(port: u16) -> Settings {
    let mut settings = Settings::new("127.0.0.1", "camera");
    settings.port = port;
    settings.tls = None;
    settings.reconnect_min = Duration::from_millis(20);
    settings.reconnect_max = Duration::from_millis(100);
    settings
}

/// A link without subscriptions.
pub(crate) fn link(settings: Settings, queue: &Arc<Queue>) -> Link {
    Link::start(settings, queue.clone(), queue.clone(), Vec::new()).unwrap()
}

/// A link that publishes to this broker.
pub(crate) fn link_to(broker: &Mosquitto, queue: &Arc<Queue>) -> Link {
    link(settings(broker.port), queue)
}

/// Waits until something is so, and says what was waited for when it never is.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a link's connection.
pub(crate) async fn connected(link: &Link) {
    eventually("connected", || matches!(link.status().state, State::Connected { .. })).await;
}

/// Waits for the next error of a link, and gives its words.
pub(crate) async fn error_of(link: &Link) -> String {
    eventually("an error", || link.status().last_error.is_some()).await;
    link.status().last_error.unwrap().1
}

pub(crate) const QOS_1: Qos = Qos::AtLeastOnce;
