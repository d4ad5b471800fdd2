//! What is true for every request whatever its protocol: an identifier and one log event.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;

use sedge_service::TraceParent;

use crate::App;
use crate::log::Finished;

/// What a caller calls itself; callers take turns where requests wait.
const CALLER: &str = "x-sedge-caller";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// nginx's status for a client that closed the connection before the answer.
const CLIENT_CLOSED: u16 = 499;

/// What logs and traces know a request by.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// From W3C `traceparent`, else `x-request-id`, else made here.
    pub(crate) id: Arc<str>,
    /// The caller's span, when it sent a `traceparent`.
    pub(crate) parent: Option<TraceParent>,
    /// Who asks, as far as it can be told: what it calls itself, else its address and program.
    caller: String,
}

/// Where a connection comes from; the server puts it into every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) std::net::IpAddr);

impl Trace {
    /// Writes them into a request to a service.
    pub(crate) fn mark(&self, request: &mut sedge_service::Request) {
        request.trace_id = Some(self.id.to_string());
        request.trace_parent = self.parent;
        request.caller = Some(self.caller.clone());
    }
}

/// The text of an error answer, for the log.
#[derive(Clone, Debug)]
pub(crate) struct ErrorText(pub(crate) Arc<str>);

/// Gives the request its identifier, the answer an `x-request-id`, and the log an event.
pub(crate) async fn observe(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let trace = Trace::of(request.headers(), request.extensions().get());
    let id = trace.id.clone();
    request.extensions_mut().insert(trace);
    let mut event = Event {
        app,
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
    app: Arc<App>,
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
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.app.http.record(status, micros, self.bytes_in, bytes_out.unwrap_or(0));
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
            micros,
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

impl Trace {
    fn of(headers: &HeaderMap, peer: Option<&Peer>) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let short = |text: &str| text.chars().take(128).collect::<String>();
        let caller = text(CALLER).map_or_else(
            || {
                let program = short(text("user-agent").unwrap_or_default());
                peer.map_or_else(String::new, |peer| peer.0.to_string()) + " " + &program
            },
            short,
        );
        if let Some((id, parent)) = text("traceparent").and_then(traceparent) {
            return Self { id: id.into(), parent: Some(parent), caller };
        }
        let given = text("x-request-id").filter(|id| {
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let id = given.map_or_else(|| fresh_id().into(), Into::into);
        Self { id, parent: None, caller }
    }
}

/// Takes `version-trace-parent-flags` apart: <https://www.w3.org/TR/trace-context/#traceparent-header>.
///
/// A newer version may have more fields; a header that is not well formed is as good as none.
fn traceparent(value: &str) -> Option<(&str, TraceParent)> {
    let hex = |text: &&str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut fields = value.split('-');
    let mut field = |digits: usize| fields.next().filter(|f| f.len() == digits).filter(hex);
    let (version, id, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    if version == "ff" || (version == "00" && fields.next().is_some()) {
        return None;
    }
    let span_id = u64::from_str_radix(span, 16).ok().filter(|&span| span != 0)?;
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    id.bytes().any(|byte| byte != b'0').then_some((id, TraceParent { span_id, sampled }))
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
            Trace::of(&headers, None)
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = of("traceparent", &format!("00-{id}-00f067aa0ba902b7-01"));
        assert_eq!((&*parent.id, parent.parent.unwrap().sampled), (id, true));
        assert_eq!(parent.parent.unwrap().span_id, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(&*of("x-request-id", "job-17").id, "job-17");
        for bad in ["two words", &"x".repeat(129)] {
            assert_eq!(of("x-request-id", bad).id.len(), 32);
        }
        for bad in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
            format!("00-{id}-0000000000000000-01"),
            format!("00-{id}-00f067aa0ba902b7-1"),
            format!("00-{id}-00f067aa0ba902b7-01-more"),
            format!("ff-{id}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
        ] {
            assert_eq!(of("traceparent", &bad).parent, None, "{bad}");
        }
        assert!(of("traceparent", &format!("01-{id}-00f067aa0ba902b7-00-more")).parent.is_some());
        assert_ne!(fresh_id(), fresh_id());
    }

    #[test]
    fn paths_name_their_service() {
        assert_eq!(service("/endpoints/cats/invocations"), Some("cats"));
        assert_eq!(service("/v2/models/cats/infer"), Some("cats"));
        assert_eq!(service("/v2/health/live"), None);
    }
}
