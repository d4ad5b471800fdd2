//! Whether the store holds what it says.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sedge_package::identity_of;

use super::{Store, disk};
use crate::DeployError;
use crate::error::io_error;

/// Device and number of a file, the same for all of its names.
type Inode = (u64, u64);

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl Problem {
    fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), problem: problem.into() }
    }
}

impl Store {
    /// Reads every file of the store again and compares it with its name; every package with the
    /// files that it is made of; every history with the packages. Empty when all is well.
    ///
    /// # Errors
    /// Directories that cannot be read at all.
    pub fn verify(&self) -> Result<Vec<Problem>, DeployError> {
        let mut problems = self.verify_histories()?;
        let mut blobs = HashMap::new();
        for (name, path) in disk::entries(&self.blobs())? {
            match disk::sha256(&path) {
                Ok(digest) if digest == name => {
                    let metadata = path.symlink_metadata().map_err(io_error("read", &path))?;
                    blobs.insert(inode(&metadata), (metadata.len(), digest));
                }
                Ok(digest) => problems
                    .push(Problem::new(&path, format!("its bytes have the sha256 {digest}"))),
                Err(error) => problems.push(Problem::new(&path, error.to_string())),
            }
        }
        for (name, package) in disk::entries(&self.packages())? {
            verify_package(&name, &package, &blobs, &mut problems)?;
        }
        Ok(problems)
    }

    /// Compares histories with the packages they name, without reading any file of them. Cheap
    /// enough for every start.
    ///
    /// # Errors
    /// Directories that cannot be read at all.
    pub fn verify_histories(&self) -> Result<Vec<Problem>, DeployError> {
        let mut problems = Vec::new();
        for service in self.services()? {
            let history = match self.history(&service) {
                Ok(history) => history,
                Err(DeployError::History { path, problem }) => {
                    problems.push(Problem { path, problem });
                    continue;
                }
                Err(error) => return Err(error),
            };
            for version in history.versions.iter().filter(|version| version.kept) {
                let path = self.path(version);
                if !path.exists() {
                    let number = version.number;
                    let problem = format!("it is gone, and version {number} of {service} needs it");
                    problems.push(Problem { path, problem });
                }
            }
        }
        Ok(problems)
    }
}

fn inode(metadata: &Metadata) -> Inode {
    (metadata.dev(), metadata.ino())
}

/// Whether the files below a directory are links to sound blobs and make up what it is named for.
fn verify_package(
    name: &str,
    directory: &Path,
    blobs: &HashMap<Inode, (u64, String)>,
    problems: &mut Vec<Problem>,
) -> Result<(), DeployError> {
    let (before, mut files, mut open) = (problems.len(), Vec::new(), vec![directory.to_owned()]);
    while let Some(inner) = open.pop() {
        for (_, path) in disk::entries(&inner)? {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let Ok(relative) = path.strip_prefix(directory) else { continue };
            match blobs.get(&inode(&metadata)) {
                _ if metadata.is_dir() => open.push(path),
                Some((size, digest)) => {
                    let relative = relative.to_string_lossy().into_owned();
                    files.push((relative, *size, digest.clone()));
                }
                None => problems.push(Problem::new(&path, "it is no link to a sound blob")),
            }
        }
    }
    if problems.len() == before && identity_of(files) != name {
        problems.push(Problem::new(directory, "its files are not those of this package"));
    }
    Ok(())
}
