//! Which certificates are trusted, and who the device is.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, parse_pem};

use super::ClientError;
use crate::mqtt::{Identity, Pem};

/// A system's certificates are some 200 KiB.
const MOST_BYTES: u64 = 16 << 20;

/// The certificates of a file, else of the system. A system without any is no error before
/// something is asked for with TLS.
pub(super) fn roots(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, ClientError> {
    let Some(file) = file else {
        let found = rustls_native_certs::load_native_certs().certs;
        return Ok(found.iter().map(|found| Certificate::from_der(found).to_owned()).collect());
    };
    certificates("certificates", &Pem::File(file.to_owned()))
}

/// What proves who the device is.
pub(super) fn identity(identity: &Identity) -> Result<ClientCert, ClientError> {
    let chain = certificates("certificate", &identity.certificate)?;
    let refuse = |problem: &str| refusal("private key", &identity.key, problem);
    let pem = read("private key", &identity.key)?;
    let none = |_| {
        refuse(
            "it holds none that is not encrypted. Hint: in PEM it begins with BEGIN PRIVATE KEY, \
             BEGIN RSA PRIVATE KEY or BEGIN EC PRIVATE KEY",
        )
    };
    let key = PrivateKey::from_pem(&pem).map_err(|error| none(error.to_string()))?;
    // ureq takes it for granted that the two fit.
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| none(error.to_string()))?;
    let shown = chain.iter().map(|part| CertificateDer::from(part.der().to_vec())).collect();
    CertifiedKey::from_der(shown, der, &rustls::crypto::ring::default_provider())
        .map_err(|error| refuse(&format!("with its certificate: {error}")))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn certificates(what: &str, pem: &Pem) -> Result<Vec<Certificate<'static>>, ClientError> {
    let mut found = Vec::new();
    for item in parse_pem(&read(what, pem)?) {
        let item = item.map_err(|error| refusal(what, pem, &error.to_string()))?;
        if let PemItem::Certificate(certificate) = item {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        let problem = "it holds none. Hint: in PEM they begin with BEGIN CERTIFICATE";
        return Err(refusal(what, pem, problem));
    }
    Ok(found)
}

fn read(what: &str, pem: &Pem) -> Result<Vec<u8>, ClientError> {
    let file = match pem {
        Pem::Text(text) => return Ok(text.clone()),
        Pem::File(file) => file,
    };
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text));
    read.map_err(|error| refusal(what, pem, &error.to_string()))?;
    if text.len() as u64 > MOST_BYTES {
        let problem = format!("the file is larger than {} MiB", MOST_BYTES >> 20);
        return Err(refusal(what, pem, &problem));
    }
    Ok(text)
}

fn refusal(what: &str, pem: &Pem, problem: &str) -> ClientError {
    let place = match pem {
        Pem::File(file) => format!("in {}", file.display()),
        Pem::Text(_) => "that is given".to_owned(),
    };
    ClientError::Setting(format!("cannot use the {what} {place}: {problem}"))
}
