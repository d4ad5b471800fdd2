//! Why a service did not do what it was asked.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::hint;
use crate::{ClientError, Response, back_off};

/// The longest that a server's `Retry-After` is believed.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);
/// When what only somebody else can mend is tried again: certificates, credentials, clocks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Headers with a request's id, of S3 and of the others.
pub(crate) const REQUEST_IDS: [&str; 2] = ["x-amz-request-id", "x-amzn-requestid"];
/// As much of a server's own words as is shown.
const MOST_SHOWN_CHARS: usize = 500;

/// What a service refused, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The status: 403, 503, ...
    pub status: u16,
    /// The service's code, such as `NoSuchBucket`; the status where it gives none.
    pub code: String,
    /// What it says to people.
    pub message: String,
    /// By which Amazon's support finds the request.
    pub request_id: Option<String>,
    /// By which it finds the server, of S3.
    pub host_id: Option<String>,
    /// Where the bucket really is, of S3.
    pub region: Option<String>,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads a refusal of any service: the text of its elements, or the fields of its JSON.
    pub fn read(response: &mut Response) -> Self {
        // Without a body there is only the status to go by.
        let text = response.text().unwrap_or_default();
        Self::parse(response.status, &text, |name| response.header(name).map(str::to_owned))
    }

    fn parse(status: u16, text: &str, header: impl Fn(&str) -> Option<String>) -> Self {
        let fields: Fields = serde_json::from_str(text).unwrap_or_default();
        let kind = fields.kind.or_else(|| header("x-amzn-errortype"));
        // `com.amazonaws.logs#ResourceNotFoundException:http://...`
        let kind = kind.map(|kind| {
            let kind = kind.split(':').next().unwrap_or_default();
            kind.rsplit('#').next().unwrap_or_default().to_owned()
        });
        let own = |name: &str| element(text, name);
        let code = kind.or_else(|| own("Code")).filter(|code| !code.is_empty());
        let id = REQUEST_IDS.into_iter().find_map(&header).or_else(|| own("RequestId"));
        let host_id = header("x-amz-id-2").or_else(|| own("HostId"));
        let region = header("x-amz-bucket-region").or_else(|| own("Region"));
        Self {
            status,
            code: code.map_or_else(|| status.to_string(), |code| shown(&code)),
            message: shown(&fields.message.or_else(|| own("Message")).unwrap_or_default()),
            request_id: id.as_deref().map(shown),
            host_id: host_id.as_deref().map(shown),
            region: region.as_deref().map(shown),
            retry_after: header("retry-after").as_deref().and_then(retry_after),
        }
    }
}

/// As much of a server's words as people are shown, on one line.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MOST_SHOWN_CHARS).collect()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, message, .. } = self;
        match (hint::of(code), message.is_empty()) {
            (Some(hint), true) => write!(f, "{code}: {hint}"),
            (Some(hint), false) => write!(f, "{code}: {hint}. It says: {message}"),
            (None, true) => write!(f, "{code}"),
            (None, false) => write!(f, "{code}: {message}"),
        }
    }
}

#[derive(Default, Deserialize)]
struct Fields {
    #[serde(rename = "__type", alias = "code")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// The text of the first element of a name, in the short answers that services give. No general
/// parser, which would have to be kept from what hostile XML does to those.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    Some(entities.iter().fold(inner.to_owned(), |text, (entity, c)| text.replace(entity, c)))
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str) -> Option<Duration> {
    let after = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(after.min(MOST_RETRY_AFTER))
}

/// Why a service did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AwsError {
    /// There was no answer, or nobody to sign.
    #[error("{_0}{}", way_on(_0))]
    Client(#[from] ClientError),
    /// The service refused.
    #[error("{what} was refused with {}: {refusal}", refusal.status)]
    Refused {
        /// What was asked, such as `s3://bucket/key`.
        what: String,
        /// The service's answer.
        refusal: Box<Refusal>,
    },
}

fn way_on(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unreachable { .. } => ". Hint: check the network, and the service's endpoint",
        _ => "",
    }
}

/// When the same may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After at least this time, and longer the more often it failed (see
    /// [`back_off`](crate::back_off)). What was asked is right; others are at fault.
    Later(Duration),
    /// When there are other credentials. They were asked for once already.
    Refresh,
    /// It would be refused again.
    Never,
}

impl AwsError {
    /// The service's code, such as `NoSuchBucket`, else what happened instead in the words of
    /// Amazon's Python client, which old programs know.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { refusal, .. } => &refusal.code,
            Self::Client(ClientError::Unreachable { .. }) => "EndpointConnectionError",
            Self::Client(ClientError::Stalled { .. }) => "ReadTimeoutError",
            Self::Client(ClientError::Truncated { .. }) => "ConnectionClosedError",
            Self::Client(ClientError::Tls { .. } | ClientError::Certificate { .. }) => "SSLError",
            Self::Client(ClientError::Credentials(_) | ClientError::Status { .. }) => {
                "NoCredentialsError"
            }
            Self::Client(_) => "ClientError",
        }
    }

    /// When the same may be asked again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused { refusal, .. } => refusal.retry(),
            Self::Client(ClientError::Cancelled) => Retry::Later(Duration::ZERO),
            Self::Client(error) if error.may_pass() => Retry::Later(Duration::ZERO),
            Self::Client(ClientError::Request(_) | ClientError::Body(_)) => Retry::Never,
            Self::Client(_) => Retry::Later(PATIENCE),
        }
    }

    /// How long to wait before the same is asked again, after so many failures in a row, which are
    /// 1 or more; nothing where it would be refused again.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Option<Duration> {
        let least = match self.retry() {
            Retry::Later(pause) => pause,
            Retry::Refresh => PATIENCE,
            Retry::Never => return None,
        };
        Some(least.max(back_off(failures)))
    }
}

impl Refusal {
    /// Whether the clocks differ too much.
    pub(super) fn is_skew(&self) -> bool {
        let signature = matches!(
            self.code.as_str(),
            "InvalidSignatureException" | "SignatureDoesNotMatch" | "AuthFailure"
        );
        let time = ["Signature expired", "Signature not yet current"];
        matches!(
            self.code.as_str(),
            "RequestTimeTooSkewed" | "RequestInTheFuture" | "RequestExpired"
        ) || (signature && time.iter().any(|words| self.message.contains(words)))
    }

    /// Codes after "Retry behavior", AWS SDKs and Tools Reference Guide.
    fn retry(&self) -> Retry {
        let code = self.code.as_str();
        let later = Retry::Later(self.retry_after.unwrap_or_default());
        match code {
            _ if self.is_skew() => Retry::Later(PATIENCE),
            "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException" => Retry::Refresh,
            "SlowDown"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded"
            | "TooManyRequestsException"
            | "PriorRequestNotComplete"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "OperationAborted"
            | "OperationAbortedException" => later,
            _ if code.starts_with("Throttl") || code.contains("Throttled") => later,
            "NotImplemented" => Retry::Never,
            _ if matches!(self.status, 408 | 429 | 500..=599) => later,
            _ => Retry::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_say_whether_to_come_again() {
        let later = Retry::Later(Duration::ZERO);
        for (status, code, expected) in [
            (503, "SlowDown", later),
            (500, "InternalError", later),
            (400, "Throttling", later),
            (400, "ThrottlingException", later),
            (400, "RequestThrottled", later),
            (400, "RequestTimeout", later),
            (502, "502", later),
            (429, "429", later),
            (403, "RequestTimeTooSkewed", Retry::Later(PATIENCE)),
            (400, "ExpiredToken", Retry::Refresh),
            (403, "InvalidAccessKeyId", Retry::Refresh),
            (403, "AccessDenied", Retry::Never),
            (404, "NoSuchBucket", Retry::Never),
            (501, "NotImplemented", Retry::Never),
        ] {
            let refusal = Refusal { status, code: code.to_owned(), ..Refusal::default() };
            let error = AwsError::Refused { what: String::new(), refusal: Box::new(refusal) };
            assert_eq!(error.retry(), expected, "{code}");
            assert_eq!(error.code(), code);
        }
        let message = "Signature expired: 20260101T000000Z is now earlier than ...".to_owned();
        let code = "InvalidSignatureException".to_owned();
        let refusal = Refusal { status: 400, code, message, ..Refusal::default() };
        assert_eq!(refusal.retry(), Retry::Later(PATIENCE));
        let refused = |code: &str| {
            let refusal = Box::new(Refusal { code: code.to_owned(), ..refusal.clone() });
            AwsError::Refused { what: String::new(), refusal }
        };
        for code in ["InvalidSignatureException", "ExpiredToken"] {
            assert_eq!(refused(code).pause(1), Some(PATIENCE), "{code}");
        }
        assert!(refused("SlowDown").pause(1).is_some_and(|pause| pause < PATIENCE));
        assert_eq!(refused("NoSuchBucket").pause(1), None);
        // A certificate that is being renewed, or a name that somebody will mend.
        let setting = AwsError::from(ClientError::Setting("no such file".to_owned()));
        assert_eq!(setting.pause(1), Some(PATIENCE));
        assert_eq!(AwsError::from(ClientError::Request("no key".to_owned())).pause(1), None);
    }

    #[test]
    fn waits_that_servers_want_are_bounded() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("99999999999"), Some(MOST_RETRY_AFTER));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("Sat, 06 Nov 2094 08:49:37 GMT"), Some(MOST_RETRY_AFTER));
        assert_eq!(retry_after("soon"), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_and_short(
            text in "(<(/|!)?(Code|Message|Region|HostId|x)>|[{}\"#:&;lt,]|__type|code|\\PC){0,60}",
            header in proptest::option::of(".{0,900}"),
        ) {
            let refusal = Refusal::parse(400, &text, |_| header.clone());
            prop_assert!(!refusal.code.is_empty());
            let told = refusal.to_string();
            prop_assert!(told.chars().count() <= 1100 && !told.contains(char::is_control));
            prop_assert!(refusal.region.is_none_or(|region| region.chars().count() <= 500));
        }
    }

    #[test]
    fn elements_are_found_and_bombs_are_only_text() {
        let text = "<Error><Code>A&amp;lt;</Code><Message>a &quot;b&quot;</Message></Error>";
        assert_eq!(element(text, "Code").as_deref(), Some("A&lt;"));
        assert_eq!(element(text, "Message").as_deref(), Some("a \"b\""));
        assert_eq!(element("<Code>never ends", "Code"), None);
        let bomb = "<!DOCTYPE a [<!ENTITY b \"&c;&c;\">]><Code>&b;</Code>";
        assert_eq!(element(bomb, "Code").as_deref(), Some("&b;"));
    }
}
