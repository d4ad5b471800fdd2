//! Which certificates are trusted.

use std::fs;
use std::path::Path;

use ureq::tls::{Certificate, PemItem, parse_pem};

use super::ClientError;

/// A system's certificates are some 200 KiB.
const MOST_BYTES: u64 = 16 << 20;

/// The certificates of a file, else of the system. A system without any is no error before
/// something is asked for with TLS.
pub(super) fn roots(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, ClientError> {
    let Some(file) = file else {
        let found = rustls_native_certs::load_native_certs().certs;
        return Ok(found.iter().map(|found| Certificate::from_der(found).to_owned()).collect());
    };
    let refuse = |problem: String| {
        ClientError::Setting(format!(
            "cannot use the certificates in {}: {problem}",
            file.display()
        ))
    };
    let bytes = fs::metadata(file).map_err(|error| refuse(error.to_string()))?.len();
    if bytes > MOST_BYTES {
        return Err(refuse(format!("the file is larger than {} MiB", MOST_BYTES >> 20)));
    }
    let pem = fs::read(file).map_err(|error| refuse(error.to_string()))?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(root) = item.map_err(|error| refuse(error.to_string()))? {
            roots.push(root);
        }
    }
    match roots.is_empty() {
        true => Err(refuse("it holds none. Hint: in PEM they begin with BEGIN CERTIFICATE".into())),
        false => Ok(roots),
    }
}
