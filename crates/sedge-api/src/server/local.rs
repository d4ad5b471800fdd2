//! The control socket: a Unix socket that the file system protects.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::log;

/// People and the tools of this device; few at a time.
const MAX_CONNECTIONS: usize = 32;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Listens at `path`, which is taken from a server that is gone; group and owner may connect.
///
/// # Errors
/// When another server answers there, or the socket cannot be made.
pub fn bind_local(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves the control socket until the task is dropped. Only root, this user and this group are
/// heard, whatever became of the file's mode.
pub async fn serve_local(listener: UnixListener, router: Router) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::accept_failed(&error);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let own = std::fs::metadata("/proc/self").map(|own| {
            use std::os::unix::fs::MetadataExt;
            (own.uid(), own.gid())
        });
        let may = match (stream.peer_cred(), own) {
            (Ok(peer), Ok((uid, gid))) => peer.uid() == 0 || peer.uid() == uid || peer.gid() == gid,
            _ => false,
        };
        if !may {
            continue;
        }
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
