use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::RequestError;
use super::{KeySource, Registry, Seat, Seats, body};
use crate::{Call, ClientContext, Failure, FunctionArn, Kind, id};

const PREFIX: &str = "/2016-11-01/functions/";
const CREDENTIALS: &str = "/2016-11-01/credentialprovider";

const INVOCATION_ID: &str = "x-amz-invocationid";
const CLIENT_CONTEXT: &str = "x-amz-client-context";
const INVOCATION_TYPE: &str = "x-amz-invocation-type";
const FUNCTION_ERROR: &str = "x-amz-function-error";

/// What every request needs.
#[derive(Clone)]
struct Core {
    registry: Arc<Registry>,
    seats: Arc<Seats>,
    keys: Option<Arc<dyn KeySource>>,
}

/// The body of `PUT .../initialized`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Initialized {
    success: bool,
    #[serde(default)]
    response: String,
}

/// The protocol's paths. ARNs stand in them as they are, so that they are taken apart here.
pub(super) fn router(
    registry: Arc<Registry>,
    seats: Arc<Seats>,
    keys: Option<Arc<dyn KeySource>>,
) -> Router {
    let core = Core { registry, seats, keys };
    Router::new().fallback(move |request: Request<Body>| {
        let core = core.clone();
        async move { core.answer(request).await.unwrap_or_else(IntoResponse::into_response) }
    })
}

impl Core {
    async fn answer(&self, request: Request<Body>) -> Result<Response, RequestError> {
        let (parts, body) = request.into_parts();
        let seat = self.seat(&parts.headers)?;
        let path = parts.uri.path();
        if path.starts_with(CREDENTIALS) {
            return self.credentials().await;
        }
        let path = path.strip_prefix(PREFIX).ok_or(RequestError::Path)?;
        let (arn, rest) = path.split_once('/').unwrap_or((path, ""));
        // `$LATEST` may be written as `%24LATEST`.
        let arn: FunctionArn = arn.replace("%3A", ":").replace("%24", "$").parse()?;
        match (&parts.method, rest) {
            (&Method::POST, "") => self.invoke(&seat, arn, &parts, body).await,
            (&Method::GET, "") => fetch(&seat, &parts.headers).await,
            (&Method::GET, "work") => next(own(&seat, &arn)?).await,
            (&Method::POST, "work") => finish(own(&seat, &arn)?, &parts, body).await,
            (&Method::PUT, "initialized") => initialized(own(&seat, &arn)?, &parts, body).await,
            _ => Err(RequestError::Path),
        }
    }

    /// Keys of the device's, in the form that Amazon's SDKs read from containers.
    async fn credentials(&self) -> Result<Response, RequestError> {
        let none = |why| RequestError::Credentials(why);
        let source = self.keys.as_ref().ok_or_else(|| none("it knows of none".to_owned()))?;
        let keys = source.keys().await.map_err(none)?;
        let latest = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let expiration = humantime::format_rfc3339_seconds(keys.expiration.min(latest));
        let body = json!({
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.token.unwrap_or_default(),
            "Expiration": expiration.to_string(),
        });
        Ok(([(CONTENT_TYPE, "application/json")], body.to_string()).into_response())
    }

    fn seat(&self, headers: &HeaderMap) -> Result<Arc<Seat>, RequestError> {
        let token = headers.get(AUTHORIZATION).ok_or(RequestError::Token)?;
        self.seats.find(token.as_bytes()).ok_or(RequestError::Token)
    }

    async fn invoke(
        &self,
        seat: &Seat,
        arn: FunctionArn,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, RequestError> {
        let callee = self.registry.find(&arn).ok_or_else(|| {
            RequestError::NotFound(arn.to_string(), self.registry.names().join(", "))
        })?;
        let kind = match optional(&parts.headers, INVOCATION_TYPE)? {
            None | Some("RequestResponse") => Kind::Request,
            Some("Event") => Kind::Event,
            Some(other) => return Err(RequestError::Kind(other.chars().take(100).collect())),
        };
        let context = context(optional(&parts.headers, CLIENT_CONTEXT)?.unwrap_or(""))?;
        let most = super::MAX_OPEN_CALLS;
        let place = seat.places.clone().try_acquire_owned();
        let place = place.map_err(|_| RequestError::TooManyCalls { most })?;
        let payload = body::read(body, announced(&parts.headers), &seat.allowance).await?;
        let id = id::uuid();
        let caller = Some(seat.function.clone());
        let mut answer = callee.call(Call { id: id.clone(), caller, context, kind, payload });
        match kind {
            Kind::Request => seat.calls.follow(id.clone(), answer, place),
            // Nobody fetches what becomes of an event, but whether it was taken is known at once.
            Kind::Event if callee.answers_soon() => {
                answer.await.map_err(|failure| RequestError::Refused(failure.to_string()))?;
            }
            Kind::Event => match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(failure)) => {
                    return Err(RequestError::Refused(failure.to_string()));
                }
                Poll::Pending => {
                    let function = arn.to_string();
                    tokio::spawn(async move {
                        if let Err(failure) = answer.await {
                            tracing::warn!(function, "an event was not handled: {failure}");
                        }
                        drop(place);
                    });
                }
            },
        }
        Ok(([(INVOCATION_ID, id)], Bytes::new()).into_response())
    }
}

/// The seat, when it may take the work of that function.
fn own<'a>(seat: &'a Seat, arn: &FunctionArn) -> Result<&'a Seat, RequestError> {
    let is_own = seat.function.unqualified() == arn.unqualified();
    is_own
        .then_some(seat)
        .ok_or_else(|| RequestError::Other(seat.function.to_string(), arn.to_string()))
}

async fn fetch(seat: &Seat, headers: &HeaderMap) -> Result<Response, RequestError> {
    let id = required(headers, INVOCATION_ID)?;
    let outcome = seat.calls.fetch(id).await;
    match outcome.ok_or_else(|| RequestError::NoCall(id.chars().take(100).collect()))? {
        Ok(payload) => Ok(payload.into_response()),
        Err(failure) => {
            let kind = match failure {
                Failure::Handled(_) => "Handled",
                Failure::Unhandled(_) => "Unhandled",
            };
            Ok(([(FUNCTION_ERROR, kind)], error_body(&failure.to_string())).into_response())
        }
    }
}

/// What a caller reads of an error: an object with `errorMessage`, which a function may have made
/// itself.
fn error_body(text: &str) -> String {
    let is_object = serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
    if is_object { text.to_owned() } else { json!({ "errorMessage": text }).to_string() }
}

async fn next(seat: &Seat) -> Result<Response, RequestError> {
    let call = seat.desk.next().await;
    let context = STANDARD.encode(call.context.to_string());
    let headers = [(INVOCATION_ID, call.id.clone()), (CLIENT_CONTEXT, context)];
    Ok((headers, call.payload.clone()).into_response())
}

async fn finish(seat: &Seat, parts: &Parts, body: Body) -> Result<Response, RequestError> {
    let id = required(&parts.headers, INVOCATION_ID)?;
    let is_error = optional(&parts.headers, FUNCTION_ERROR)?.is_some_and(|kind| !kind.is_empty());
    let payload = body::read(body, announced(&parts.headers), &seat.allowance).await;
    let (answer, refused) = match payload {
        Ok(payload) if is_error => {
            (Err(Failure::Handled(String::from_utf8_lossy(&payload).into_owned())), None)
        }
        Ok(payload) => (Ok(payload), None),
        Err(error) => {
            (Err(Failure::Unhandled(format!("the answer was refused: {error}"))), Some(error))
        }
    };
    let was_there = seat.desk.finish(id, answer);
    match refused {
        Some(error) => Err(error),
        None if was_there => Ok(().into_response()),
        None => Err(RequestError::NoWork(id.chars().take(100).collect())),
    }
}

async fn initialized(seat: &Seat, parts: &Parts, body: Body) -> Result<Response, RequestError> {
    let body = body::read(body, announced(&parts.headers), &seat.allowance).await?;
    let said: Initialized = serde_json::from_slice(&body).map_err(RequestError::Initialized)?;
    seat.desk.say_ready(if said.success { Ok(()) } else { Err(said.response) });
    Ok(().into_response())
}

fn context(encoded: &str) -> Result<ClientContext, RequestError> {
    let bytes =
        STANDARD.decode(encoded).map_err(|error| RequestError::Context(error.to_string()))?;
    ClientContext::parse(&bytes).map_err(|error| RequestError::Context(error.to_string()))
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn optional<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a str>, RequestError> {
    let value = headers.get(name).map(|value| value.to_str());
    value.transpose().map_err(|_| RequestError::Header(name))
}

fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, RequestError> {
    optional(headers, name)?.ok_or(RequestError::Header(name))
}
