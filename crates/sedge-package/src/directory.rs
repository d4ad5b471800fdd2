use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sedge_import::Siblings;

use crate::{PackageError, files, identity};

/// The directory of a model, through which an importer reaches the files beside the main one.
pub(crate) struct Directory {
    root: PathBuf,
    /// Name of the main file in it.
    pub(crate) main: String,
}

impl Directory {
    /// The directory in which `file` lies.
    pub(crate) fn around(file: &Path) -> Self {
        let root = file.parent().unwrap_or(Path::new("")).to_owned();
        let main = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { root, main }
    }

    /// Where a file of this directory lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn listed(&self) -> Result<Vec<String>, PackageError> {
        let here = files::here(&self.root);
        let mut names: Vec<String> = identity::files_below(here)?
            .iter()
            .map(|file| identity::relative(here, file))
            .collect();
        names.sort();
        Ok(names)
    }
}

impl Siblings for Directory {
    fn names(&self) -> Vec<String> {
        self.listed().unwrap_or_default()
    }

    fn read(&self, name: &str) -> io::Result<Bytes> {
        let path = self.path(name);
        // What a model names must lie beside it: no `..`, no absolute path, no link that leads out.
        let root = files::here(&self.root).canonicalize()?;
        if !path.canonicalize()?.starts_with(&root) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "outside the directory"));
        }
        map(&path).map_err(|error| match error {
            PackageError::Read { error, .. } => error,
            other => io::Error::other(other),
        })
    }
}

/// Maps a model file into memory, so that its weights are shared with the page cache.
pub(crate) fn map(path: &Path) -> Result<Bytes, PackageError> {
    let read = |error| PackageError::Read { path: path.to_owned(), error };
    let file = File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: a package is never written to after it is made (its identity is its content); whoever
    // truncates a mapped model breaks that rule and gets a bus error, not undefined values here.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(read)?;
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use sedge_import::Source;

    use super::*;

    #[test]
    fn only_what_lies_beside_the_model_is_read() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("model");
        std::fs::create_dir_all(inside.join("variables")).unwrap();
        std::fs::write(root.path().join("secret"), "no").unwrap();
        std::fs::write(inside.join("main"), "main").unwrap();
        std::fs::write(inside.join("variables/data"), "data").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        let directory = Directory::around(&inside.join("main"));
        let source = Source::new(&directory.main, Bytes::new(), &directory);
        assert_eq!(source.names(), ["variables/data"]);
        assert_eq!(source.read("variables/data").unwrap(), "data");
        for outside in ["../secret", "link", "/etc/hostname"] {
            assert!(source.read(outside).is_err(), "{outside}");
        }
    }
}
