//! The SageMaker Runtime dialect: what `boto3`'s `sagemaker-runtime` client and the containers of
//! SageMaker's built-in algorithms speak.
//!
//! - `POST /endpoints/{service}/invocations`: the endpoint's name is the service's.
//! - `GET /ping`: 200 and nothing when every service is ready, else 503.
//!
//! Pictures come as `image/jpeg`, `image/png`, `application/x-image` or
//! `application/octet-stream` (also when no type is given); their bytes tell what they are.
//! The body of the answer is the one the built-in algorithms and the Greengrass connectors give:
//! `[0.3,0.1]` with every class in training order, or
//! `{"prediction":[[class,score,xmin,ymin,xmax,ymax]]}` with coordinates as ratios. The rows are
//! all objects the model's decoder reports; its `score_threshold` decides which, and there is no
//! other threshold here. A model without a decoder answers `{"outputs":[...]}`. With
//! `Accept: application/vnd.sedge.prediction+json` every model answers the whole prediction, and
//! with `; explain=true` behind it also what was done to the picture, with `; top_k=5` the five
//! best.
//!
//! Errors are those of the service's model in botocore, told by `x-amzn-ErrorType`. Where it
//! leaves a choice:
//! - An unknown endpoint is `ValidationError` 400, as the real service answers.
//! - A picture that cannot be decoded is `ModelError` 424 with `OriginalStatusCode` 400: there the
//!   container finds it out, so clients catch `ModelError` for it.
//! - A content type or `Accept` that is not served is `ValidationError` under 415 and 406.
//! - Overload and shutdown are `ServiceUnavailable` 503 with `Retry-After`, which botocore retries
//!   by itself; its model has no error for throttling this operation.
//! - A deadline is `ModelError` 424 with `OriginalStatusCode` 0, as there; it is not retried.
//!
//! Signatures are not looked at. Routing headers (`TargetModel`, `TargetVariant`, ...) and
//! `CustomAttributes` are taken and ignored, never echoed; `InferenceId` names the picture in a
//! prediction.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sedge_service::{Service, algorithm_request};

mod accept;
mod answer;
mod error;

pub(crate) use error::Error;

use crate::trace::Trace;
use crate::{App, body};
use accept::Form;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");
const INFERENCE_ID: HeaderName = HeaderName::from_static("x-amzn-sagemaker-inference-id");

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/ping", get(ping))
        .route("/endpoints/{service}/invocations", post(invocations))
}

async fn ping(State(app): State<Arc<App>>) -> StatusCode {
    if app.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn invocations(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let trace = parts.extensions.get::<Trace>().cloned();
    let mut response =
        invoke(&app, &mut parts, body, trace.as_ref()).await.unwrap_or_else(Error::into_response);
    if let Some(value) = trace.and_then(|trace| HeaderValue::from_str(&trace.id).ok()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

async fn invoke(
    app: &App,
    parts: &mut request::Parts,
    body: Body,
    trace: Option<&Trace>,
) -> Result<Response, Error> {
    let (service, form) = match checked(app, parts).await {
        Ok(checked) => checked,
        Err(error) => {
            body::discard(&parts.headers, body);
            return Err(error);
        }
    };
    let picture = body::read(&parts.headers, body, app).await?;
    let mut request = match form {
        Form::Dialect => algorithm_request(&service, picture),
        Form::Prediction { explain, top_k } => {
            let mut request = sedge_service::Request::picture(service.name(), picture);
            (request.explain, request.selection.top_k) = (explain, top_k);
            request
        }
    };
    if let Some(trace) = trace {
        trace.mark(&mut request);
    }
    let inference_id = parts.headers.get(INFERENCE_ID).and_then(|value| value.to_str().ok());
    request.image = inference_id.map(str::to_owned);
    let answer = service.submit(request).await?;
    let size = answer.outputs.iter().map(|(_, tensor)| tensor.bytes().len()).sum();
    let content = body::compute(size, move || answer::body(form, &answer)).await??;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(form.media_type())),
        (VARIANT, HeaderValue::from_static("AllTraffic")),
    ];
    Ok((headers, content).into_response())
}

/// What can be found wrong before the body is read.
async fn checked(app: &App, parts: &mut request::Parts) -> Result<(Arc<Service>, Form), Error> {
    let bad = |error: axum::extract::rejection::PathRejection| {
        Error::validation(StatusCode::BAD_REQUEST, error.body_text())
    };
    let Path(name) = Path::<String>::from_request_parts(parts, &()).await.map_err(bad)?;
    let service = app.services.get(&name).ok_or_else(|| Error::unknown_endpoint(app, &name))?;
    picture_type(&parts.headers)?;
    Ok((service, accept::form(&parts.headers)?))
}

fn picture_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = String::from_utf8_lossy(value.as_bytes());
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "image/jpeg"
        | "image/jpg"
        | "image/png"
        | "application/x-image"
        | "application/octet-stream"
        | "" => Ok(()),
        _ => Err(Error::validation(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "content type '{essence}' is not served. Hint: send a picture as image/jpeg, image/png or application/x-image; tensors go to /v2/models"
            ),
        )),
    }
}
