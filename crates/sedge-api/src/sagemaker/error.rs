use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sedge_service::RunnerError;
use serde_json::json;

use crate::App;
use crate::body::BodyError;
use crate::trace::ErrorText;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// An error as `InvokeEndpoint` answers it.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    kind: Kind,
    message: String,
    retry_after_s: Option<u64>,
}

#[derive(Debug)]
enum Kind {
    Validation,
    /// With the status the model's own container would have answered.
    Model(u16),
    Unavailable,
    Internal,
}

impl Error {
    /// The request is wrong in itself.
    pub(crate) fn validation(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, kind: Kind::Validation, message: message.into(), retry_after_s: None }
    }

    pub(super) fn unknown_endpoint(app: &App, name: &str) -> Self {
        // The account is the one that local stand-ins for the cloud use.
        let message = format!(
            "Endpoint {name} of account 000000000000 not found. Hint: the services here are {}",
            app.names()
        );
        Self::validation(StatusCode::BAD_REQUEST, message)
    }

    /// The model could not answer this request; `original` is what its container would have said.
    pub(super) fn model(original: u16, message: impl Into<String>) -> Self {
        let status = StatusCode::FAILED_DEPENDENCY;
        Self { status, kind: Kind::Model(original), message: message.into(), retry_after_s: None }
    }

    fn unavailable(message: String, retry_after_s: u64) -> Self {
        let (status, retry_after_s) = (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after_s));
        Self { status, kind: Kind::Unavailable, message, retry_after_s }
    }
}

impl From<RunnerError> for Error {
    fn from(error: RunnerError) -> Self {
        let message = error.to_string();
        match error {
            RunnerError::Picture(_) | RunnerError::Unprepared(_) | RunnerError::Tensors(_) => {
                Self::model(400, message)
            }
            RunnerError::Failed(_) | RunnerError::Crashed(_) | RunnerError::Memory { .. } => {
                Self::model(500, message)
            }
            RunnerError::Deadline { .. } => Self::model(0, message),
            RunnerError::Overloaded { retry_after_s, .. } => {
                Self::unavailable(message, retry_after_s)
            }
            RunnerError::Broken(_) => Self::unavailable(message, 60),
            RunnerError::Stopping => Self::unavailable(message, 1),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        let (status, message) = (error.status(), error.to_string());
        match error {
            BodyError::Busy => Self::unavailable(message, 1),
            BodyError::Internal(_) => {
                Self { status, kind: Kind::Internal, message, retry_after_s: None }
            }
            _ => Self::validation(status, message),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let message = &self.message;
        let (name, body) = match self.kind {
            Kind::Validation => ("ValidationError", json!({ "Message": message })),
            Kind::Unavailable => ("ServiceUnavailable", json!({ "Message": message })),
            Kind::Internal => ("InternalFailure", json!({ "Message": message })),
            Kind::Model(original) => {
                let side = if original / 100 == 4 { "client" } else { "server" };
                let wrapped = format!(
                    "Received {side} error ({original}) from primary with message \"{message}\""
                );
                let body = json!({
                    "Message": wrapped,
                    "OriginalStatusCode": original,
                    "OriginalMessage": message,
                    "LogStreamArn": "",
                });
                ("ModelError", body)
            }
        };
        let headers = [(header::CONTENT_TYPE, "application/json"), (ERROR_TYPE, name)];
        let mut response = (self.status, headers, body.to_string()).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(ErrorText(self.message.into()));
        response
    }
}
