//! TLS by rustls: what is believed, who the client is, and what an error means.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};

use super::error::{LinkError, place_of};
use super::settings::{Pem, Settings, Tls};

/// Most bytes of a certificate's or key's file: all authorities of a system take 250 KB.
const MOST_PEM_BYTES: u64 = 4 << 20;

/// Reads the files, which is done for each connection anew. Blocks.
pub(super) fn config(settings: &Settings, tls: &Tls) -> Result<Arc<ClientConfig>, LinkError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = roots(tls.ca.as_ref())?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| pem_error("authorities", None, error.to_string()))?
        .with_root_certificates(roots);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.certificate, "certificate")?;
            let (text, place) = text(&identity.key, "key")?;
            let key = PrivateKeyDer::from_pem_slice(&text)
                .map_err(|error| pem_error("key", place, error.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                Error::InconsistentKeys(_) => LinkError::Pem {
                    what: "key",
                    place: place_of(place),
                    problem: "it is not the key of the certificate".to_owned(),
                    hint: "give the key that was made with this certificate",
                },
                error => pem_error("key", place, error.to_string()),
            })?
        }
    };
    config.alpn_protocols = settings.alpn();
    Ok(Arc::new(config))
}

fn roots(ca: Option<&Pem>) -> Result<RootCertStore, LinkError> {
    let mut roots = RootCertStore::empty();
    let (found, place) = match ca {
        Some(pem) => (certificates(pem, "authorities")?, path(pem)),
        None => (rustls_native_certs::load_native_certs().certs, None),
    };
    let (taken, _) = roots.add_parsable_certificates(found);
    if taken == 0 {
        let (place, hint) = match ca {
            Some(_) => (place_of(place), "give the authority's certificate in PEM"),
            None => ("of the system".to_owned(), "install the package ca-certificates, or set ca"),
        };
        let problem = "there are none".to_owned();
        return Err(LinkError::Pem { what: "authorities", place, problem, hint });
    }
    Ok(roots)
}

fn certificates(pem: &Pem, what: &'static str) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let (text, place) = text(pem, what)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(pem_error(what, place, "there is no certificate in it".to_owned()))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(pem_error(what, place, error.to_string())),
    }
}

fn text<'a>(
    pem: &'a Pem,
    what: &'static str,
) -> Result<(Vec<u8>, Option<&'a std::path::PathBuf>), LinkError> {
    match pem {
        Pem::Text(text) => Ok((text.clone(), None)),
        Pem::File(path) => {
            let mut text = Vec::new();
            let read = std::fs::File::open(path).and_then(|file| {
                io::Read::read_to_end(&mut io::Read::take(file, MOST_PEM_BYTES), &mut text)
            });
            read.map_err(|error| LinkError::Pem {
                what,
                place: path.display().to_string(),
                problem: error.to_string(),
                hint: "check the path, and that Sedge's user may read it",
            })?;
            Ok((text, Some(path)))
        }
    }
}

fn path(pem: &Pem) -> Option<&std::path::PathBuf> {
    match pem {
        Pem::File(path) => Some(path),
        Pem::Text(_) => None,
    }
}

fn pem_error(what: &'static str, place: Option<&std::path::PathBuf>, problem: String) -> LinkError {
    let hint = "it has to be PEM: text between BEGIN and END lines; a key without password";
    LinkError::Pem { what, place: place_of(place), problem, hint }
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
