//! Asks a running server at its control socket.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Largest answer.
const MOST_BYTES: usize = 64 << 20;
/// An update downloads, loads and proves a model.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Asks and waits for the answer; its error is the server's own.
pub(crate) fn ask(root: &Path, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = async {
        tokio::time::timeout(TIMEOUT, exchange(root, method, path, body))
            .await
            .map_err(|_| anyhow!("the server did not answer within an hour"))?
    };
    runtime.block_on(answer)
}

/// Whether a server answers there.
pub(crate) fn is_running(root: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(crate::root::control_socket(root)).is_ok()
}

async fn exchange(root: &Path, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
    let socket = crate::root::control_socket(root);
    let stream = UnixStream::connect(&socket).await.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => "be root, or in the group of the server",
            _ => "start one with sedge serve --config FILE or --group FILE, or name its directory with --root",
        };
        anyhow!("no server answers at {}: {error}. Hint: {hint}", socket.display())
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .context("the server does not speak HTTP")?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .body(Full::new(Bytes::from(body)))?;
    let answer = sender.send_request(request).await.context("the server gave no answer")?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|error| anyhow!("the server's answer broke off: {error}"))?.to_bytes();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status != StatusCode::OK {
        match value["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => bail!("the server answered {status}"),
        }
    }
    Ok(value)
}
