//! Which certificates are trusted, and who the device is, in the types of `ureq`.

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, ClientCert, PrivateKey};

use super::ClientError;
use crate::{Identity, Pem, pem};

/// The certificates of a file, else of the system. A system without any is no error before
/// something is asked for with TLS.
pub(super) fn roots(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, ClientError> {
    let file = file.map(|file| Pem::File(file.to_owned()));
    let found = pem::trusted(file.as_ref())?;
    Ok(found.iter().map(|found| Certificate::from_der(found).to_owned()).collect())
}

/// What proves who the device is; `ureq` takes it for granted that the two belong together.
pub(super) fn identity(identity: &Identity) -> Result<ClientCert, ClientError> {
    let (chain, _) = identity.read(&Arc::new(rustls::crypto::ring::default_provider()))?;
    let chain: Vec<_> = chain.iter().map(|part| Certificate::from_der(part).to_owned()).collect();
    // `ureq` does not export the kinds of keys, so that it has to read the text itself.
    let key = PrivateKey::from_pem(&identity.key.read("private key")?)
        .map_err(|error| ClientError::Setting(error.to_string()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}
