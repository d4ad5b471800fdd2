//! What is true for every request whatever its protocol: an identifier and one log event.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;

use crate::log::Finished;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// nginx's status for a client that closed the connection before the answer.
const CLIENT_CLOSED: u16 = 499;

/// The identifier of a request: from W3C `traceparent`, else `x-request-id`, else made here.
#[derive(Clone, Debug)]
pub(crate) struct TraceId(pub(crate) Arc<str>);

/// The text of an error answer, for the log.
#[derive(Clone, Debug)]
pub(crate) struct ErrorText(pub(crate) Arc<str>);

/// Gives the request its identifier, the answer an `x-request-id`, and the log an event.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let id: Arc<str> = trace_id(request.headers()).unwrap_or_else(fresh_id).into();
    request.extensions_mut().insert(TraceId(id.clone()));
    let mut event = Event {
        method: request.method().clone(),
        uri: request.uri().clone(),
        bytes_in: request.body().size_hint().lower(),
        started: Instant::now(),
        id,
        logged: false,
    };
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&event.id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let error = response.extensions().get::<ErrorText>().map(|text| &*text.0);
    event.finish(response.status().as_u16(), response.body().size_hint().exact(), error);
    response
}

struct Event {
    method: Method,
    uri: Uri,
    bytes_in: u64,
    started: Instant,
    id: Arc<str>,
    logged: bool,
}

impl Event {
    fn finish(&mut self, status: u16, bytes_out: Option<u64>, error: Option<&str>) {
        self.logged = true;
        // URIs are ASCII, so any byte is a boundary.
        let path = self.uri.path();
        let path = path.get(..path.len().min(256)).unwrap_or_default();
        Finished {
            method: self.method.as_str(),
            path,
            service: service(path),
            status,
            bytes_in: self.bytes_in,
            bytes_out,
            micros: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            trace_id: &self.id,
            error,
        }
        .emit();
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if !self.logged {
            self.finish(CLIENT_CLOSED, None, None);
        }
    }
}

/// The service a path is about.
fn service(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/endpoints/").or_else(|| path.strip_prefix("/v2/models/"))?;
    rest.split('/').next().filter(|name| !name.is_empty())
}

fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // https://www.w3.org/TR/trace-context/#traceparent-header: version-trace-parent-flags.
    let traceparent = text("traceparent").and_then(|value| value.split('-').nth(1)).filter(|id| {
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
    });
    let given = || {
        text("x-request-id").filter(|id| {
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        })
    };
    traceparent.or_else(given).map(str::to_owned)
}

/// A trace identifier of W3C's form: random for the process, counted within it.
fn fresh_id() -> String {
    static SEED: LazyLock<(u64, u64)> = LazyLock::new(|| {
        let random = RandomState::new();
        (random.hash_one(1), random.hash_one(2))
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{:016x}", SEED.0, SEED.1.wrapping_add(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_taken_over_only_when_they_are_safe() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            trace_id(&headers)
        };
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of("traceparent", parent).unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(of("traceparent", "00-00000000000000000000000000000000-1-01"), None);
        assert_eq!(of("x-request-id", "job-17").unwrap(), "job-17");
        assert_eq!(of("x-request-id", "two words"), None);
        assert_eq!(of("x-request-id", &"x".repeat(129)), None);
        assert_ne!(fresh_id(), fresh_id());
        assert_eq!(fresh_id().len(), 32);
    }

    #[test]
    fn paths_name_their_service() {
        assert_eq!(service("/endpoints/cats/invocations"), Some("cats"));
        assert_eq!(service("/v2/models/cats/infer"), Some("cats"));
        assert_eq!(service("/v2/health/live"), None);
    }
}
