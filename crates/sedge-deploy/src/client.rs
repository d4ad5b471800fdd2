//! HTTP as Sedge uses it: one exchange at a time, bounded in time and size, with the system's or
//! given certificates. The library behind it is named nowhere else.

pub(crate) mod container;
pub(crate) mod credentials;
mod error;
pub(crate) mod profile;
pub(crate) mod sign;
mod tls;

use std::io::Read;
use std::sync::Arc;

use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Proxy, SendBody, http};

pub use error::ClientError;

use crate::Remote;

/// Most bytes of an answer's headers, and of answers that are read as text.
const MOST_HEADER_BYTES: usize = 64 << 10;
pub(crate) const MOST_TEXT_BYTES: u64 = 1 << 20;

/// Sends requests. Connections are kept for the next request to the same server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
}

/// A request. Everything in it is ready to be sent: the URL is encoded.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn get(url: impl Into<String>) -> Self {
        Self { method: "GET", url: url.into(), headers: Vec::new(), body: None }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer of any status whose body has not been read.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) url: String,
    head: http::HeaderMap,
    body: ureq::Body,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)?.to_str().ok()
    }

    /// The whole body as text, when it is short; errors are told by as much as there is.
    pub(crate) fn text(&mut self) -> Result<String, ClientError> {
        let mut bytes = Vec::new();
        let read = self.body.as_reader().take(MOST_TEXT_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| ClientError::from_io(&self.url, error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The body as it arrives.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        let read = self.body.as_reader().read(buffer);
        read.map_err(|error| ClientError::from_io(&self.url, error))
    }
}

impl Client {
    /// A client for what is configured.
    pub(crate) fn new(remote: &Remote) -> Result<Self, ClientError> {
        let proxy = match remote.proxy.as_deref() {
            None => Proxy::try_from_env(),
            Some("") => None,
            Some(url) => Some(Proxy::new(url).map_err(|error| {
                ClientError::Setting(format!("'{url}' is no URL of a proxy: {error}"))
            })?),
        };
        let roots = tls::roots(remote.ca_file.as_deref())?;
        Ok(Self::build(remote, proxy, RootCerts::new_with_certs(&roots)))
    }

    /// A client for addresses of this machine, which no proxy reaches.
    pub(crate) fn direct(remote: &Remote) -> Self {
        Self::build(remote, None, RootCerts::new_with_certs(&[]))
    }

    fn build(remote: &Remote, proxy: Option<Proxy>, roots: RootCerts) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(roots)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy)
            .http_status_as_error(false)
            // What may be followed where is not the same for all sources.
            .max_redirects(0)
            .user_agent(concat!("sedge/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(MOST_HEADER_BYTES)
            .timeout_resolve(Some(remote.connect_timeout))
            .timeout_connect(Some(remote.connect_timeout))
            .timeout_send_request(Some(remote.progress_timeout))
            .timeout_recv_response(Some(remote.progress_timeout))
            .timeout_per_read(Some(remote.progress_timeout))
            .timeout_per_write(Some(remote.progress_timeout));
        Self { agent: config.build().into() }
    }

    /// Sends a request and waits for the head of the answer, whatever its status.
    pub(crate) fn send(&self, request: &Request) -> Result<Response, ClientError> {
        match &request.body {
            Some(body) => self.exchange(request, body.as_slice()),
            None => self.exchange(request, SendBody::none()),
        }
    }

    fn exchange(&self, request: &Request, body: impl AsSendBody) -> Result<Response, ClientError> {
        let mut builder = http::Request::builder().method(request.method).uri(&request.url);
        // The bytes are wanted as they are kept, whose digest and size are known.
        builder = builder.header("accept-encoding", "identity");
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let built = builder.body(body).map_err(|error| ClientError::Response {
            url: request.url.clone(),
            problem: error.to_string(),
        })?;
        let answer =
            self.agent.run(built).map_err(|error| ClientError::new(&request.url, error))?;
        let (head, body) = answer.into_parts();
        let url = request.url.clone();
        Ok(Response { status: head.status.as_u16(), url, head: head.headers, body })
    }
}
