use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sedge_service::RunnerError;

use crate::body::BodyError;
use crate::trace::ErrorText;

/// An error as the protocol answers it: `{"error": "text"}`.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    message: String,
    retry_after_s: Option<u64>,
}

impl Error {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after_s: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    fn unavailable(message: String, retry_after_s: Option<u64>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message, retry_after_s }
    }
}

impl From<RunnerError> for Error {
    fn from(error: RunnerError) -> Self {
        let message = error.to_string();
        match error {
            RunnerError::Picture(_) | RunnerError::Unprepared(_) | RunnerError::Tensors(_) => {
                Self::invalid(message)
            }
            RunnerError::Failed(_) | RunnerError::Crashed(_) | RunnerError::Memory { .. } => {
                Self::internal(message)
            }
            RunnerError::Overloaded { retry_after_s, .. } => {
                Self::unavailable(message, Some(retry_after_s))
            }
            // As Triton answers a request that timed out in its queue.
            RunnerError::Deadline { .. } | RunnerError::Broken(_) => {
                Self::unavailable(message, None)
            }
            RunnerError::Stopping => Self::unavailable(message, Some(1)),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Busy => Self::unavailable(error.to_string(), Some(1)),
            _ => Self::new(error.status(), error.to_string()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.message }).to_string();
        let headers = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, headers, body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(ErrorText(self.message.into()));
        response
    }
}
