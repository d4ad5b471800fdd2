use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// Why a request of the protocol was refused. Its SDK raises what it says.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error(
        "no such path. Hint: the protocol is /2016-11-01/functions/ARN, ARN/work and ARN/initialized"
    )]
    Path,
    #[error("{0}")]
    Arn(#[from] crate::ArnError),
    #[error(
        "the Authorization header is no token of a running function. Hint: send $AWS_CONTAINER_AUTHORIZATION_TOKEN"
    )]
    Token,
    #[error("the token is of {0}, which cannot take the work of {1}")]
    Other(String, String),
    #[error("nothing is deployed as {0}. Hint: these are: {1}")]
    NotFound(String, String),
    #[error("the header {0} is missing or not text")]
    Header(&'static str),
    #[error("the header X-Amz-Client-Context is not Base64 of JSON: {0}")]
    Context(String),
    #[error("the invocation type '{0}' is neither RequestResponse nor Event")]
    Kind(String),
    #[error(
        "there is no call {0} to fetch: it was fetched, waited for longer than a minute, or made by another process"
    )]
    NoCall(String),
    #[error("there is no work {0}: it was answered, or took too long")]
    NoWork(String),
    #[error("this function has {most} calls open. Hint: fetch their results, or send events")]
    TooManyCalls { most: usize },
    #[error("a payload has at most {most_mib} MiB")]
    TooLarge { most_mib: usize },
    #[error(
        "this function has {most_mib} MiB on their way, and nothing of it has arrived for {seconds} s"
    )]
    Full { most_mib: usize, seconds: u64 },
    #[error("the payload did not arrive: {0}")]
    Body(String),
    #[error(
        "what is told of the start is not {{\"Success\":true|false,\"Response\":\"...\"}}: {0}"
    )]
    Initialized(serde_json::Error),
    #[error("{0}")]
    Refused(String),
    #[error(
        "this device has no credentials to give: {0}. Hint: docs/cloud.md says where they come from; or put them into the function's environment variables"
    )]
    Credentials(String),
}

impl RequestError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Path | Self::NotFound(..) | Self::NoCall(_) | Self::Credentials(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Arn(_) | Self::Header(_) | Self::Context(_) | Self::Kind(_) | Self::Body(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Initialized(_) => StatusCode::BAD_REQUEST,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Other(..) => StatusCode::FORBIDDEN,
            Self::NoWork(_) => StatusCode::CONFLICT,
            Self::TooManyCalls { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full { .. } | Self::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        (self.status(), [(CONTENT_TYPE, "text/plain; charset=utf-8")], self.to_string())
            .into_response()
    }
}
