use std::io;

use rustls::AlertDescription as Alert;
use ureq::Error;

use crate::PemError;

/// Why something could not be fetched. URLs are told without what follows a question mark, which
/// may be secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// There was no connection to the server.
    #[error("cannot reach {}: {problem}", bare(.url))]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened.
        problem: String,
    },
    /// The server, or a proxy, could not prove who it is.
    #[error(
        "{} cannot prove who it is: {problem}. Hint: check the clock of the device; name the \
         certificates of one's own authority with ca_file",
        bare(.url)
    )]
    Tls {
        /// What was asked for.
        url: String,
        /// What is wrong with its certificate.
        problem: String,
    },
    /// The server does not accept who the device is.
    #[error(
        "{} does not accept who this device is: {problem}. Hint: check the device's certificate \
         and private key; the certificate has to be known there, and active",
        bare(.url)
    )]
    Certificate {
        /// What was asked for.
        url: String,
        /// What the server says of the certificate, or that there is none.
        problem: String,
    },
    /// The server sent nothing, or next to nothing, for too long.
    #[error("{} has sent too little for too long: {problem}", bare(.url))]
    Stalled {
        /// What was asked for.
        url: String,
        /// How little for how long.
        problem: String,
    },
    /// The connection ended before all was there.
    #[error("{} ended after {got} bytes{}", bare(.url), of(.size))]
    Truncated {
        /// What was asked for.
        url: String,
        /// Bytes that arrived, of this and earlier attempts.
        got: u64,
        /// Bytes that were announced.
        size: Option<u64>,
    },
    /// An answer that is a refusal.
    #[error("{} answered {status}: {problem}", bare(.url))]
    Status {
        /// What was asked for.
        url: String,
        /// The status of the answer.
        status: u16,
        /// What the server says, and what to do.
        problem: String,
    },
    /// An answer that cannot be used.
    #[error("{} gave no usable answer: {problem}", bare(.url))]
    Response {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A setting that cannot be used, until somebody mends it.
    #[error("{0}")]
    Setting(String),
    /// What nobody can be asked, whatever the settings.
    #[error("{0}")]
    Request(String),
    /// What was to be sent cannot be read.
    #[error("cannot read what is to be sent: {0}")]
    Body(String),
    /// The caller gave up.
    #[error("it was cancelled")]
    Cancelled,
    /// There are no credentials, or none that can be used.
    #[error("{0}")]
    Credentials(String),
}

impl From<PemError> for ClientError {
    fn from(error: PemError) -> Self {
        Self::Setting(error.to_string())
    }
}

fn bare(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

fn of(size: &Option<u64>) -> String {
    size.map_or_else(String::new, |size| format!(" of {size}. What arrived is kept for next time"))
}

impl ClientError {
    /// Whether it may pass by itself.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::Truncated { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    pub(super) fn new(url: &str, error: Error) -> Self {
        let (url, problem) = (url.to_owned(), error.to_string());
        if is_alert(&error) {
            return Self::Certificate { url, problem };
        }
        match error {
            Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect)
            | Error::HostNotFound
            | Error::ConnectionFailed
            | Error::ConnectProxyFailed(_) => Self::Unreachable { url, problem },
            Error::Timeout(_) => Self::Stalled { url, problem },
            Error::Rustls(_) | Error::Tls(_) | Error::Pem(_) => Self::Tls { url, problem },
            Error::Io(error) => Self::io(url, &error),
            _ => Self::Response { url, problem },
        }
    }

    pub(super) fn from_io(url: &str, error: io::Error) -> Self {
        // The library wraps its own errors where the standard library wants others.
        Self::new(url, Error::from(error))
    }

    fn io(url: String, error: &io::Error) -> Self {
        let problem = error.to_string();
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Stalled { url, problem },
            // The certificate's faults come wrapped in the handshake's.
            io::ErrorKind::InvalidData => Self::Tls { url, problem },
            _ => Self::Unreachable { url, problem },
        }
    }
}

/// Whether the server has ended the handshake for who the device is, or is not.
fn is_alert(error: &Error) -> bool {
    let inner = match error {
        Error::Rustls(error) => Some(error),
        Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::UnknownCA
                | Alert::AccessDenied
        ))
    )
}
