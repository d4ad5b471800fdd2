//! What the server does, read-only: for the page, for scripts, for people with `curl`.
//!
//! - `GET /api/v1/services`: every service with identity, tensors, limits and statistics.
//! - `GET /api/v1/events`: server-sent events, one for each request that ended.
//!
//! Both tell of all clients' requests, so they are not for everybody's web pages: [`guard`] lets
//! browsers ask only from the page itself, and nothing here has CORS headers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

mod events;
mod guard;
mod manage;
mod status;

pub(crate) use events::{Ending, Listeners};
pub(crate) use guard::guard;
pub(crate) use manage::routes as manage_routes;
pub use manage::{Action, ManageError, Managed, Manager};
pub use status::{Latency, Requests, ServiceStatus, TensorStatus};

use crate::App;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/services", get(services))
        .route("/api/v1/events", get(events::listen))
        .merge(crate::outward::routes())
}

#[derive(Serialize)]
struct ServerStatus<'a> {
    name: &'a str,
    version: &'a str,
    max_body_bytes: u64,
    services: Vec<ServiceStatus>,
}

async fn services(State(app): State<Arc<App>>) -> Response {
    let status = ServerStatus {
        name: &app.options.server_name,
        version: &app.options.server_version,
        max_body_bytes: app.options.max_body_bytes,
        services: app.services.all().iter().map(|service| ServiceStatus::of(service)).collect(),
    };
    let body = serde_json::to_vec(&status).unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
