//! From a source to files in a staging directory.

mod download;
mod local;
mod pace;
mod part;
mod s3;
mod sagemaker;
mod site;
mod url;

use std::path::{Path, PathBuf};

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
    request: &InstallRequest,
    known: Option<&Artefact>,
    hooks: &Hooks<'_>,
) -> Result<Seen, DeployError> {
    match &request.source {
        Source::Path(path) => local::check(path, known),
        _ => site::Site::new(request)?.check(known, hooks),
    }
}

/// Fetches what a source has into the directory `staging`.
pub(crate) fn fetch(
    store: &Store,
    request: &InstallRequest,
    staging: &Path,
    hooks: &Hooks<'_>,
) -> Result<Fetched, DeployError> {
    match &request.source {
        Source::Path(path) => local::fetch(path, request, staging, hooks),
        _ => download::download(store, &site::Site::new(request)?, request, staging, hooks),
    }
}
