use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sedge_service::{ModelInfo, Payload, Service, Version};

use super::request::{InferRequest, RequestedOutput, Split};
use super::response::{Encoded, Source, Wanted, encode};
use super::{Error, ModelPath, PREDICTION, tensors};
use crate::body::{self, Budget};
use crate::coding::Coding;
use crate::trace::Trace;
use crate::{App, body::compute};

const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// Below this a compressed answer is hardly smaller, and always later.
const MIN_COMPRESSED_BYTES: usize = 1024;

/// A request in the words of the service.
struct Parsed {
    id: Option<String>,
    payload: Payload,
    wanted: Vec<Wanted>,
    timeout_ms: Option<u64>,
}

pub(super) async fn infer(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Error> {
    let (mut parts, body) = request.into_parts();
    let (service, version) = match find(&app, &mut parts).await {
        Ok(found) => found,
        Err(error) => {
            body::discard(&parts.headers, body);
            return Err(error);
        }
    };
    let Parsed { id, payload, wanted, timeout_ms } =
        parsed(&app, &version, &parts.headers, body).await?;
    let mut request = sedge_service::Request::tensors(service.name(), Vec::new());
    request.payload = payload;
    request.timeout_ms = timeout_ms;
    if let Some(trace) = parts.extensions.get::<Trace>() {
        trace.mark(&mut request);
    }
    let response = service.submit_to(&version, request).await?;
    let size = response.outputs.iter().map(|(_, tensor)| tensor.bytes().len()).sum();
    let coding = Coding::accepted(&parts.headers);
    let write = move || {
        let encoded = encode(service.name(), &version, id.as_deref(), &response, &wanted)?;
        respond(encoded, coding)
    };
    compute(size, write).await?
}

async fn find(
    app: &Arc<App>,
    parts: &mut request::Parts,
) -> Result<(Arc<Service>, Arc<Version>), Error> {
    ModelPath::from_request_parts(parts, &()).await?.version(app).await
}

async fn parsed(
    app: &App,
    version: &Arc<Version>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Parsed, Error> {
    let bytes = body::read(headers, body, app).await?;
    let split = Split::of(headers.get(HEADER_LENGTH).map(HeaderValue::as_bytes), bytes.len())?;
    let json_bytes = match split {
        Split::Raw => 0,
        Split::At(size) => size,
        Split::Json => bytes.len(),
    };
    let (version, budget) = (version.clone(), app.budget.clone());
    compute(json_bytes, move || parse(version.info(), bytes, split, &budget)).await?
}

fn parse(
    info: &ModelInfo,
    mut bytes: Bytes,
    split: Split,
    budget: &Budget,
) -> Result<Parsed, Error> {
    let json = match split {
        Split::Json => std::mem::take(&mut bytes),
        Split::At(size) => bytes.split_to(size),
        Split::Raw => {
            let payload = tensors::raw(info, bytes)?;
            return Ok(Parsed { id: None, payload, wanted: all(info, true), timeout_ms: None });
        }
    };
    let request: InferRequest<'_> = serde_json::from_slice(&json)
        .map_err(|error| Error::invalid(format!("the request is not valid: {error}")))?;
    let parameters = request.parameters.unwrap_or_default();
    let binary = parameters.binary_data_output.unwrap_or(false);
    let payload = tensors::payload(info, request.inputs.0, &bytes, budget)?;
    let wanted = match request.outputs.map(|outputs| outputs.0) {
        Some(outputs) if !outputs.is_empty() => {
            let picture = matches!(payload, Payload::Picture(_));
            chosen(info, &outputs, binary, picture)?
        }
        _ => all(info, binary),
    };
    let timeout = parameters.timeout.filter(|&micros| micros > 0);
    let timeout_ms = timeout.map(|micros| micros.div_ceil(1000));
    // Triton leaves an empty identifier out of the answer.
    let id = request.id.filter(|id| !id.is_empty());
    Ok(Parsed { id, payload, wanted, timeout_ms })
}

/// Every output of the model.
fn all(info: &ModelInfo, binary: bool) -> Vec<Wanted> {
    let wanted = |index| Wanted { source: Source::Output(index), binary, classification: None };
    (0..info.outputs.len()).map(wanted).collect()
}

/// The outputs a request lists.
fn chosen(
    info: &ModelInfo,
    outputs: &[RequestedOutput],
    binary: bool,
    picture: bool,
) -> Result<Vec<Wanted>, Error> {
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::with_capacity(outputs.len());
    for RequestedOutput { name, parameters } in outputs {
        let fail = |message: &str| Error::invalid(format!("output '{name}': {message}"));
        if !seen.insert(name.as_str()) {
            return Err(fail("it is asked for twice"));
        }
        let source = match info.outputs.iter().position(|output| output.name == *name) {
            Some(index) => Source::Output(index),
            None if name == PREDICTION && picture => Source::Prediction,
            None if name == PREDICTION => return Err(fail("it exists only for pictures")),
            None => {
                let names: Vec<_> = info.outputs.iter().map(|info| info.name.as_str()).collect();
                return Err(fail(&format!(
                    "the model has no such output; it has {}",
                    names.join(", ")
                )));
            }
        };
        let mut output = Wanted { source, binary, classification: None };
        if let Some(parameters) = parameters {
            if parameters.shared_memory_region.is_some() {
                let message = format!("output '{name}': shared memory is not implemented");
                return Err(Error::new(StatusCode::NOT_IMPLEMENTED, message));
            }
            output.binary = parameters.binary_data.unwrap_or(binary);
            output.classification = match parameters.classification {
                None | Some(0) => None,
                Some(_) if source == Source::Prediction => {
                    return Err(fail("it has no numbers to classify by"));
                }
                Some(count) => Some(
                    usize::try_from(count)
                        .map_err(|_| fail("classification must not be negative"))?,
                ),
            };
        }
        wanted.push(output);
    }
    Ok(wanted)
}

fn respond(encoded: Encoded, coding: Option<Coding>) -> Result<Response, Error> {
    let Encoded { body, json_bytes } = encoded;
    let coding = coding.filter(|_| body.len() >= MIN_COMPRESSED_BYTES);
    let body = match coding {
        None => body,
        Some(coding) => coding.encode(&body).map_err(|error| Error::internal(error.to_string()))?,
    };
    let media_type =
        if json_bytes.is_some() { "application/octet-stream" } else { "application/json" };
    let mut response = ([(header::CONTENT_TYPE, media_type)], body).into_response();
    let headers = response.headers_mut();
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    if let Some(json_bytes) = json_bytes {
        headers.insert(HEADER_LENGTH, json_bytes.into());
    }
    Ok(response)
}
