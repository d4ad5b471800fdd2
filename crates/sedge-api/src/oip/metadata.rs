use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sedge_engine::TensorInfo;
use serde_json::{Value, json};

use super::{Error, ModelPath, datatype};
use crate::App;

/// What [`super`] implements of the extensions Triton knows.
const EXTENSIONS: [&str; 4] =
    ["classification", "model_configuration", "binary_tensor_data", "parameters"];

pub(super) async fn live() -> Response {
    json_body(&json!({ "live": true }))
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    (status, json_body(&json!({ "ready": ready }))).into_response()
}

pub(super) async fn server(State(app): State<Arc<App>>) -> Response {
    json_body(&json!({
        "name": app.options.server_name,
        "version": app.options.server_version,
        "extensions": EXTENSIONS,
    }))
}

pub(super) async fn model_ready(
    State(app): State<Arc<App>>,
    path: ModelPath,
) -> Result<Response, Error> {
    let service = path.service(&app)?;
    if let Some(serving) = service.serving() {
        path.check(&serving)?;
    }
    if !service.is_ready() {
        return Err(Error::invalid(format!("model '{}' is not ready", service.name())));
    }
    Ok(json_body(&json!({ "name": service.name(), "ready": true })))
}

pub(super) async fn model(State(app): State<Arc<App>>, path: ModelPath) -> Result<Response, Error> {
    let (service, version) = path.version(&app).await?;
    let info = version.info();
    let tensor = |info: &TensorInfo| {
        json!({
            "name": info.name,
            "datatype": datatype::name(info.dtype),
            "shape": shape(info),
        })
    };
    Ok(json_body(&json!({
        "name": service.name(),
        "versions": [version.number().to_string()],
        "platform": platform(&info.format),
        "inputs": info.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": info.outputs.iter().map(tensor).collect::<Vec<_>>(),
    })))
}

/// The platform string of a file format.
pub(super) fn platform(format: &str) -> String {
    format!("sedge_{format}")
}

/// Dimensions with -1 where they vary. The protocol has no word for an unknown number of them.
pub(crate) fn shape(info: &TensorInfo) -> Vec<i64> {
    if !info.ranked {
        return vec![-1];
    }
    let dim = |dim: Option<usize>| dim.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
    info.shape.iter().map(|entry| dim(entry.fixed())).collect()
}

pub(super) fn json_body(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
