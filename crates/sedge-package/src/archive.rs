use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use tempfile::TempDir;

use crate::PackageError;
use crate::identity::MAX_DEPTH;

/// Limits on what an archive may unpack to.
const MAX_ENTRIES: usize = 10_000;
const MAX_BYTES: u64 = 4 << 30;
/// Bytes between one file of a tar archive and the next. Names may be as long as files, and the
/// library holds them in memory.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// The kinds of archives a package comes in, told by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gzip,
    Tar,
    Zip,
}

pub(crate) fn sniff(path: &Path) -> Option<Kind> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(512).read_to_end(&mut head).ok()?;
    match head.as_slice() {
        [0x1f, 0x8b, ..] => Some(Kind::Gzip),
        [b'P', b'K', 3, 4, ..] => Some(Kind::Zip),
        head if head.get(257..262) == Some(b"ustar") => Some(Kind::Tar),
        _ => None,
    }
}

/// Unpacks an archive into a fresh temporary directory. Links, absolute paths and paths that climb
/// are refused; sizes and counts are bounded.
pub(crate) fn unpack(path: &Path, kind: Kind) -> Result<TempDir, PackageError> {
    let refuse = |problem: String| PackageError::Archive { path: path.to_owned(), problem };
    let text = |error: io::Error| refuse(error.to_string());
    let target = tempfile::Builder::new().prefix("sedge-package-").tempdir().map_err(text)?;
    let file = File::open(path).map_err(text)?;
    let mut out = Unpacker { root: target.path(), entries: 0, left: MAX_BYTES };
    match kind {
        Kind::Gzip => out.tar(flate2::read::GzDecoder::new(file)),
        Kind::Tar => out.tar(file),
        Kind::Zip => out.zip(file),
    }
    .map_err(refuse)?;
    Ok(target)
}

/// The directory that holds the package: the top, or the one directory in it.
pub(crate) fn top(root: &Path) -> PathBuf {
    let entries: Vec<_> = std::fs::read_dir(root).into_iter().flatten().flatten().collect();
    match entries.as_slice() {
        [one] if one.path().is_dir() => one.path(),
        _ => root.to_owned(),
    }
}

/// A source of which only so much may be read.
struct Allowed<R> {
    source: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Allowed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.get();
        if left == 0 {
            let problem = format!("a header is larger than {} KiB", MAX_HEADER_BYTES >> 10);
            return Err(io::Error::other(problem));
        }
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.source.read(&mut buffer[..room])?;
        self.allowance.set(left - count as u64);
        Ok(count)
    }
}

struct Unpacker<'a> {
    root: &'a Path,
    entries: usize,
    left: u64,
}

impl Unpacker<'_> {
    fn tar(&mut self, source: impl Read) -> Result<(), String> {
        let allowance = Rc::new(Cell::new(MAX_HEADER_BYTES));
        let mut archive = tar::Archive::new(Allowed { source, allowance: allowance.clone() });
        for entry in archive.entries().map_err(|e| e.to_string())? {
            let mut entry = entry.map_err(|e| e.to_string())?;
            allowance.set(u64::MAX);
            let path = entry.path().map_err(|e| e.to_string())?.into_owned();
            match entry.header().entry_type() {
                tar::EntryType::Directory => {}
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    self.file(&path, &mut entry)?;
                }
                tar::EntryType::XGlobalHeader => {}
                kind => return Err(format!("'{}' is a {kind:?}, not a file", path.display())),
            }
            allowance.set(MAX_HEADER_BYTES);
        }
        Ok(())
    }

    fn zip(&mut self, source: File) -> Result<(), String> {
        let mut archive = zip::ZipArchive::new(source).map_err(|e| e.to_string())?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|e| e.to_string())?;
            if entry.is_dir() {
                continue;
            }
            let name = entry.name().map_err(|e| e.to_string())?.into_owned();
            if entry.is_symlink() {
                return Err(format!("'{name}' is a link, not a file"));
            }
            let path = PathBuf::from(name);
            self.file(&path, &mut entry)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, source: &mut impl Read) -> Result<(), String> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(format!("it holds more than {MAX_ENTRIES} files"));
        }
        let inside = |c: &Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
        if !path.components().all(|c| inside(&c)) {
            return Err(format!("'{}' leads out of the archive", path.display()));
        }
        // A name of a few hundred bytes could make as many directories. A package may lie in one
        // of its own, and its files in as many as are looked into.
        if path.components().count() > MAX_DEPTH + 2 {
            return Err(format!(
                "'{}' lies more than {MAX_DEPTH} directories deep",
                path.display()
            ));
        }
        let target = self.root.join(path);
        let at = |error: io::Error| format!("'{}': {error}", path.display());
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(at)?;
        }
        let mut file = File::create(&target).map_err(at)?;
        // One byte more than allowed tells a file that ends from one that does not.
        let copied = io::copy(&mut source.take(self.left + 1), &mut file).map_err(at)?;
        self.left = self
            .left
            .checked_sub(copied)
            .ok_or_else(|| format!("it unpacks to more than {} GiB", MAX_BYTES >> 30))?;
        Ok(())
    }
}
