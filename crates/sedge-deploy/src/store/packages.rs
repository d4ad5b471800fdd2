//! Packages made of hard links to blobs.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sedge_package::Package;

use super::{Hold, Store, disk};
use crate::error::io_error;
use crate::request::Hooks;
use crate::{DeployError, Step};

/// A file of a package on its way into the store.
struct Incoming {
    path: PathBuf,
    /// Relative to the package.
    name: String,
    sha256: String,
}

impl Store {
    /// Puts a package whose files lie in a staging directory into the store.
    pub(crate) fn add(&self, package: &Package, hooks: &Hooks<'_>) -> Result<Hold, DeployError> {
        self.add_files(&package.identity, package.files(), package.bytes, hooks)
    }

    /// Puts files of a staging directory into the store, each with its name below the directory
    /// that they become. They are linked, not copied, and made read-only.
    pub(crate) fn add_files(
        &self,
        identity: &str,
        named: impl Iterator<Item = (PathBuf, String)>,
        bytes: u64,
        hooks: &Hooks<'_>,
    ) -> Result<Hold, DeployError> {
        let mut files = Vec::new();
        let mut done = 0;
        for (path, name) in named {
            hooks.report(Step::Store, done, Some(bytes))?;
            let sha256 = disk::sha256(&path)?;
            done += settle(&path).map_err(io_error("sync", &path))?;
            files.push(Incoming { path, name, sha256 });
        }
        let mut held = self.exclusive();
        for file in &files {
            self.add_blob(file)?;
        }
        let blobs = self.blobs();
        disk::sync_directory(&blobs).map_err(io_error("sync", &blobs))?;
        self.add_tree(identity, &files)?;
        Ok(self.hold(&mut held, identity))
    }

    /// A blob that is there already is read once more: one that the disk has damaged is replaced.
    fn add_blob(&self, file: &Incoming) -> Result<(), DeployError> {
        let blob = self.blobs().join(&file.sha256);
        if blob.exists() {
            if disk::sha256(&blob)? == file.sha256 {
                return Ok(());
            }
            disk::remove(&blob)?;
        }
        fs::hard_link(&file.path, &blob).map_err(io_error("link", &blob))
    }

    fn add_tree(&self, identity: &str, files: &[Incoming]) -> Result<(), DeployError> {
        let target = self.packages().join(identity);
        if files.iter().all(|file| same_file(&target.join(&file.name), &self.blob(&file.sha256))) {
            return Ok(());
        }
        let staging = self.staging()?;
        let tree = staging.path().join("package");
        let link = |file: &Incoming| {
            let path = tree.join(&file.name);
            fs::create_dir_all(path.parent().unwrap_or(&tree))?;
            fs::hard_link(self.blob(&file.sha256), path)
        };
        files.iter().try_for_each(link).map_err(io_error("link files in", &tree))?;
        sync_tree(&tree).map_err(io_error("sync", &tree))?;
        place(&tree, &target).map_err(io_error("write", &target))?;
        let packages = self.packages();
        disk::sync_directory(&packages).map_err(io_error("sync", &packages))
    }

    fn blob(&self, sha256: &str) -> PathBuf {
        self.blobs().join(sha256)
    }

    /// Holds a package that is in the store already, if it is.
    pub(crate) fn hold_stored(&self, identity: &str) -> Option<Hold> {
        let mut held = self.exclusive();
        let there = self.packages().join(identity).is_dir();
        there.then(|| self.hold(&mut held, identity))
    }
}

/// Makes a file read-only and its bytes last; its size.
fn settle(path: &Path) -> io::Result<u64> {
    fs::set_permissions(path, Permissions::from_mode(0o444))?;
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn sync_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    disk::sync_directory(directory)
}

/// Gives a directory its name. A damaged one that has the name is exchanged in one step, so that
/// there is one at every moment; where the file system cannot do that, in two.
fn place(tree: &Path, target: &Path) -> io::Result<()> {
    if !target.exists() {
        return fs::rename(tree, target);
    }
    if renameat_with(CWD, tree, CWD, target, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    fs::rename(target, tree.with_extension("damaged"))?;
    fs::rename(tree, target)
}

/// Whether two names are links to one file.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    let identity =
        |path: &Path| path.symlink_metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    identity(a).is_some() && identity(a) == identity(b)
}
