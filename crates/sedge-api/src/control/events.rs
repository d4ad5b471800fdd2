use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use sedge_service::Answered;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{App, oip};

/// Listeners at once; each holds a connection.
const MOST_LISTENERS: usize = 32;
/// Silence after which a comment shows that the server is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a client hears first: how long to wait before it comes back.
const GREETING: &str = "retry: 2000\n\n";

/// Places for listeners.
#[derive(Clone, Debug)]
pub(crate) struct Listeners(Arc<Semaphore>);

impl Default for Listeners {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_LISTENERS)))
    }
}

/// Changes when the server stops, so that what would go on for ever ends; [`crate::serve`] puts it
/// into every request.
#[derive(Clone, Debug)]
pub(crate) struct Ending(pub(crate) watch::Receiver<()>);

/// The kept events, then those that come, as `data` lines with the JSON of [`Answered`]; an event
/// called `missed` says how many a slow listener lost.
pub(super) async fn listen(
    State(app): State<Arc<App>>,
    ending: Option<Extension<Ending>>,
) -> Response {
    let Ok(slot) = app.listeners.0.clone().try_acquire_owned() else {
        let message =
            format!("{MOST_LISTENERS} clients listen already. Hint: close a page and retry");
        let error = oip::Error::new(StatusCode::SERVICE_UNAVAILABLE, message);
        return ([(header::RETRY_AFTER, "10")], error).into_response();
    };
    let (kept, coming) = app.services.events().listen();
    let listener = Listener {
        greeted: false,
        kept: kept.into_iter(),
        coming,
        ending: ending.map(|Extension(Ending(ending))| ending),
        _slot: slot,
    };
    let frames = stream::unfold(listener, |mut listener| async {
        let frame = listener.next().await?;
        Some((Ok::<_, Infallible>(frame), listener))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(frames)).into_response()
}

struct Listener {
    greeted: bool,
    kept: std::vec::IntoIter<Arc<Answered>>,
    coming: Receiver<Arc<Answered>>,
    ending: Option<watch::Receiver<()>>,
    _slot: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Bytes::from_static(GREETING.as_bytes()));
        }
        if let Some(event) = self.kept.next() {
            return Some(frame(&event));
        }
        let ended = async {
            match &mut self.ending {
                Some(ending) => drop(ending.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ended => None,
            received = self.coming.recv() => match received {
                Ok(event) => Some(frame(&event)),
                Err(RecvError::Lagged(missed)) => {
                    Some(format!("event: missed\ndata: {{\"missed\":{missed}}}\n\n").into())
                }
                Err(RecvError::Closed) => None,
            },
            () = tokio::time::sleep(HEARTBEAT) => Some(Bytes::from_static(b":\n\n")),
        }
    }
}

/// JSON has no line breaks outside its strings, and escapes those inside.
fn frame(event: &Answered) -> Bytes {
    let json = serde_json::to_string(event).unwrap_or_default();
    format!("data: {json}\n\n").into()
}
