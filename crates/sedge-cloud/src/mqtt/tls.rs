//! TLS by rustls: what is believed, who the client is, and what an error means.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};

use super::error::LinkError;
use super::settings::{Settings, Tls};
use crate::{PemError, pem};

/// Reads the files, which is done for each connection anew. Blocks.
pub(super) fn config(settings: &Settings, tls: &Tls) -> Result<Arc<ClientConfig>, LinkError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: Error| LinkError::Tls {
        broker: settings.host.clone(),
        problem: format!("cannot be talked to by TLS: {error}"),
        hint: "check certificate and key",
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots(tls)?);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.read(&provider)?;
            builder.with_client_auth_cert(chain, key).map_err(unusable)?
        }
    };
    config.alpn_protocols = settings.alpn();
    Ok(Arc::new(config))
}

fn roots(tls: &Tls) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(pem::trusted(tls.ca.as_ref())?);
    if taken > 0 {
        return Ok(roots);
    }
    let (place, hint) = match tls.ca {
        Some(_) => ("that were given", "give the authority's certificate"),
        None => ("of the system", "install the package ca-certificates, or set ca"),
    };
    let problem = "there are none that can be read".to_owned();
    Err(PemError { what: "trusted certificates", place: place.to_owned(), problem, hint })
}

/// What an error of a connection means, where it is one of TLS.
pub(super) fn explain(broker: &str, error: &io::Error) -> Option<LinkError> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let (problem, hint) = match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => alerted(*alert),
        Error::InvalidMessage(_) => (
            "does not speak TLS".to_owned(),
            "check the port: 8883 is the one with TLS, 1883 the one without",
        ),
        other => (format!("cannot be talked to by TLS: {other}"), "look into the broker's log"),
    };
    Some(LinkError::Tls { broker: broker.to_owned(), problem, hint })
}

/// What is wrong with the broker's certificate.
fn certificate(error: &CertificateError) -> (String, &'static str) {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => (
            "has a certificate that has expired".to_owned(),
            "check the clock of the device; if it is right, the broker needs a new certificate",
        ),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            ("has a certificate that is not valid yet".to_owned(), "check the clock of the device")
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => (
            "has a certificate for another name".to_owned(),
            "set the host as the certificate has it",
        ),
        E::UnknownIssuer => (
            "has a certificate of an authority that is not trusted".to_owned(),
            "set ca to the authority's certificate: for AWS IoT AmazonRootCA1.pem",
        ),
        other => (
            format!("has a certificate that cannot be used: {other}"),
            "look at it with `openssl s_client -connect HOST:PORT`",
        ),
    }
}

/// What the broker says of the client.
fn alerted(alert: AlertDescription) -> (String, &'static str) {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => {
            ("wants a certificate of the client".to_owned(), "set the device's certificate and key")
        }
        A::CertificateExpired => (
            "refuses the client's certificate: it has expired".to_owned(),
            "get a new certificate for the device",
        ),
        A::UnknownCA => (
            "refuses the client's certificate: it does not know its authority".to_owned(),
            "use a certificate that the broker's authority signed",
        ),
        A::BadCertificate
        | A::CertificateRevoked
        | A::CertificateUnknown
        | A::UnsupportedCertificate
        | A::AccessDenied
        | A::DecryptError => (
            format!("refuses the client's certificate ({alert:?})"),
            "check that it is the device's, registered and active",
        ),
        A::HandshakeFailure => (
            "ended the handshake".to_owned(),
            "the broker may want a certificate of the client: set certificate and key",
        ),
        A::NoApplicationProtocol => (
            "does not offer the protocol that was asked for (ALPN)".to_owned(),
            "check host and port: AWS IoT has x-amzn-mqtt-ca on 443",
        ),
        A::UnrecognisedName => (
            "does not know the name it was called by".to_owned(),
            "set the host to the broker's own name",
        ),
        other => (format!("ended the handshake ({other:?})"), "look into the broker's log"),
    }
}
