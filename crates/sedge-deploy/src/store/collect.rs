//! What goes when it is no longer needed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::{State, Store, disk};
use crate::DeployError;
use crate::error::io_error;

/// How long an unfinished download waits to be resumed.
const PART_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Versions whose files were let go.
    pub versions: usize,
    /// Bytes of files that were in no other package.
    pub bytes: u64,
}

impl Store {
    /// Lets go of old versions: of each service, all but the newest `keep_versions` good ones, and
    /// the oldest of all services while the store is larger than `max_bytes`. Never the version
    /// that runs nor the one before it, nor candidates. Histories remember what went.
    ///
    /// # Errors
    /// Files that cannot be read or removed; a damaged history, before anything is removed.
    pub fn collect(
        &self,
        keep_versions: usize,
        max_bytes: Option<u64>,
    ) -> Result<Collected, DeployError> {
        let held = self.exclusive();
        let mut collected = Collected::default();
        for (service, number) in self.surplus(keep_versions)? {
            self.let_go(&service, number)?;
            collected.versions += 1;
        }
        collected.bytes += self.sweep(held.keys())?;
        while max_bytes.is_some_and(|most| self.bytes().is_ok_and(|bytes| bytes > most)) {
            let Some((service, number)) = self.oldest()? else { break };
            self.let_go(&service, number)?;
            collected.versions += 1;
            collected.bytes += self.sweep(held.keys())?;
        }
        Ok(collected)
    }

    /// Bytes of all files in the store, each counted once.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn bytes(&self) -> Result<u64, DeployError> {
        let size = |(_, path): (_, std::path::PathBuf)| path.metadata().map_or(0, |m| m.len());
        Ok(disk::entries(&self.blobs())?.into_iter().map(size).sum())
    }

    /// Versions that nobody can go back to: service, number, and when they were installed.
    fn removable(&self) -> Result<Vec<(String, u64, String, bool)>, DeployError> {
        let mut found = Vec::new();
        for service in self.services()? {
            let history = self.history(&service)?;
            let needed = [history.current, history.previous];
            for version in history.versions {
                if version.kept && !needed.contains(&Some(version.number)) {
                    let good = version.state == State::Good;
                    found.push((service.clone(), version.number, version.installed_at, good));
                }
            }
        }
        Ok(found)
    }

    fn surplus(&self, keep_versions: usize) -> Result<Vec<(String, u64)>, DeployError> {
        let mut surplus = Vec::new();
        let removable = self.removable()?;
        for service in self.services()? {
            let history = self.history(&service)?;
            let needed = history.current.iter().chain(&history.previous).count();
            let own = removable.iter().filter(|(name, ..)| *name == service);
            let mut good = 0;
            // The newest first; the bad ones are of no use to anybody.
            for (_, number, _, is_good) in own.rev() {
                good += usize::from(*is_good);
                if !is_good || needed + good > keep_versions {
                    surplus.push((service.clone(), *number));
                }
            }
        }
        Ok(surplus)
    }

    fn oldest(&self) -> Result<Option<(String, u64)>, DeployError> {
        let oldest = self.removable()?.into_iter().min_by(|a, b| (&a.2, a.1).cmp(&(&b.2, b.1)));
        Ok(oldest.map(|(service, number, ..)| (service, number)))
    }

    fn let_go(&self, service: &str, number: u64) -> Result<(), DeployError> {
        let mut history = self.history(service)?;
        for version in history.versions.iter_mut().filter(|version| version.number == number) {
            version.kept = false;
        }
        self.write_history(service, &history)
    }

    /// Removes what no history names and nobody holds.
    pub(crate) fn tidy(&self) -> Result<(), DeployError> {
        let held = self.exclusive();
        self.sweep(held.keys()).map(|_| ())
    }

    /// Removes packages that no history names and nobody holds, and blobs that are in no package;
    /// how many bytes that freed.
    pub(super) fn sweep<'a>(
        &self,
        held: impl Iterator<Item = &'a String>,
    ) -> Result<u64, DeployError> {
        let mut needed: HashSet<String> = held.cloned().collect();
        for service in self.services()? {
            let versions = self.history(&service)?.versions;
            needed.extend(versions.into_iter().filter(|v| v.kept).map(|v| v.identity));
        }
        for (name, path) in disk::entries(&self.packages())? {
            if !needed.contains(&name) {
                // Under its name it is whole until it is gone.
                let staging = self.staging()?;
                fs::rename(&path, staging.path().join("package"))
                    .map_err(io_error("remove", &path))?;
            }
        }
        let mut freed = 0;
        for (_, path) in disk::entries(&self.blobs())? {
            let metadata = path.symlink_metadata().map_err(io_error("read", &path))?;
            if metadata.nlink() < 2 {
                freed += metadata.len();
                disk::remove(&path)?;
            }
        }
        Ok(freed)
    }

    /// Removes what an interrupted process left behind.
    pub(super) fn clean(&self) -> Result<(), DeployError> {
        for (_, path) in disk::entries(&self.tmp())? {
            disk::remove(&path)?;
        }
        for (_, path) in disk::entries(&self.services_directory())? {
            // Histories that were being written.
            if path.extension().is_none_or(|extension| extension != "json") {
                disk::remove(&path)?;
            }
        }
        for (name, path) in disk::entries(&self.incoming())? {
            let part = self.incoming().join(name.split('.').next().unwrap_or_default());
            let age = |path: &std::path::Path| -> io::Result<Duration> {
                path.metadata()?.modified()?.elapsed().map_err(io::Error::other)
            };
            // A time in the future is a clock that was set back: then as good as young.
            let part = part.with_extension("part");
            let young = part.exists() && age(&part).map_or(true, |age| age < PART_AGE);
            if !young {
                disk::remove(&path)?;
            }
        }
        match self.sweep(std::iter::empty()) {
            // Without the history nobody knows what is needed. `verify` tells of it.
            Err(DeployError::History { .. }) => Ok(()),
            swept => swept.map(|_| ()),
        }
    }
}
