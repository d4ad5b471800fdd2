//! Files that are no package: what functions use, and nobody here opens.

use std::path::{Path, PathBuf};

use sedge_cloud::Utc;
use sedge_package::{files_below, identity_of};

use crate::error::io_error;
use crate::fetch::{self, Fetched, Seen};
use crate::install::{hold_to, validate};
use crate::request::Hooks;
use crate::store::disk;
use crate::{DeployError, InstallRequest, State, Store, Version};

impl Store {
    /// Fetches what the source has and puts all of it into the store, an archive unpacked and
    /// whatever it holds; it is the current version of `name` at once. What the source still has
    /// since the last time is not fetched again. [`Store::path`] is its directory.
    ///
    /// # Errors
    /// Whatever keeps the files from arriving; the version before stays the current one.
    pub fn bring(
        &self,
        name: &str,
        request: &InstallRequest,
        hooks: &Hooks<'_>,
    ) -> Result<Version, DeployError> {
        validate(request)?;
        let history = self.history(name)?;
        let source = request.source.to_string();
        if let Some(last) = history.last_from(&source).filter(|last| last.kept)
            && history.current == Some(last.number)
            && matches!(fetch::check(request, Some(&last.artefact), hooks)?, Seen::Unchanged)
        {
            hold_to(request, &history, &last.artefact)?;
            return Ok(last.clone());
        }
        let staging = self.staging()?;
        let Fetched { path, artefact } = self.arrived(request, &history, staging.path(), hooks)?;
        let root = if path.is_dir() { path } else { alone(&path, staging.path())? };
        let (mut files, mut digests, mut bytes) = (Vec::new(), Vec::new(), 0);
        for path in files_below(&root)? {
            let relative = path.strip_prefix(&root).unwrap_or(&path);
            let name = relative.to_string_lossy().into_owned();
            let size = path.metadata().map_err(io_error("read", &path))?.len();
            digests.push((name.clone(), size, disk::sha256(&path)?));
            files.push((path, name));
            bytes += size;
        }
        let identity = identity_of(digests);
        let _hold = self.add_files(&identity, files.into_iter(), bytes, hooks)?;
        self.change(name, |history| {
            let version = Version {
                number: history.next_number(),
                identity,
                entry: String::new(),
                source,
                artefact,
                installed_at: Utc::now().rfc3339(),
                state: State::Good,
                vouched_by: Vec::new(),
                kept: true,
            };
            history.push(version.clone());
            history.switch_to(version.number);
            version
        })
    }
}

/// Moves a file into a directory of its own.
fn alone(file: &Path, staging: &Path) -> Result<PathBuf, DeployError> {
    let directory = staging.join("alone");
    disk::make_directory(&directory)?;
    let to = directory.join(file.file_name().unwrap_or_default());
    std::fs::rename(file, &to).map_err(io_error("move", file))?;
    Ok(directory)
}
