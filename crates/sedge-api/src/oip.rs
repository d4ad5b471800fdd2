//! The Open Inference Protocol (version 2) over REST, as KServe describes it and NVIDIA Triton's
//! `tritonclient` speaks it.
//!
//! What is served: health, server and model metadata, model configuration, and inference with
//! tensors in JSON or in the binary tensor extension, compressed or not, with the `classification`
//! parameter. Everything else of Triton's surface answers 501. Beyond the protocol:
//!
//! - A model that knows how to prepare pictures also takes one as a `BYTES` tensor of one element,
//!   in binary, under its image input's name or `image`. The answer is the model's raw outputs.
//! - For a picture, an output called `prediction` may be asked for: `BYTES` of one element, the
//!   prediction as JSON. It is not among the metadata's outputs, because clients ask for all of
//!   those, also when they send tensors; the configuration's `parameters` name it instead. An
//!   output of the model's own with that name wins.
//! - A model has one version at a time, the number of its installs from 1; a request is answered by
//!   the version that its answer names. There is no batching of its own (`max_batch_size` 0): shapes
//!   are the model's, batch dimension included.
//! - `classification: N` gives the first N of the whole output as `[N]`, or as `[batch, N]` where
//!   the output's first dimension is more than one.
//! - Numbers in JSON are finite: an output that holds others is an error unless asked for in binary.
//! - `timeout` (microseconds) shortens the service's own limit; other parameters are ignored.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{any, get, post};
use sedge_service::{Service, Version};
use serde::Deserialize;

mod classification;
mod config;
mod datatype;
mod error;
mod infer;
mod metadata;
mod request;
mod response;
mod tensors;

pub(crate) use error::Error;
pub(crate) use metadata::shape;

use crate::App;

/// The extra output that holds the prediction as JSON.
const PREDICTION: &str = "prediction";
/// The name under which a picture is taken besides the image input's own.
const IMAGE: &str = "image";

pub(crate) fn routes() -> Router<Arc<App>> {
    let mut router = Router::new()
        .route("/v2", get(metadata::server))
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(metadata::ready));
    for prefix in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        router = router
            .route(prefix, get(metadata::model))
            .route(&format!("{prefix}/ready"), get(metadata::model_ready))
            .route(&format!("{prefix}/config"), get(config::model))
            .route(&format!("{prefix}/infer"), post(infer::infer));
    }
    for path in [
        "/v2/models/stats",
        "/v2/models/{model}/stats",
        "/v2/models/{model}/versions/{version}/stats",
        "/v2/models/{model}/trace/setting",
        "/v2/models/{model}/generate",
        "/v2/models/{model}/generate_stream",
        "/v2/models/{model}/versions/{version}/generate",
        "/v2/models/{model}/versions/{version}/generate_stream",
        "/v2/repository/{*rest}",
        "/v2/systemsharedmemory/{*rest}",
        "/v2/cudasharedmemory/{*rest}",
        "/v2/trace/setting",
        "/v2/logging",
    ] {
        router = router.route(path, any(unimplemented));
    }
    router
}

async fn unimplemented(uri: axum::http::Uri) -> Error {
    let message = format!(
        "{} is not implemented. Hint: GET /v2 lists the extensions this server has",
        uri.path()
    );
    Error::new(StatusCode::NOT_IMPLEMENTED, message)
}

/// The model and version of a path.
#[derive(Debug, Deserialize)]
struct ModelPath {
    model: String,
    #[serde(default)]
    version: Option<String>,
}

impl ModelPath {
    /// The service the path names.
    fn service(&self, app: &App) -> Result<Arc<Service>, Error> {
        let name = &self.model;
        app.services.get(name).ok_or_else(|| {
            Error::not_found(format!(
                "unknown model '{name}'. Hint: the models here are {}",
                app.names()
            ))
        })
    }

    /// The service and the version of it that answers now, which has to be the one the path names.
    async fn version(&self, app: &App) -> Result<(Arc<Service>, Arc<Version>), Error> {
        let service = self.service(app)?;
        let serving = service.version().await?;
        self.check(&serving)?;
        Ok((service, serving))
    }

    /// That the path names this version, or none.
    fn check(&self, serving: &Version) -> Result<(), Error> {
        let Some(version) = &self.version else { return Ok(()) };
        let number = serving.number();
        if *version == number.to_string() {
            return Ok(());
        }
        Err(Error::not_found(format!(
            "model '{}' has no version '{version}'. Hint: its version is {number}",
            self.model
        )))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<Self>::from_request_parts(parts, state).await;
        path.map(|Path(path)| path).map_err(|error| Error::invalid(error.body_text()))
    }
}
