use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::PackageError;

/// Depth and number of files a package may have.
pub(crate) const MAX_DEPTH: usize = 8;
pub(crate) const MAX_FILES: usize = 10_000;

/// The identity of a package: sha256 over its sorted file list, one line
/// `path NUL size NUL sha256 LF` per file, paths relative and with `/`. In lowercase hex.
pub(crate) fn of_files(root: &Path, files: &[PathBuf]) -> Result<String, PackageError> {
    let mut digests = Vec::with_capacity(files.len());
    for file in files {
        let (size, digest) = digest(file)?;
        digests.push((relative(root, file), size, digest));
    }
    Ok(identity_of(digests))
}

/// The identity of a package of these files: path relative to the package with `/`, size in bytes,
/// and sha256 in lowercase hex of each, in any order.
pub fn identity_of(files: impl IntoIterator<Item = (String, u64, String)>) -> String {
    let line = |(path, size, digest)| format!("{path}\0{size}\0{digest}\n");
    let mut lines: Vec<String> = files.into_iter().map(line).collect();
    lines.sort();
    let mut hasher = Sha256::new();
    lines.iter().for_each(|line| hasher.update(line));
    hex(&hasher.finalize())
}

/// The path of a file below `root`, with `/`.
pub(crate) fn relative(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).unwrap_or(file);
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Every regular file below a directory, to the depth that a package may have.
///
/// # Errors
/// Directories that cannot be read, or hold more files than a package may have.
pub fn files_below(root: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let mut files = Vec::new();
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = open.pop() {
        let read = |error| PackageError::Read { path: directory.clone(), error };
        for entry in std::fs::read_dir(&directory).map_err(read)? {
            let entry = entry.map_err(read)?;
            let kind = entry.file_type().map_err(read)?;
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((entry.path(), depth + 1));
            } else if kind.is_file() {
                files.push(entry.path());
            }
            if files.len() > MAX_FILES {
                let problem = format!("it holds more than {MAX_FILES} files");
                return Err(PackageError::Value { key: root.display().to_string(), problem });
            }
        }
    }
    Ok(files)
}

/// Size and sha256 of a file.
pub(crate) fn digest(path: &Path) -> Result<(u64, String), PackageError> {
    let read = |error| PackageError::Read { path: path.to_owned(), error };
    let mut file = File::open(path).map_err(read)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(read)?;
        if count == 0 {
            return Ok((size, hex(&hasher.finalize())));
        }
        size += count as u64;
        hasher.update(&buffer[..count]);
    }
}

/// Bytes in lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
