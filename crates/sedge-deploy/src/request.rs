//! What is asked of an installation, and what comes of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sedge_package::{Origin, Package};
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::store::Hold;
use crate::{DeployError, Remote, Source, Version};

/// A model that is to be installed.
#[derive(Clone, Debug)]
pub struct InstallRequest {
    /// Where it comes from.
    pub source: Source,
    /// The sha256 that the file of the source has to have, 64 hex digits. A directory has none.
    pub sha256: Option<String>,
    /// Whether a URL without `sha256` may give another file than the first time. Without it, the
    /// first file's digest is what later ones are held to.
    pub accept_changed: bool,
    /// Whether a version is tried again that was found bad, and an unchanged one fetched again.
    pub force: bool,
    /// Settings laid over the package's, as for [`Package::open`].
    pub overrides: Vec<(String, Value, Origin)>,
    /// How large it may be.
    pub limits: Limits,
    /// How it is reached, when it is remote.
    pub remote: Remote,
}

impl InstallRequest {
    /// A request that gives nothing but the source.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            sha256: None,
            accept_changed: false,
            force: false,
            overrides: Vec::new(),
            limits: Limits::default(),
            remote: Remote::default(),
        }
    }
}

/// How large a model may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file that is fetched.
    pub download_bytes: u64,
    /// Bytes of the package's files, unpacked.
    pub package_bytes: u64,
}

impl Default for Limits {
    /// 4 GiB each, what an archive may unpack to at most.
    fn default() -> Self {
        Self { download_bytes: 4 << 30, package_bytes: 4 << 30 }
    }
}

/// How far an installation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Bytes done of this step.
    pub bytes: u64,
    /// Bytes of this step, where they are known.
    pub total: Option<u64>,
}

/// What an installation does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fetching the file or copying the files.
    Fetch,
    /// Unpacking an archive.
    Unpack,
    /// Hashing the files and putting them into the store.
    Store,
}

/// Whether a package may enter the store, and who vouches for it: whose signature it has. Called
/// with the opened package and the directory that holds all of its files; the text says why not.
pub type Check<'a> = dyn Fn(&Package, &Path) -> Result<Vec<String>, String> + 'a;

/// Whether those who vouched for a version when it came are enough for it to be used today.
pub type Trusted<'a> = dyn Fn(&[String]) -> bool + 'a;

/// How the caller takes part in an installation. All are called on the installing thread.
#[derive(Clone, Copy)]
pub struct Hooks<'a> {
    /// Hears how far it is, every few hundred KiB.
    pub progress: &'a dyn Fn(Progress),
    /// Ends the installation soon after it is set.
    pub cancel: &'a AtomicBool,
    /// Refuses packages, for example without a signature.
    pub check: &'a Check<'a>,
    /// Versions in the store for which this does not hold are fetched and checked anew.
    pub trusted: &'a Trusted<'a>,
}

static NEVER: AtomicBool = AtomicBool::new(false);

impl Default for Hooks<'_> {
    /// Hears nothing, never cancels, refuses nothing.
    fn default() -> Self {
        Self {
            progress: &|_| {},
            cancel: &NEVER,
            check: &|_, _| Ok(Vec::new()),
            trusted: &|_| true,
        }
    }
}

impl fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

impl Hooks<'_> {
    pub(crate) fn report(
        &self,
        step: Step,
        bytes: u64,
        total: Option<u64>,
    ) -> Result<(), DeployError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(DeployError::Cancelled);
        }
        (self.progress)(Progress { step, bytes, total });
        Ok(())
    }
}

/// The file or directory that a source had, as far as the source tells it apart from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    /// Its size in bytes; of a directory, all files of the package.
    pub bytes: u64,
    /// sha256 of a file, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What the server calls this content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When the server says it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Of local files: a digest over their names, sizes, times and inodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Of a local model file: the files beside it that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<PathBuf>,
}

/// What an installation would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether the source has something else than the version that runs.
    pub changed: bool,
    /// Bytes that would be fetched, where the source tells.
    pub download_bytes: Option<u64>,
    /// Bytes that this takes on the disk at least; an archive unpacks to more.
    pub disk_bytes: Option<u64>,
    /// Bytes that models may still take on the disk.
    pub usable_bytes: u64,
}

/// What came of an installation.
#[derive(Debug)]
pub enum Installed {
    /// The source still has what runs.
    Unchanged(Version),
    /// A version to be tried, then committed or discarded.
    Candidate(Candidate),
}

/// A version that is whole in the store and not in use. The store keeps its files as long as this
/// lives; forgotten, they go when the store is next cleaned.
#[derive(Debug)]
pub struct Candidate {
    /// What it would become; the number is only settled when it is committed.
    pub version: Version,
    /// The service it is for.
    pub service: String,
    /// What to open: see [`Package::open`].
    pub path: PathBuf,
    pub(crate) _hold: Hold,
}
