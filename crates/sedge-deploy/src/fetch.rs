//! From a source to files in a staging directory.

mod local;

use std::path::PathBuf;

use crate::request::Hooks;
use crate::{Artefact, DeployError, InstallRequest, Source, Store};

/// What a source has, compared with what was known of it.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The same.
    Unchanged,
    /// Something else; its size where the source tells it.
    Changed(Option<u64>),
}

/// What was fetched into a staging directory.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// What to open: an archive, a directory, or a model file.
    pub(crate) path: PathBuf,
    pub(crate) artefact: Artefact,
}

/// Asks a source whether it still has the artefact that is known of it.
pub(crate) fn check(
    _store: &Store,
    request: &InstallRequest,
    known: Option<&Artefact>,
) -> Result<Seen, DeployError> {
    match &request.source {
        Source::Path(path) => local::check(path, known),
        other => Err(not_here(other)),
    }
}

/// Fetches what a source has into the directory `staging`.
pub(crate) fn fetch(
    _store: &Store,
    request: &InstallRequest,
    staging: &std::path::Path,
    hooks: &Hooks<'_>,
) -> Result<Fetched, DeployError> {
    match &request.source {
        Source::Path(path) => local::fetch(path, request, staging, hooks),
        other => Err(not_here(other)),
    }
}

fn not_here(source: &Source) -> DeployError {
    DeployError::Request(format!("{source} is not on this device, and nothing else is fetched"))
}
