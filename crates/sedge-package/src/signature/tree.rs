//! The files of a package as they lie there.

use std::fs;
use std::path::{Path, PathBuf};

use super::SignatureError;
use super::list::{Entry, SIGNATURE_FILE};
use crate::identity::{self, MAX_DEPTH, MAX_FILES};
use crate::locate::MANIFEST;

/// The directory that is signed: the one given, or the one that an archive packed as a whole, as
/// long as nothing lies beside it.
pub(super) fn root_of(directory: &Path) -> Result<PathBuf, SignatureError> {
    let mut root = directory.to_owned();
    for _ in 0..MAX_DEPTH {
        if [SIGNATURE_FILE, MANIFEST].iter().any(|name| root.join(name).symlink_metadata().is_ok())
        {
            break;
        }
        let mut entries = fs::read_dir(&root).map_err(SignatureError::reading(&root))?.flatten();
        match (entries.next(), entries.next()) {
            (Some(only), None) if only.file_type().is_ok_and(|kind| kind.is_dir()) => {
                root = only.path();
            }
            _ => break,
        }
    }
    Ok(root)
}

/// The names of all files but the list itself, in order. What is neither file nor directory is
/// refused: a link has content that can change without the package.
fn names(root: &Path) -> Result<Vec<String>, SignatureError> {
    let mut names = Vec::new();
    let mut open = vec![(root.to_owned(), String::new(), 0)];
    while let Some((directory, prefix, depth)) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(SignatureError::reading(&directory))? {
            let entry = entry.map_err(SignatureError::reading(&directory))?;
            let kind = entry.file_type().map_err(SignatureError::reading(entry.path()))?;
            let refuse = |problem| {
                let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
                Err(SignatureError::Path { path, problem })
            };
            let Ok(name) = entry.file_name().into_string() else {
                return refuse("has a name that is not UTF-8");
            };
            let name = format!("{prefix}{name}");
            if kind.is_symlink() {
                return refuse("is a link, not a file");
            } else if kind.is_dir() && depth == MAX_DEPTH {
                return refuse("is a directory that lies too deep");
            } else if kind.is_dir() {
                open.push((entry.path(), format!("{name}/"), depth + 1));
            } else if !kind.is_file() {
                return refuse("is neither a file nor a directory");
            } else if name != SIGNATURE_FILE {
                names.push(name);
            }
            if names.len() > MAX_FILES {
                let problem = format!("the package has more than {MAX_FILES} files");
                return Err(SignatureError::List(problem));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// What is to be signed: every file with its size and sha256.
pub(super) fn entries(root: &Path) -> Result<Vec<Entry>, SignatureError> {
    let entry = |path: String| {
        let (bytes, digest) = identity::digest(&root.join(&path))?;
        Ok(Entry { digest, bytes, path })
    };
    names(root)?.into_iter().map(entry).collect()
}

/// Whether the files are those of the list, which is in order: all of them, no others, none changed.
/// What costs nothing is compared first.
pub(super) fn check(root: &Path, signed: &[Entry]) -> Result<(), SignatureError> {
    let found = names(root)?;
    let mut listed = signed.iter().map(|entry| &entry.path).peekable();
    for name in &found {
        if listed.peek().is_some_and(|next| *next < name) {
            break;
        }
        if listed.next_if(|next| *next == name).is_none() {
            return Err(SignatureError::Unlisted(name.clone()));
        }
    }
    if let Some(missing) = listed.next() {
        return Err(SignatureError::Missing(missing.clone()));
    }
    for Entry { bytes, path, .. } in signed {
        let file = root.join(path);
        let found = file.metadata().map_err(SignatureError::reading(&file))?.len();
        if found != *bytes {
            return Err(SignatureError::Size { path: path.clone(), signed: *bytes, found });
        }
    }
    for Entry { digest, bytes, path } in signed {
        if identity::digest(&root.join(path))? != (*bytes, digest.clone()) {
            return Err(SignatureError::Content(path.clone()));
        }
    }
    Ok(())
}
