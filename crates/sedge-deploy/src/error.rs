use std::io;
use std::path::{Path, PathBuf};

use sedge_package::{NameError, PackageError};

use crate::{ClientError, SourceError};

/// Why a model did not arrive, or the store could not be used. Whatever it is, the versions that
/// were there before are still there.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A source that is none.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A name that no service can have.
    #[error(transparent)]
    Service(#[from] NameError),
    /// Another process has the store.
    #[error(
        "the store {root} is in use by the process {pid}. \
         Hint: stop that one first, or give another root"
    )]
    Locked {
        /// The root that was to be opened.
        root: PathBuf,
        /// The other process, as it wrote itself down.
        pid: String,
    },
    /// The system refused something.
    #[error("cannot {act} {path}: {error}")]
    Io {
        /// What was being done, as a verb.
        act: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A package that cannot be opened, or an archive that cannot be unpacked.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The caller's check refused the package.
    #[error("{origin} is refused: {problem}")]
    Refused {
        /// Where it came from.
        origin: String,
        /// The check's words.
        problem: String,
    },
    /// A request that contradicts itself or its source.
    #[error("{0}")]
    Request(String),
    /// Other bytes than were asked for.
    #[error(
        "{origin} is not the file that was asked for: its sha256 is {actual}, not {expected}. \
         Hint: {hint}"
    )]
    Checksum {
        /// Where it came from.
        origin: String,
        /// 64 hex digits.
        expected: String,
        /// 64 hex digits.
        actual: String,
        /// What to do, which depends on who said the expected one.
        hint: &'static str,
    },
    /// More bytes than are allowed.
    #[error("{origin} is {bytes} bytes large, more than the {limit} that are allowed")]
    TooLarge {
        /// Where it came from.
        origin: String,
        /// Its size, or how much of it was seen.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A disk that is too full.
    #[error(
        "{path} has {free} bytes free for models, at least {needed} are needed. \
         Hint: keep fewer versions, or give a root on a larger disk"
    )]
    NoSpace {
        /// Where it would be kept.
        path: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that may be used: what is free without the reserve.
        free: u64,
    },
    /// A version that was tried and found bad is asked for again.
    #[error(
        "{origin} is version {number} of {service}, which was found bad: {reason}. \
         Hint: put another model there, or force its installation"
    )]
    KnownBad {
        /// Where it came from.
        origin: String,
        /// The service.
        service: String,
        /// Number of the version.
        number: u64,
        /// What was wrong with it.
        reason: String,
    },
    /// There is no version to go back to.
    #[error("{0} has no earlier good version to go back to")]
    NoPrevious(String),
    /// A history that cannot be read.
    #[error(
        "the history {path} is damaged: {problem}. \
         Hint: move the file away and install the service again"
    )]
    History {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A remote source that cannot be asked, or does not give the file.
    #[error(transparent)]
    Transfer(#[from] ClientError),
    /// The caller gave up.
    #[error("the installation was cancelled")]
    Cancelled,
}

/// Turns the system's refusal into an error that says what was being done.
pub(crate) fn io_error(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DeployError {
    let path = path.to_owned();
    move |error| DeployError::Io { act, path, error }
}
