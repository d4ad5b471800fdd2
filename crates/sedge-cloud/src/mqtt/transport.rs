//! A connection to the broker's port, encrypted or not.

use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::error::{LinkError, connecting};
use super::settings::{Settings, Tls};
use super::tls;

/// Bytes to the broker and back.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects within the operation timeout.
pub(super) async fn connect(
    settings: &Settings,
    broker: &str,
) -> Result<Box<dyn Stream>, LinkError> {
    let deadline = Instant::now() + settings.operation_timeout;
    let stream = reach(settings, broker, deadline).await?;
    // Acknowledgements are small, and the next publish waits for them.
    let _ = stream.set_nodelay(true);
    match &settings.tls {
        None => Ok(Box::new(stream)),
        Some(tls) => encrypt(settings, tls, broker, stream, deadline).await,
    }
}

/// Tries the host's addresses one after the other, each for its part of the time.
async fn reach(
    settings: &Settings,
    broker: &str,
    deadline: Instant,
) -> Result<TcpStream, LinkError> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let addresses: Vec<SocketAddr> = match settings.address {
        Some(address) => vec![address],
        None => timeout_at(deadline, lookup_host((name(settings), settings.port)))
            .await
            .unwrap_or_else(|_| Err(late()))
            .map_err(|error| LinkError::Address { host: settings.host.clone(), error })?
            .collect(),
    };
    let mut problem = io::Error::other("its name has no address");
    for (at, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - at) as u32;
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => problem = error,
            Err(_) => problem = late(),
        }
    }
    Err(connecting(broker, problem))
}

/// The host without the brackets in which an address of version 6 may stand.
fn name(settings: &Settings) -> &str {
    settings.host.trim_start_matches('[').trim_end_matches(']')
}

async fn encrypt(
    settings: &Settings,
    tls: &Tls,
    broker: &str,
    stream: TcpStream,
    deadline: Instant,
) -> Result<Box<dyn Stream>, LinkError> {
    let (copy, chosen) = (settings.clone(), tls.clone());
    let config = tokio::task::spawn_blocking(move || tls::config(&copy, &chosen))
        .await
        .map_err(|error| connecting(broker, io::Error::other(error)))??;
    let name = ServerName::try_from(name(settings).to_owned())
        .map_err(|error| connecting(broker, io::Error::other(error)))?;
    let handshake = TlsConnector::from(config).connect(name, stream);
    match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(tls::explain(broker, &error).unwrap_or_else(|| LinkError::Closed {
            broker: broker.to_owned(),
            when: "during the TLS handshake",
            problem: error.to_string(),
            hint: "check that this port has TLS, and that the broker takes the certificate",
        })),
        Err(_) => Err(LinkError::Silent {
            broker: broker.to_owned(),
            what: "the TLS handshake",
            waited: settings.operation_timeout,
        }),
    }
}
