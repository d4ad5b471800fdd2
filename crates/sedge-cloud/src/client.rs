//! HTTP as Sedge uses it: one exchange at a time, bounded in time and size, with the system's or
//! given certificates. The library behind it is named nowhere else.

mod body;
mod error;
mod tls;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::tls::{ClientCert, RootCerts, TlsConfig};
use ureq::{Agent, Proxy, SendBody, http};

pub use body::Body;
use body::{Bandwidth, Sending};
pub use error::ClientError;

use crate::{Identity, Remote};

/// Most bytes of an answer's headers, and of answers that are read as text.
const MOST_HEADER_BYTES: usize = 64 << 10;
const MOST_TEXT_BYTES: u64 = 1 << 20;

/// Larger bodies are sent when the server has seen the request's head and wants them. Smaller ones
/// fit into what the system sends by itself; of larger ones a refusal would break off the
/// connection before it is read.
const LARGE_BYTES: u64 = 64 << 10;

/// Sends requests. Connections are kept for the next request to the same server; clones share
/// them, the bandwidth, and being stopped.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    patience: Duration,
    bandwidth: Option<Arc<Bandwidth>>,
    stopped: Arc<AtomicBool>,
}

/// A request. Everything in it is ready to be sent: the URL is encoded.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `PUT`, ...
    pub method: &'static str,
    /// The whole URL.
    pub url: String,
    /// Names and values; lengths and what belongs to the connection are added when it is sent.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// What is sent with it.
    pub body: Body,
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: &'static str, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: Body::None }
    }

    /// Asks for what is at a URL.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// Sends something to a URL.
    #[must_use]
    pub fn post(url: impl Into<String>, body: impl Into<Body>) -> Self {
        Self { body: body.into(), ..Self::new("POST", url) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds headers.
    #[must_use]
    pub fn headers(self, headers: &[(&'static str, String)]) -> Self {
        headers.iter().fold(self, |request, (name, value)| request.header(*name, value))
    }
}

/// An answer of any status whose body has not been read.
#[derive(Debug)]
pub struct Response {
    /// The status: 200, 404, ...
    pub status: u16,
    /// What was asked for.
    pub url: String,
    head: http::HeaderMap,
    body: ureq::Body,
    patience: Duration,
}

impl Response {
    /// The value of a header that is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)?.to_str().ok()
    }

    /// All headers that are text, with names in lower case; several of one name are joined by
    /// commas.
    #[must_use]
    pub fn headers(&self) -> BTreeMap<String, String> {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &self.head {
            let Ok(value) = value.to_str() else { continue };
            let before = headers.entry(name.as_str().to_owned()).or_default();
            if !before.is_empty() {
                before.push_str(", ");
            }
            before.push_str(value);
        }
        headers
    }

    /// The whole body as text, when it is short; of a longer one the first MiB.
    ///
    /// # Errors
    ///
    /// When the connection ends before, or the server takes too long for so little.
    pub fn text(&mut self) -> Result<String, ClientError> {
        let (mut bytes, started) = (Vec::new(), Instant::now());
        let mut buffer = [0; 4096];
        loop {
            let count = self.read(&mut buffer)?;
            bytes.extend_from_slice(&buffer[..count]);
            if count == 0 || bytes.len() as u64 >= MOST_TEXT_BYTES {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            if started.elapsed() > self.patience {
                let problem = format!("{} bytes in {:.1?}", bytes.len(), started.elapsed());
                return Err(ClientError::Stalled { url: self.url.clone(), problem });
            }
        }
    }

    /// The body as it arrives; 0 at its end.
    ///
    /// # Errors
    ///
    /// When the connection ends before, or nothing comes for too long.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        let read = self.body.as_reader().read(buffer);
        read.map_err(|error| ClientError::from_io(&self.url, error))
    }
}

impl Client {
    /// A client for what is configured.
    ///
    /// # Errors
    ///
    /// When the proxy is none, or the file of certificates cannot be used.
    pub fn new(remote: &Remote) -> Result<Self, ClientError> {
        Self::with_identity(remote, None)
    }

    /// A client that can prove who it is.
    pub(crate) fn with_identity(
        remote: &Remote,
        identity: Option<&Identity>,
    ) -> Result<Self, ClientError> {
        let certificate = identity.map(tls::identity).transpose()?;
        let proxy = match remote.proxy.as_deref() {
            None => Proxy::try_from_env(),
            Some("") => None,
            Some(url) => Some(Proxy::new(url).map_err(|error| {
                ClientError::Setting(format!("'{url}' is no URL of a proxy: {error}"))
            })?),
        };
        let roots = tls::roots(remote.ca_file.as_deref())?;
        Ok(Self::build(remote, proxy, RootCerts::new_with_certs(&roots), certificate))
    }

    /// A client for addresses of this machine, which no proxy reaches.
    pub(crate) fn direct(remote: &Remote) -> Self {
        Self::build(remote, None, RootCerts::new_with_certs(&[]), None)
    }

    /// Ends whatever is waited for and sent through this client and its clones, now and later.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Sleeps, unless it is stopped.
    pub(crate) fn wait(&self, time: Duration) -> Result<(), ClientError> {
        crate::wait(time, &self.stopped)
    }

    fn build(
        remote: &Remote,
        proxy: Option<Proxy>,
        roots: RootCerts,
        certificate: Option<ClientCert>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(roots)
            .client_cert(certificate)
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
        Self {
            agent: config.build().into(),
            patience: remote.progress_timeout,
            bandwidth: remote.max_upload_bytes_per_s.map(Bandwidth::new).map(Arc::new),
            stopped: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Sends a request and waits for the head of the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// When there is no answer, or the body cannot be read.
    pub fn send(&self, request: &Request) -> Result<Response, ClientError> {
        self.send_with(request, &[])
    }

    /// Sends a request with further headers.
    pub(crate) fn send_with(
        &self,
        request: &Request,
        headers: &[(&'static str, String)],
    ) -> Result<Response, ClientError> {
        let mut builder = http::Request::builder().method(request.method).uri(&request.url);
        // The bytes are wanted as they are kept, whose digest and size are known.
        builder = builder.header("accept-encoding", "identity");
        let own = request.headers.iter().map(|(name, value)| (name.as_ref(), value));
        for (name, value) in own.chain(headers.iter().map(|(name, value)| (*name, value))) {
            builder = builder.header(name, value);
        }
        let size = request.body.len();
        if size >= LARGE_BYTES {
            builder = builder.header("expect", "100-continue");
        }
        let mut sending =
            Sending::new(&request.body, self.bandwidth.as_deref(), &self.stopped, self.patience)?;
        let url = request.url.clone();
        let answer = match &request.body {
            Body::None => self.exchange(builder, SendBody::none(), &url),
            _ => {
                let builder = builder.header("content-length", size);
                self.exchange(builder, SendBody::from_reader(&mut sending), &url)
            }
        };
        let (head, body) = answer.map_err(|error| match sending.fault.take() {
            Some(ClientError::Stalled { problem, .. }) => {
                ClientError::Stalled { url: url.clone(), problem }
            }
            fault => fault.unwrap_or(error),
        })?;
        let (status, head, patience) = (head.status.as_u16(), head.headers, self.patience);
        Ok(Response { status, url, head, body, patience })
    }

    fn exchange(
        &self,
        builder: http::request::Builder,
        body: SendBody<'_>,
        url: &str,
    ) -> Result<(http::response::Parts, ureq::Body), ClientError> {
        let request = builder.body(body).map_err(|error| ClientError::Response {
            url: url.to_owned(),
            problem: error.to_string(),
        })?;
        let answer = self.agent.run(request).map_err(|error| ClientError::new(url, error))?;
        Ok(answer.into_parts())
    }
}
