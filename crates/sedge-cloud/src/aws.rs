//! Requests to Amazon's services, and to those that speak like them.

mod call;
mod error;
mod hint;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) use call::Answer;
pub(crate) use error::REQUEST_IDS;
pub use error::{AwsError, Refusal, Retry};
pub use hint::of as hint_of;

use crate::clock::Clock;
use crate::credentials::{self, Provider, environment};
use crate::sign::{Scope, encoded, sign};
use crate::{Client, ClientError, Credentials, Issued, Remote, Request, Response};

/// A service that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Objects in buckets.
    S3,
    /// Training jobs.
    SageMaker,
    /// Metrics of CloudWatch.
    Metrics,
    /// Logs of CloudWatch.
    Logs,
}

impl Service {
    /// Its name in signatures.
    fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::SageMaker => "sagemaker",
            Self::Metrics => "monitoring",
            Self::Logs => "logs",
        }
    }

    /// What Amazon's own host begins with.
    fn host(self) -> &'static str {
        if self == Self::SageMaker { "api.sagemaker" } else { self.name() }
    }

    /// What the variable with its endpoint ends with.
    ///
    /// Source: "Service-specific endpoints", AWS SDKs and Tools Reference Guide.
    fn variable(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::SageMaker => "SAGEMAKER",
            Self::Metrics => "CLOUDWATCH",
            Self::Logs => "CLOUDWATCH_LOGS",
        }
    }

    fn configured(self, remote: &Remote) -> Option<&String> {
        match self {
            Self::S3 => remote.s3_endpoint.as_ref(),
            Self::SageMaker => remote.sagemaker_endpoint.as_ref(),
            Self::Metrics => remote.metrics_endpoint.as_ref(),
            Self::Logs => remote.logs_endpoint.as_ref(),
        }
    }
}

/// Sends signed requests in one region. Clones, and what [`Aws::in_region`] gives, share
/// connections, credentials and what is known of the clock; a program needs one.
#[derive(Clone, Debug)]
pub struct Aws {
    client: Client,
    remote: Arc<Remote>,
    provider: Arc<Provider>,
    clock: Arc<Clock>,
    region: String,
}

impl Aws {
    /// `region` counts where none is configured.
    ///
    /// # Errors
    ///
    /// When the region is none, or the file with the profile's cannot be read.
    pub fn new(client: Client, remote: &Remote, region: Option<&str>) -> Result<Self, ClientError> {
        let configured = credentials::region(remote, &environment)?;
        let region = configured.as_deref().or(region).unwrap_or("us-east-1");
        let remote = Arc::new(remote.clone());
        let provider = Arc::new(Provider::new(remote.clone()));
        let clock = Arc::new(Clock::default());
        Self { client, remote, provider, clock, region: String::new() }.in_region(region)
    }

    /// The same in another region.
    ///
    /// # Errors
    ///
    /// When it is none: regions become parts of hosts' names.
    pub fn in_region(&self, region: &str) -> Result<Self, ClientError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match !region.is_empty() && region.len() <= 32 && region.bytes().all(fits) {
            true => Ok(Self { region: region.to_owned(), ..self.clone() }),
            false => Err(ClientError::Setting(format!("'{region}' is no region"))),
        }
    }

    /// The region that is asked.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether requests are not signed.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.remote.credentials == Credentials::Anonymous
    }

    /// The endpoint of a service without a slash at its end: configured, from the environment, or
    /// Amazon's own.
    #[must_use]
    pub fn endpoint(&self, service: Service) -> String {
        self.own_endpoint(service).unwrap_or_else(|| {
            let domain = match self.region.starts_with("cn-") {
                true => "amazonaws.com.cn",
                false => "amazonaws.com",
            };
            format!("https://{}.{}.{domain}", service.host(), self.region)
        })
    }

    fn own_endpoint(&self, service: Service) -> Option<String> {
        let named = || environment(&format!("AWS_ENDPOINT_URL_{}", service.variable()));
        let found = service.configured(&self.remote).cloned().or_else(named);
        let found = found.or_else(|| environment("AWS_ENDPOINT_URL"))?;
        Some(found.trim_end_matches('/').to_owned())
    }

    /// The URL of an object. In Amazon's own store the bucket stands in the host's name, unless it
    /// has a period in its own, for which no certificate is made.
    #[must_use]
    pub fn object_url(&self, bucket: &str, key: &str) -> String {
        let (base, key) = (self.endpoint(Service::S3), encoded(key));
        let in_path = || self.own_endpoint(Service::S3).is_some() || bucket.contains('.');
        match base.split_once("://") {
            Some((scheme, host)) if !self.remote.path_style.unwrap_or_else(in_path) => {
                format!("{scheme}://{bucket}.{host}/{key}")
            }
            _ => format!("{base}/{bucket}/{key}"),
        }
    }

    /// The credentials of this moment and where they are from; `None` where nobody signs.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn credentials(&self) -> Result<Option<Issued>, ClientError> {
        self.provider.get()
    }

    /// The time by which requests are signed: the device's, or the servers' where those have shown
    /// that it is wrong.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock.now().into()
    }

    /// Ends whatever is waited for and sent, now and later.
    pub fn stop(&self) {
        self.client.stop();
    }

    /// Signs with the credentials of this moment, as they may be for a limited time, and waits for
    /// the head of the answer, whatever its status. A request that is refused while the server's
    /// clock shows another time is signed again with that.
    ///
    /// # Errors
    ///
    /// When there are no credentials, or no answer.
    pub fn send(&self, request: &Request, service: Service) -> Result<Response, ClientError> {
        let response = self.send_once(request, service)?;
        let refused = matches!(response.status, 400 | 401 | 403) && !self.is_anonymous();
        match refused && self.clock.learn(&response) {
            true => self.send_once(request, service),
            false => Ok(response),
        }
    }

    fn send_once(&self, request: &Request, service: Service) -> Result<Response, ClientError> {
        let headers = match self.provider.get()? {
            Some(issued) => {
                let scope = Scope { region: &self.region, service: service.name() };
                sign(request, issued.keys(), scope, self.clock.now())
            }
            None => Vec::new(),
        };
        self.client.send_with(request, &headers)
    }

    /// Has the next request signed with other credentials, where there may be some.
    fn forget_credentials(&self) -> bool {
        self.provider.forget()
    }

    fn attempts(&self) -> u32 {
        self.remote.attempts.max(1)
    }

    fn wait(&self, time: Duration) -> Result<(), ClientError> {
        self.client.wait(time)
    }
}
