//! The local protocol between the core and its functions, `/2016-11-01/functions/...` over HTTP.
//!
//! A process of a function takes a [`Seat`]: a token of its own, a [`Desk`] where its work is handed
//! over, the calls it made, and an allowance for the bytes it has on their way. What is called is
//! found in the [`Registry`].

mod body;
mod calls;
mod desk;
mod error;
mod keys;
mod registry;
mod routes;
mod seat;

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) use desk::Desk;
pub use keys::{Given, KeySource, Keys};
pub use registry::Registry;
pub(crate) use seat::{Seat, Seats};

/// Most bytes of one payload, request or answer: what the services take of a picture.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;
/// Most bytes of a request's head: a client context of 1 MiB, and the rest. A list of a thousand
/// probabilities is some 30 KB of it.
pub const MAX_HEAD_BYTES: usize = 2 << 20;
/// Most bytes that one process has on their way, calls and answers together; more wait.
pub const MAX_HELD_BYTES: usize = 128 << 20;
/// Most calls that one process has open.
pub const MAX_OPEN_CALLS: usize = 1024;

/// The server of the protocol.
pub(crate) struct Ipc {
    registry: Arc<Registry>,
    seats: Arc<Seats>,
    port: u16,
    server: JoinHandle<io::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Ipc {
    /// Serves on 127.0.0.1, at a port of the kernel's choice for 0. To be called within a runtime.
    ///
    /// # Errors
    /// When the port is taken, or no socket can be had.
    pub(crate) async fn start(
        port: u16,
        registry: Arc<Registry>,
        keys: Option<Arc<dyn KeySource>>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let port = listener.local_addr()?.port();
        let seats = Arc::new(Seats::default());
        let router = routes::router(registry.clone(), seats.clone(), keys);
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            sedge_api::serve_with_heads(listener, router, MAX_HEAD_BYTES, stopped).await
        });
        Ok(Self { registry, seats, port, server, stop })
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What can be called.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub(crate) fn seats(&self) -> &Arc<Seats> {
        &self.seats
    }

    /// Takes no more connections, and waits for what is answered yet.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.server.await;
    }
}
