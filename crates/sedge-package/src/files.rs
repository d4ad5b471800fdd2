//! Files that belong to a package: read within limits, and never from outside it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::manifest::is_inside;
use crate::{Origin, PackageError};

/// Largest manifest, which takes some ten times its size to parse.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Largest list of labels or anchors.
pub(crate) const MAX_LIST_BYTES: u64 = 16 << 20;

/// A directory as the system wants it named: a bare file name lies in the current one.
pub(crate) fn here(root: &Path) -> &Path {
    if root.as_os_str().is_empty() { Path::new(".") } else { root }
}

/// Where a file lies that a setting names: a flag names it from where the user stands, a manifest
/// in the package, and nowhere else.
pub(crate) fn resolve(
    root: &Path,
    file: &str,
    origin: Option<&Origin>,
) -> Result<PathBuf, PackageError> {
    match origin {
        Some(Origin::Flag(_) | Origin::Configuration(_)) => Ok(PathBuf::from(file)),
        _ if is_inside(file) => contained(root, file).map(|()| root.join(file)),
        _ => Err(PackageError::OutsidePath(file.to_owned())),
    }
}

/// Refuses a link that leads out of the package. A file that is not there is found when it is read.
pub(crate) fn contained(root: &Path, file: &str) -> Result<(), PackageError> {
    match (here(root).canonicalize(), root.join(file).canonicalize()) {
        (Ok(root), Ok(file)) if file.starts_with(&root) => Ok(()),
        (_, Err(_)) => Ok(()),
        _ => Err(PackageError::OutsidePath(file.to_owned())),
    }
}

/// Reads a text of at most so many bytes.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String, PackageError> {
    let read = || {
        let mut text = String::new();
        // One byte more than allowed tells a file that ends from one that does not.
        File::open(path)?.take(most + 1).read_to_string(&mut text)?;
        if text.len() as u64 > most {
            let problem = format!("it is larger than {} MiB", most >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
        }
        Ok(text)
    };
    read().map_err(|error| PackageError::Read { path: path.to_owned(), error })
}
