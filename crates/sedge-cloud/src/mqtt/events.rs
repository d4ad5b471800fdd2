//! What is told of a link in the log.

use std::time::Duration;

use super::LinkError;
use super::packet::{Connack, Protocol};

pub(super) fn connected(broker: &str, protocol: Protocol, connack: &Connack) {
    let resumed = connack.session_present;
    tracing::info!(broker, ?protocol, resumed, "connected to the MQTT broker");
}

pub(super) fn lost(error: &LinkError, wait: Duration) {
    tracing::warn!(wait_ms = wait.as_millis() as u64, "{error}");
}

pub(super) fn refused(topic: &str, reason: &str) {
    tracing::warn!(topic, "a message is not delivered: {reason}");
}

pub(super) fn filter_refused(filter: &str, reason: &str) {
    tracing::warn!(filter, "the broker does not take a subscription: {reason}");
}

pub(super) fn skipped(topic: &str, bytes: usize) {
    tracing::warn!(topic, bytes, "a message from the broker is too large and was left out");
}
