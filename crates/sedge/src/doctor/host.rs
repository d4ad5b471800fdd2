use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The files in which Linux tells about itself are small; more than this is not read of one.
const MAX_BYTES: u64 = 1 << 20;

/// The machine as its file system shows it; in tests, a directory that stands for one.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    root: PathBuf,
}

impl Host {
    /// The machine this runs on.
    pub(crate) fn this() -> Self {
        Self::at("/")
    }

    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where an absolute path of the machine really is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file, when it can be read; at most its first MiB.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.path(path)).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The only word of a file, such as a limit or a governor.
    pub(crate) fn word(&self, path: &str) -> Option<String> {
        Some(self.read(path)?.trim_matches(['\0', '\n', ' ']).to_owned())
    }

    /// The only number of a file.
    pub(crate) fn number(&self, path: &str) -> Option<i64> {
        self.word(path)?.parse().ok()
    }

    pub(crate) fn is_dir(&self, path: &str) -> bool {
        self.path(path).is_dir()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Names in a directory that begin so, sorted.
    pub(crate) fn names(&self, directory: &str, start: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(directory)) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(start)).collect();
        names.sort();
        names
    }

    /// Whether this is the running machine, which may also be asked by system calls.
    pub(crate) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A directory that stands for a machine, with these files in it.
    pub(crate) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let host = Host::at(directory.path());
        (directory, host)
    }
}
