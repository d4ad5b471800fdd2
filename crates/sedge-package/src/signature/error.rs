use std::io;
use std::path::PathBuf;

use crate::PackageError;

/// Why a package's signature was refused, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// No `model.sig`, where one is required.
    #[error("it is not signed. Hint: `sedge package sign` signs a package")]
    Unsigned,
    /// Signed by nobody who is trusted, where that is required.
    #[error(
        "it is signed by {0}, which is not trusted. Hint: trust that key's .pub file, if it is \
         whose you expect"
    )]
    UnknownSigner(String),
    /// A signature that its key did not make over this list.
    #[error(
        "the signature of key {key} ({name}) is broken: model.sig was changed after it was made"
    )]
    Broken {
        /// Id of the key.
        key: String,
        /// What the key is trusted as.
        name: String,
    },
    /// A line of `model.sig` that is not as it has to be.
    #[error("model.sig, line {line}: {problem}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A `model.sig` beyond the limits.
    #[error("model.sig: {0}")]
    List(String),
    /// A name that no file of a signed package may have.
    #[error("'{path}' {problem}")]
    Path {
        /// As far as it can be written.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file that nobody signed.
    #[error("'{0}' is not among the signed files")]
    Unlisted(String),
    /// A signed file that is not there.
    #[error("'{0}' is signed, but missing")]
    Missing(String),
    /// A file of another size than the signed one.
    #[error("'{path}' has {found} bytes; {signed} were signed")]
    Size {
        /// The file.
        path: String,
        /// Bytes that were signed.
        signed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A file of another content than the signed one.
    #[error("'{0}' was changed after it was signed")]
    Content(String),
    /// A directory without a manifest, which is not signed.
    #[error(
        "{0} holds no package with a model.toml. \
         Hint: `sedge package create MODEL -o PACKAGE` makes one of any model"
    )]
    NotAPackage(PathBuf),
    /// A key that cannot be used.
    #[error("{key}: {problem}")]
    Key {
        /// The file, or the entry of the trust list.
        key: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The system's refusal.
    #[error("cannot {act} {path}: {error}")]
    System {
        /// `read` or `write`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A file of the package that cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl SignatureError {
    pub(super) fn reading(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        |error| Self::System { act: "read", path: path.into(), error }
    }

    pub(super) fn writing(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        |error| Self::System { act: "write", path: path.into(), error }
    }
}
