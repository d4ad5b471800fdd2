//! Request bodies: read once, bounded in size, in time and in sum.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::App;
use crate::coding::Coding;

/// Longest silence inside a body.
const STALL: Duration = Duration::from_secs(20);
/// Longest time for a whole body: 64 MiB at 2 Mbit/s.
const WHOLE: Duration = Duration::from_secs(300);
/// How long the rest of a refused body is read, so that the client gets to see the answer.
const DISCARD: Duration = Duration::from_secs(5);
/// Work on more bytes than this moves off the async threads.
const INLINE_BYTES: usize = 128 << 10;

/// Why a body could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(
        "the request body is larger than the limit of {limit} bytes. Hint: send less, or start the server with a higher limit"
    )]
    TooLarge { limit: u64 },
    #[error("the server holds as many request bodies as it may. Hint: retry in a second")]
    Busy,
    #[error("the request body did not arrive in time")]
    Stalled,
    #[error("the request body cannot be read: {0}")]
    Broken(String),
    #[error("the content encoding '{0}' is not supported. Hint: use gzip, deflate or none")]
    Encoding(String),
    #[error("the request could not be worked on: {0}")]
    Internal(String),
}

impl BodyError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Bytes that all requests together may hold.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicU64>,
    limit: u64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Bytes that are held now.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), held: 0 }
    }
}

/// A request's share of the [`Budget`], given back on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    held: u64,
}

impl Reservation {
    /// Takes `bytes` more.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), BodyError> {
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.budget.limit);
        self.budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| BodyError::Busy)?;
        self.held += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// Bytes with their share of the budget: it is given back when the last clone or slice goes, which
/// may be in a queue long after the client went away.
struct Held {
    bytes: Bytes,
    _held: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Ties a reservation to the bytes it is for.
pub(crate) fn hold(bytes: Bytes, held: Reservation) -> Bytes {
    Bytes::from_owner(Held { bytes, _held: held })
}

/// Reads a body to its end and undoes its content encoding.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    app: &App,
) -> Result<Bytes, BodyError> {
    let limit = app.options.max_body_bytes;
    let mut held = app.budget.reserve();
    let collected = match Coding::of_body(headers) {
        Ok(coding) => collect(&mut body, limit, &mut held).await.map(|bytes| (coding, bytes)),
        Err(error) => Err(error),
    };
    let (coding, bytes) = match collected {
        Ok(collected) => collected,
        Err(error) => {
            discard(headers, body);
            return Err(error);
        }
    };
    let Some(coding) = coding else { return Ok(hold(bytes, held)) };
    let work = move || {
        let bytes = coding.decode(&bytes, limit, &mut held)?;
        Ok(hold(bytes, held))
    };
    // Few bytes can become many.
    compute(usize::MAX, work).await?
}

async fn collect(body: &mut Body, limit: u64, held: &mut Reservation) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().lower();
    if announced > limit {
        return Err(BodyError::TooLarge { limit });
    }
    held.grow(announced)?;
    let deadline = Instant::now() + WHOLE;
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut length = 0u64;
    loop {
        let stall = deadline.min(Instant::now() + STALL);
        let frame = match timeout_at(stall, body.frame()).await {
            Err(_) => return Err(BodyError::Stalled),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error.to_string())),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        length += data.len() as u64;
        if length > limit {
            return Err(BodyError::TooLarge { limit });
        }
        held.grow(length.saturating_sub(held.held))?;
        if length == data.len() as u64 {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.max(length) as usize);
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    // A body of one frame is handed on without a copy.
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Reads what is left of a refused body for a moment, off the request's way: a connection closed
/// on unread bytes is reset, and the client would never see why.
pub(crate) fn discard(headers: &HeaderMap, mut body: Body) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    tokio::spawn(timeout(DISCARD, async move { while let Some(Ok(_)) = body.frame().await {} }));
}

/// Runs `work` here when it is about few bytes, else on a thread where it may take long.
pub(crate) async fn compute<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BodyError> {
    if bytes <= INLINE_BYTES {
        return Ok(work());
    }
    let task = tokio::task::spawn_blocking(work);
    task.await.map_err(|error| BodyError::Internal(error.to_string()))
}
