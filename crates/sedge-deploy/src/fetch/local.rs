//! Files and directories of this device.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sedge_package::{Package, SIGNATURE_FILE, is_archive};
use sha2::{Digest, Sha256};

use super::{Fetched, Seen};
use crate::error::io_error;
use crate::request::Hooks;
use crate::store::disk;
use crate::{Artefact, DeployError, InstallRequest, Step};

/// The file that makes a directory a package.
const MANIFEST: &str = "model.toml";
/// Depth and number of files that are looked at to tell a directory from another, what a package
/// may have.
const MAX_DEPTH: usize = 10;
const MAX_FILES: usize = 10_000;

/// Compares files by name, size, time and inode, then a single file by its digest: a copy of the
/// same file is no change.
pub(crate) fn check(path: &Path, known: Option<&Artefact>) -> Result<Seen, DeployError> {
    let path = package_path(path);
    let beside = known.map_or(&[][..], |known| &known.beside);
    let now = fingerprint(path, beside);
    let Some(known) = known else { return Ok(Seen::Changed(Some(now?.1))) };
    // A companion that is gone is a change.
    let (fingerprint, bytes) = match now {
        Err(_) if !beside.is_empty() => fingerprint(path, &[])?,
        now => now?,
    };
    if known.fingerprint.as_ref() == Some(&fingerprint) {
        return Ok(Seen::Unchanged);
    }
    // The companions of a model file are not in its digest.
    let same = match &known.sha256 {
        Some(digest) if is_archive(path) && known.bytes == bytes => disk::sha256(path)? == *digest,
        _ => false,
    };
    Ok(if same { Seen::Unchanged } else { Seen::Changed(Some(bytes)) })
}

/// Copies what the package consists of and nothing beside it.
pub(crate) fn fetch(
    path: &Path,
    request: &InstallRequest,
    staging: &Path,
    hooks: &Hooks<'_>,
) -> Result<Fetched, DeployError> {
    match package_path(path) {
        path if is_archive(path) => archive(path, request, staging, hooks),
        path => package(path, request, staging, hooks),
    }
}

/// The manifest of a package stands for its directory.
fn package_path(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if path.file_name().is_some_and(|name| name == MANIFEST) => directory,
        _ => path,
    }
}

/// An archive is copied before it is unpacked, so that what is hashed is what is unpacked.
fn archive(
    path: &Path,
    request: &InstallRequest,
    staging: &Path,
    hooks: &Hooks<'_>,
) -> Result<Fetched, DeployError> {
    // Of what is about to be copied: a change while it is copied is one for the next time.
    let (fingerprint, bytes) = fingerprint(path, &[])?;
    allow(path, bytes, request.limits.download_bytes)?;
    disk::require_space(staging, bytes)?;
    hooks.report(Step::Fetch, 0, Some(bytes))?;
    let copy = staging.join(path.file_name().unwrap_or_default());
    copy_file(path, &copy)?;
    let sha256 = Some(disk::sha256(&copy)?);
    hooks.report(Step::Fetch, bytes, Some(bytes))?;
    let fingerprint = Some(fingerprint);
    Ok(Fetched {
        path: copy,
        artefact: Artefact { bytes, sha256, fingerprint, ..Artefact::default() },
    })
}

fn package(
    path: &Path,
    request: &InstallRequest,
    staging: &Path,
    hooks: &Hooks<'_>,
) -> Result<Fetched, DeployError> {
    // Opened where it lies to learn its files; what enters the store is opened again.
    let package = Package::open(path, &request.overrides)?;
    allow(path, package.bytes, request.limits.package_bytes)?;
    disk::require_space(staging, package.bytes)?;
    let main = package.main_file();
    let beside: Vec<PathBuf> = match path.is_dir() {
        true => Vec::new(),
        false => package.files().filter(|(_, name)| *name != main).map(|(path, _)| path).collect(),
    };
    let (fingerprint, _) = fingerprint(path, &beside)?;
    let root = staging.join("package");
    let mut done = 0;
    for (file, name) in copied(&package, path.is_dir())? {
        hooks.report(Step::Fetch, done, Some(package.bytes))?;
        done += copy_file(&file, &root.join(name))?;
    }
    hooks.report(Step::Fetch, done, Some(package.bytes))?;
    let opened = root.join(package.entry());
    let sha256 = match path.is_dir() {
        true => None,
        false => Some(disk::sha256(&root.join(main))?),
    };
    let fingerprint = Some(fingerprint);
    let artefact = Artefact { bytes: done, sha256, fingerprint, beside, ..Artefact::default() };
    Ok(Fetched { path: opened, artefact })
}

/// The package's files with their names in it. Of a signed directory all that there is: whoever
/// checks the signature looks for every file that it covers, and for any other.
fn copied(package: &Package, is_directory: bool) -> Result<Vec<(PathBuf, String)>, DeployError> {
    let signed = is_directory && package.root.join(SIGNATURE_FILE).is_file();
    if !signed {
        return Ok(package.files().collect());
    }
    let named = |path: PathBuf| {
        let name = path.strip_prefix(&package.root).ok()?.to_string_lossy().into_owned();
        Some((path, name))
    };
    Ok(below(&package.root)?.into_iter().filter_map(|(path, _)| named(path)).collect())
}

fn allow(path: &Path, bytes: u64, limit: u64) -> Result<(), DeployError> {
    match bytes > limit {
        true => Err(DeployError::TooLarge { origin: path.display().to_string(), bytes, limit }),
        false => Ok(()),
    }
}

/// Copies one file, sharing its blocks where the file system can; its size.
fn copy_file(from: &Path, to: &Path) -> Result<u64, DeployError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(io_error("make the directory", parent))?;
    }
    let bytes = fs::copy(from, to).map_err(io_error("copy", from))?;
    let owned = fs::Permissions::from_mode(0o644);
    fs::set_permissions(to, owned).map_err(io_error("write", to))?;
    Ok(bytes)
}

/// A digest over names, sizes, times and inodes of a file and those beside it that belong to it,
/// or of all files below a directory; and the bytes of the file, or of all.
fn fingerprint(path: &Path, beside: &[PathBuf]) -> Result<(String, u64), DeployError> {
    let metadata = path.metadata().map_err(io_error("read", path))?;
    let mut lines = vec![line(path, &metadata)];
    let mut bytes = metadata.len();
    if metadata.is_dir() {
        let files = below(path)?;
        bytes = files.iter().map(|(_, metadata)| metadata.len()).sum();
        lines.extend(files.iter().map(|(path, metadata)| line(path, metadata)));
    }
    for file in beside {
        lines.push(line(file, &file.metadata().map_err(io_error("read", file))?));
    }
    lines.sort();
    Ok((sedge_package::hex(&Sha256::digest(lines.concat())), bytes))
}

/// The files below a directory, as many as a package may have.
fn below(directory: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>, DeployError> {
    let mut files = Vec::new();
    let mut open: Vec<(PathBuf, usize)> = vec![(directory.to_owned(), 0)];
    while let Some((inner, depth)) = open.pop() {
        for (_, path) in disk::entries(&inner)? {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.is_dir() && depth < MAX_DEPTH {
                open.push((path, depth + 1));
            } else if metadata.is_file() && files.len() < MAX_FILES {
                files.push((path, metadata));
            }
        }
    }
    Ok(files)
}

fn line(path: &Path, metadata: &fs::Metadata) -> String {
    format!(
        "{}\0{}\0{}.{}\0{}\0{}\n",
        path.display(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ino()
    )
}
