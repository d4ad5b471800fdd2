//! The events this crate logs, each with its fields, in one place.

use std::net::SocketAddr;

/// A request that was answered, or whose client went away before (status 499).
#[derive(Debug)]
pub(crate) struct Finished<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) service: Option<&'a str>,
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: Option<u64>,
    pub(crate) micros: u64,
    pub(crate) trace_id: &'a str,
    /// What the client was told went wrong.
    pub(crate) error: Option<&'a str>,
}

macro_rules! finished {
    ($level:ident, $event:expr) => {
        tracing::$level!(
            method = $event.method,
            path = $event.path,
            service = $event.service,
            status = $event.status,
            bytes_in = $event.bytes_in,
            bytes_out = $event.bytes_out,
            micros = $event.micros,
            trace_id = $event.trace_id,
            error = $event.error,
            "request"
        )
    };
}

impl Finished<'_> {
    pub(crate) fn emit(&self) {
        let probe = self.path == "/ping"
            || self.path == "/metrics"
            || self.path.ends_with("/live")
            || self.path.ends_with("/ready");
        match self.status {
            500.. => finished!(warn, self),
            0..400 if probe => finished!(debug, self),
            _ => finished!(info, self),
        }
    }
}

/// No more connections are taken than the limit; new ones wait in the kernel's queue.
pub(crate) fn connections_exhausted(limit: usize) {
    tracing::warn!(limit, "connections exhausted");
}

/// Taking a connection failed.
pub(crate) fn accept_failed(error: &std::io::Error) {
    tracing::warn!(%error, "accept failed");
}

/// A connection ended in an error: a broken client, or one that was too slow.
pub(crate) fn connection_failed(peer: SocketAddr, error: &dyn std::fmt::Display) {
    tracing::debug!(%peer, %error, "connection failed");
}

/// The server takes no connections any more and waits for those it has.
pub(crate) fn draining(connections: usize) {
    tracing::info!(connections, "draining");
}

/// Connections that were still open when the grace time ended.
pub(crate) fn drain_gave_up(connections: usize) {
    tracing::warn!(connections, "drain gave up");
}
