//! Certificates and keys as people keep them, in PEM: who the device is, and who is believed.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Most bytes of a file: all authorities of a system take 250 KB.
const MOST_BYTES: u64 = 4 << 20;

/// A certificate or key in PEM. A file is read for each client, and of the connections to a broker
/// for each anew, so that a renewed one is used by the next.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// Where it lies.
    File(PathBuf),
    /// The text itself.
    Text(Vec<u8>),
}

/// What is shown of a text does not hold the key.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// Who the device is to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its certificate, and those between it and the authority.
    pub certificate: Pem,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: Pem,
}

/// A certificate or key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the {what} {place}: {problem}. Hint: {hint}")]
pub struct PemError {
    /// `certificate`, `private key` or `trusted certificates`.
    pub what: &'static str,
    /// Its file, or words for a text.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about that.
    pub hint: &'static str,
}

/// The certificates to trust: those of a file, else the system's, of which there may be none.
///
/// # Errors
/// When the file cannot be read or holds none.
pub(crate) fn trusted(file: Option<&Pem>) -> Result<Vec<CertificateDer<'static>>, PemError> {
    match file {
        Some(file) => file.certificates("trusted certificates"),
        None => Ok(rustls_native_certs::load_native_certs().certs),
    }
}

impl Identity {
    /// Certificates and key, which belong together as far as that can be told.
    ///
    /// # Errors
    /// When a file cannot be read, does not hold what it should, or the two do not belong together.
    pub(crate) fn read(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PemError> {
        let chain = self.certificate.certificates("certificate")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key.read("private key")?);
        let unusable = |problem: String| {
            let hint = "in PEM it begins with BEGIN PRIVATE KEY, BEGIN RSA PRIVATE KEY or BEGIN EC \
                        PRIVATE KEY, and has no password";
            self.key.error("private key", problem, hint)
        };
        let key = key.map_err(|error| unusable(format!("it holds none: {error}")))?;
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), provider) {
            Ok(_) => Ok((chain, key)),
            Err(rustls::Error::InconsistentKeys(_)) => {
                let problem = "it is not the key of the certificate".to_owned();
                let hint = "give the key that was made with this certificate";
                Err(self.key.error("private key", problem, hint))
            }
            Err(error) => Err(unusable(error.to_string())),
        }
    }
}

impl Pem {
    fn certificates(&self, what: &'static str) -> Result<Vec<CertificateDer<'static>>, PemError> {
        let text = self.read(what)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let problem = match found {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => "it holds none".to_owned(),
            Err(error) => error.to_string(),
        };
        let hint = "in PEM they stand between BEGIN CERTIFICATE and END CERTIFICATE";
        Err(self.error(what, problem, hint))
    }

    /// The text.
    ///
    /// # Errors
    /// When the file cannot be read, or is too large to be one.
    pub(crate) fn read(&self, what: &'static str) -> Result<Vec<u8>, PemError> {
        let path = match self {
            Self::Text(text) => return Ok(text.clone()),
            Self::File(path) => path,
        };
        let hint = "check the path, and that Sedge's user may read it";
        let mut text = Vec::new();
        let read = File::open(path).and_then(|it| it.take(MOST_BYTES + 1).read_to_end(&mut text));
        read.map_err(|error| self.error(what, error.to_string(), hint))?;
        if text.len() as u64 > MOST_BYTES {
            let problem = format!("the file is larger than {} MiB", MOST_BYTES >> 20);
            return Err(self.error(what, problem, hint));
        }
        Ok(text)
    }

    fn error(&self, what: &'static str, problem: String, hint: &'static str) -> PemError {
        let place = match self {
            Self::File(path) => format!("in {}", path.display()),
            Self::Text(_) => "that was given as text".to_owned(),
        };
        PemError { what, place, problem, hint }
    }
}
