//! `GET /healthz`: 200 while the server answers at all. `GET /readyz`: 200 when every service takes
//! requests, else 503; the body says which do not, and why.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sedge_service::ServiceState;
use serde_json::{Map, json};

use crate::App;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready))
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let mut states = Map::new();
    for service in app.services.all() {
        let state = service.state();
        let told = match &state {
            ServiceState::Broken(error) => json!({ "state": state.name(), "error": error }),
            state => json!({ "state": state.name() }),
        };
        states.insert(service.name().to_owned(), told);
    }
    let is_ready = app.is_ready();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": is_ready, "services": states }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
