//! The accept loop: bounded connections, bounded waits, and an end that finishes what runs.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

mod local;
mod patience;

pub use local::{bind_local, serve_local};

use crate::control::Ending;
use crate::log;
use crate::trace::Peer;
use patience::Patience;

/// Connections open at once; more wait in the kernel's queue, which is bounded too.
const MAX_CONNECTIONS: usize = 1024;
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 256 << 10;
/// Longest time for a request's head, and so for a kept connection without a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest wait for running requests at the end: the longest a request may take, and a little.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(65);
/// Longest sleep of the timer, shorter than every wait here: a timer that ends before the thread
/// would have woken anyway is one more system call, and every request sets some.
const TICK: Duration = Duration::from_secs(5);
/// Pause after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is ready, then takes no more connections, answers what runs and returns.
///
/// # Errors
/// When the listener's address cannot be read; a failing connection is only logged.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with_heads(listener, router, MAX_HEAD_BYTES, shutdown).await
}

/// The same as [`serve`] for protocols whose heads are larger, up to `max_head_bytes`.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with_heads(
    listener: TcpListener,
    router: Router,
    max_head_bytes: usize,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.local_addr()?;
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, _) = watch::channel(());
    let (end, ending) = watch::channel(());
    let router = router.layer(Extension(Ending(ending)));
    let mut shutdown = pin!(shutdown);
    let mut tick = tokio::time::interval(TICK);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            _ = tick.tick() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (router, stop) = (router.clone(), stop.subscribe());
                tokio::spawn(connection(stream, router, max_head_bytes, stop, slot));
            }
            Err(error) => {
                log::accept_failed(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let open = || MAX_CONNECTIONS - slots.available_permits();
    log::draining(open());
    end.send_replace(());
    stop.send_replace(());
    if tokio::time::timeout(DRAIN_TIMEOUT, stop.closed()).await.is_err() {
        log::drain_gave_up(open());
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = match slots.clone().try_acquire_owned() {
        Ok(slot) => slot,
        Err(_) => {
            log::connections_exhausted(MAX_CONNECTIONS);
            slots.clone().acquire_owned().await.map_err(io::Error::other)?
        }
    };
    let (stream, _) = listener.accept().await?;
    // An answer is one small write; waiting for more to join it only adds latency.
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn connection(
    stream: TcpStream,
    router: Router,
    max_head_bytes: usize,
    mut stop: watch::Receiver<()>,
    _slot: OwnedSemaphorePermit,
) {
    let Ok(peer) = stream.peer_addr() else { return };
    let (router, from) = (TowerToHyperService::new(router), Peer(peer.ip()));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(from);
        router.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(max_head_bytes)
            .serve_connection(TokioIo::new(Patience::new(stream)), service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        log::connection_failed(peer, &error);
    }
}
