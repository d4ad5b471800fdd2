//! Requests to Amazon's services, and to those that speak like them.

use crate::client::credentials::{self, environment};
use crate::client::sign::{Scope, sign};
use crate::client::{Client, ClientError, Request, Response};
use crate::clock::Utc;
use crate::{Credentials, Remote};

/// Sends signed requests of one region.
#[derive(Debug)]
pub(super) struct Aws {
    pub(super) client: Client,
    pub(super) remote: Remote,
    pub(super) region: String,
}

impl Aws {
    /// `region` counts where none is configured.
    pub(super) fn new(
        client: Client,
        remote: &Remote,
        region: Option<&str>,
    ) -> Result<Self, ClientError> {
        let configured = credentials::region(remote, &environment)?;
        let region = configured.as_deref().or(region).unwrap_or("us-east-1").to_owned();
        if !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(ClientError::Setting(format!("'{region}' is no region")));
        }
        Ok(Self { client, remote: remote.clone(), region })
    }

    /// Signs with the credentials of this moment, as they may be for a limited time.
    pub(super) fn send(
        &self,
        mut request: Request,
        scope: Scope<'_>,
    ) -> Result<Response, ClientError> {
        if let Some(keys) = credentials::find(&self.remote, &environment)? {
            sign(&mut request, &keys, scope, Utc::now());
        }
        self.client.send(&request)
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.remote.credentials == Credentials::Anonymous
    }
}

/// The endpoint of a service: configured, from the environment, or Amazon's own.
pub(super) fn endpoint(configured: Option<&str>, service: &str) -> Option<String> {
    let named = || environment(&format!("AWS_ENDPOINT_URL_{service}"));
    let found = configured.map(str::to_owned).or_else(named);
    let found = found.or_else(|| environment("AWS_ENDPOINT_URL"))?;
    Some(found.trim_end_matches('/').to_owned())
}

/// The domain of Amazon's services in a region.
pub(super) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// What is wrong with the credentials or the clock, by the code that all services give.
pub(super) fn known_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "InvalidAccessKeyId" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            "nobody knows the access key. Hint: check the credentials"
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            "the secret does not fit the access key. Hint: check the credentials"
        }
        "ExpiredToken" | "ExpiredTokenException" => {
            "the credentials have expired. Hint: give new ones"
        }
        "RequestTimeTooSkewed" => "the clock of the device is wrong. Hint: set it",
        _ => return None,
    })
}
