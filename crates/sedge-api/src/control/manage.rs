//! What may be done with services, over the control socket only: whoever can open it may do
//! anything the server may.
//!
//! - `GET /api/v1/services/{name}`: status, source and versions of one service.
//! - `GET /api/v1/services/{name}/logs`: the last lines that its processes wrote.
//! - `POST /api/v1/services/{name}/{update|rollback|restart|reset}`; `?force` with `update` also
//!   takes a version that was found bad, or a file that is not the one of the first time.
//! - `POST /api/v1/reload`: the configuration file is read again.
//! - `GET /api/v1/greengrass`: the functions of a Greengrass V1 group; `null` without one.
//! - `POST /api/v1/plan` with `{"config": "/path"}`: what that would change.
//!
//! Answers are JSON; errors are `{"error": "text"}`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::ServiceStatus;
use crate::{App, oip};

/// What can be done with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look at its source.
    Update {
        /// Also take what was found bad before.
        force: bool,
    },
    /// Go back to the version before.
    Rollback,
    /// Load what answers once more.
    Restart,
    /// Try what was given up.
    Reset,
}

/// What comes of it, or why nothing does.
pub type Managed<'a> = Pin<Box<dyn Future<Output = Result<Value, ManageError>> + Send + 'a>>;

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ManageError {
    /// There is no such service.
    #[error("{0}")]
    Unknown(String),
    /// It failed; everything is as it was.
    #[error("{0}")]
    Failed(String),
}

/// Who keeps the services.
pub trait Manager: Send + Sync {
    /// Does something with a service.
    fn act(&self, service: String, action: Action) -> Managed<'_>;
    /// Where a service's model comes from, its versions, and the like.
    fn details(&self, service: String) -> Managed<'_>;
    /// The last lines of a service's processes.
    fn logs(&self, service: String) -> Managed<'_>;
    /// Reads the configuration again.
    fn reload(&self) -> Managed<'_>;
    /// What runs of a Greengrass group; null without one.
    fn greengrass(&self) -> Managed<'_>;
    /// What a configuration would change.
    fn plan(&self, config: String) -> Managed<'_>;
}

type Shared = (Arc<App>, Arc<dyn Manager>);

pub(crate) fn routes(app: Arc<App>, manager: Arc<dyn Manager>) -> Router {
    Router::new()
        .route("/api/v1/services/{name}", get(one))
        .route("/api/v1/services/{name}/logs", get(logs))
        .route("/api/v1/services/{name}/{action}", post(act))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/greengrass", get(greengrass))
        .route("/api/v1/plan", post(plan))
        .with_state((app, manager))
}

#[derive(Serialize)]
struct One {
    #[serde(flatten)]
    status: ServiceStatus,
    #[serde(flatten)]
    details: Value,
}

async fn one(State((app, manager)): State<Shared>, Path(name): Path<String>) -> Response {
    let details = match manager.details(name.clone()).await {
        Ok(details) => details,
        Err(error) => return refused(&error),
    };
    match app.services.get(&name) {
        Some(service) => {
            let status = ServiceStatus::of(&service);
            Json(One { status, details }).into_response()
        }
        None => refused(&ManageError::Unknown(format!("there is no service '{name}'"))),
    }
}

async fn logs(State((_, manager)): State<Shared>, Path(name): Path<String>) -> Response {
    answer(manager.logs(name).await)
}

async fn act(
    State((_, manager)): State<Shared>,
    Path((name, action)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let action = match action.as_str() {
        "update" => Action::Update { force: query.as_deref() == Some("force") },
        "rollback" => Action::Rollback,
        "restart" => Action::Restart,
        "reset" => Action::Reset,
        other => {
            let message = format!(
                "'{other}' cannot be done with a service. Hint: update, rollback, restart, reset"
            );
            return oip::Error::new(StatusCode::NOT_FOUND, message).into_response();
        }
    };
    answer(manager.act(name, action).await)
}

async fn reload(State((_, manager)): State<Shared>) -> Response {
    answer(manager.reload().await)
}

async fn greengrass(State((_, manager)): State<Shared>) -> Response {
    answer(manager.greengrass().await)
}

#[derive(Deserialize)]
struct PlanRequest {
    config: String,
}

async fn plan(State((_, manager)): State<Shared>, body: bytes::Bytes) -> Response {
    match serde_json::from_slice::<PlanRequest>(&body) {
        Ok(request) => answer(manager.plan(request.config).await),
        Err(error) => {
            let message = format!("the request is not valid: {error}");
            oip::Error::new(StatusCode::BAD_REQUEST, message).into_response()
        }
    }
}

fn answer(result: Result<Value, ManageError>) -> Response {
    match result {
        Ok(value) => ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response(),
        Err(error) => refused(&error),
    }
}

fn refused(error: &ManageError) -> Response {
    let status = match error {
        ManageError::Unknown(_) => StatusCode::NOT_FOUND,
        ManageError::Failed(_) => StatusCode::CONFLICT,
    };
    oip::Error::new(status, error.to_string()).into_response()
}
