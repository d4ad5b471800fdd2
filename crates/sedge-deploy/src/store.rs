//! What is kept on the device: files by their sha256, packages made of them, and histories.
//!
//! ```text
//! <root>/store/lock                  held as long as the store is open
//! <root>/store/blobs/<sha256>        files, read-only, each once
//! <root>/store/packages/<identity>/  packages, made of hard links to blobs
//! <root>/store/incoming/             unfinished downloads
//! <root>/store/tmp/                  what is being made; emptied when the store is opened
//! <root>/state/services/<name>.json  the history of a service
//! ```
//!
//! Everything is made in `tmp`, synced and renamed, so that a name that is there names something
//! whole. A blob with one link is in no package, and goes.

mod collect;
pub(crate) mod disk;
mod history;
mod packages;
mod verify;

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

pub use collect::Collected;
pub use history::{History, State, Version};
pub use verify::Problem;

use crate::DeployError;
use crate::error::io_error;

/// The models on this device and their histories. One process has it open at a time; within it,
/// any number of threads may use it.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    shared: Shared,
    /// Names of the downloads that are under way.
    downloads: Mutex<HashSet<String>>,
    _lock: File,
}

/// Identities of candidates and how many there are of each. Locked by whoever changes what the
/// store holds.
type Shared = Arc<Mutex<HashMap<String, usize>>>;

/// Keeps the files of a package that no history names yet.
#[derive(Debug)]
pub(crate) struct Hold {
    identity: String,
    shared: Shared,
}

/// The only download of a name.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    store: &'a Store,
    name: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.store.downloading().remove(&self.name);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.identity) {
            *count -= 1;
        }
        held.retain(|_, count| *count > 0);
    }
}

impl Store {
    /// Opens the store below `root`, which is made when it is not there, and cleans up what an
    /// interrupted process left. Unfinished downloads of the last day stay, to be resumed.
    ///
    /// # Errors
    /// [`DeployError::Locked`] when another process has it open; directories that cannot be
    /// written to.
    pub fn open(root: &Path) -> Result<Self, DeployError> {
        let root = std::path::absolute(root).map_err(io_error("find", root))?;
        for directory in ["store/blobs", "store/packages", "store/incoming", "store/tmp"] {
            disk::make_directory(&root.join(directory))?;
        }
        disk::make_directory(&root.join("state/services"))?;
        let lock = lock(&root)?;
        let store =
            Self { root, shared: Shared::default(), downloads: Mutex::default(), _lock: lock };
        store.clean()?;
        Ok(store)
    }

    /// The directory that was opened.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What to open of a version: see [`sedge_package::Package::open`].
    #[must_use]
    pub fn path(&self, version: &Version) -> PathBuf {
        let directory = self.packages().join(&version.identity);
        if version.entry.is_empty() { directory } else { directory.join(&version.entry) }
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("store/blobs")
    }

    fn packages(&self) -> PathBuf {
        self.root.join("store/packages")
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.root.join("store/incoming")
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("store/tmp")
    }

    fn services_directory(&self) -> PathBuf {
        self.root.join("state/services")
    }

    /// A directory for something in the making, gone when it is dropped.
    pub(crate) fn staging(&self) -> Result<TempDir, DeployError> {
        let tmp = self.tmp();
        tempfile::tempdir_in(&tmp).map_err(io_error("make a directory in", &tmp))
    }

    /// Waits until nobody else downloads under this name, calling `wait` meanwhile.
    pub(crate) fn claim(
        &self,
        name: &str,
        wait: impl Fn() -> Result<(), DeployError>,
    ) -> Result<Claim<'_>, DeployError> {
        while !self.downloading().insert(name.to_owned()) {
            wait()?;
        }
        Ok(Claim { store: self, name: name.to_owned() })
    }

    fn downloading(&self) -> MutexGuard<'_, HashSet<String>> {
        self.downloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody else changes what the store holds while this lives.
    fn exclusive(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // What it guards is whole at every moment, whoever panicked.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, held: &mut HashMap<String, usize>, identity: &str) -> Hold {
        *held.entry(identity.to_owned()).or_default() += 1;
        Hold { identity: identity.to_owned(), shared: self.shared.clone() }
    }
}

fn lock(root: &Path) -> Result<File, DeployError> {
    let path = root.join("store/lock");
    let open =
        || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open().map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for people; whoever holds the lock may not have written it yet.
            let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "another".to_owned() } else { pid.trim().into() };
            return Err(DeployError::Locked { root: root.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
    }
    let write = || {
        file.set_len(0)?;
        (&file).write_all(std::process::id().to_string().as_bytes())
    };
    write().map_err(io_error("write", &path))?;
    Ok(file)
}
