use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use sedge_import::{Foreign, foreign_archive};
use tempfile::TempDir;

use crate::PackageError;
use crate::identity::MAX_DEPTH;

/// Limits on what an archive may unpack to.
const MAX_ENTRIES: usize = 10_000;
const MAX_BYTES: u64 = 4 << 30;
/// How many times its own size an archive may unpack to, beside [`ALWAYS_BYTES`]: weights hardly
/// shrink, and zeros by a thousand times.
const MAX_RATIO: u64 = 100;
const ALWAYS_BYTES: u64 = 64 << 20;
/// Bytes between one file of a tar archive and the next. Names may be as long as files, and the
/// library holds them in memory.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// The kinds of archives a package comes in, told by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gzip,
    Tar,
    Zip,
    /// One that is not read, and what it is.
    Foreign(&'static str),
}

/// An unpacked archive, removed when it goes.
#[derive(Debug)]
pub(crate) struct Unpacked {
    directory: TempDir,
    /// Locked as long as this process lives, however it ends.
    _lock: File,
}

impl Unpacked {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

pub(crate) fn sniff(path: &Path) -> Option<Kind> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(512).read_to_end(&mut head).ok()?;
    match head.as_slice() {
        [0x1f, 0x8b, ..] => Some(Kind::Gzip),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Kind::Zip),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Kind::Foreign("compressed with bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Kind::Foreign("compressed with xz")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Kind::Foreign("compressed with Zstandard")),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some(Kind::Foreign("a 7-Zip archive")),
        [b'R', b'a', b'r', b'!', ..] => Some(Kind::Foreign("a RAR archive")),
        head if head.get(257..262) == Some(b"ustar") => Some(Kind::Tar),
        _ => None,
    }
}

/// Begins the names of directories that archives are unpacked into.
const PREFIX: &str = "sedge-package-";
/// A directory as young as this may not have been locked yet by whoever made it.
const SETTLED: Duration = Duration::from_secs(60);

/// What is told of a file that is compressed, or named so, and holds no archive.
const NO_TAR: &str =
    "it holds no tar archive. Hint: a single compressed file is used unpacked (gunzip)";

/// Unpacks an archive into a fresh temporary directory. Links, absolute paths and paths that climb
/// are refused; sizes and counts are bounded.
pub(crate) fn unpack(path: &Path, kind: Kind) -> Result<Unpacked, PackageError> {
    readable(path, kind)?;
    let refuse = |error: io::Error| refused(path, error.to_string());
    let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(refuse)?;
    let lock = File::open(directory.path()).map_err(refuse)?;
    lock.try_lock().map_err(|error| refused(path, error.to_string()))?;
    sweep(directory.path());
    fill(path, kind, directory.path(), MAX_BYTES)?;
    Ok(Unpacked { directory, _lock: lock })
}

/// Whether a file is an archive that a package may come in, told by its first bytes.
///
/// True also for kinds that are recognised and not read, so that unpacking them says which they
/// are. Weights of Chainer (`.npz`) are archives too, but models and no packages.
pub fn is_archive(path: &Path) -> bool {
    kind_of(path).is_some()
}

/// Unpacks the archive of a package into an empty directory, at most `budget_bytes` of it and
/// within the limits for every archive. What was written stays when it fails: the directory is
/// the caller's to remove.
///
/// # Errors
/// Files that are no archive or damaged; archives that hold links or paths that lead out, too many
/// files, or more bytes than allowed; a directory that cannot be written to.
pub fn unpack_into(path: &Path, directory: &Path, budget_bytes: u64) -> Result<(), PackageError> {
    let kind = kind_of(path).ok_or_else(|| refused(path, "it is no archive".to_owned()))?;
    readable(path, kind)?;
    fill(path, kind, directory, budget_bytes.min(MAX_BYTES))
}

/// The kind of archive at `path`, unless it is a model that only looks like one.
pub(crate) fn kind_of(path: &Path) -> Option<Kind> {
    let weights = path.extension().is_some_and(|extension| extension == "npz");
    if weights || !path.is_file() { None } else { sniff(path) }
}

fn refused(path: &Path, problem: String) -> PackageError {
    PackageError::Archive { path: path.to_owned(), problem }
}

/// Refuses kinds that are recognised and not read.
fn readable(path: &Path, kind: Kind) -> Result<(), PackageError> {
    if let Kind::Foreign(what) = kind {
        return Err(refused(path, format!("it is {what}. Hint: pack it as .tar.gz or .zip")));
    }
    // Other frameworks' model files are zip archives, of which nothing needs to be unpacked.
    match other_model(path, kind) {
        Some(foreign) => Err(PackageError::Foreign { path: path.to_owned(), foreign }),
        None => Ok(()),
    }
}

fn fill(path: &Path, kind: Kind, root: &Path, budget_bytes: u64) -> Result<(), PackageError> {
    let open = || {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        io::Result::Ok((file, size))
    };
    let (file, size) = open().map_err(|error| refused(path, error.to_string()))?;
    let most = size.saturating_mul(MAX_RATIO).saturating_add(ALWAYS_BYTES).min(budget_bytes);
    let mut out = Unpacker { root, entries: 0, most, left: most };
    match kind {
        Kind::Gzip => out.tar(flate2::read::GzDecoder::new(file)),
        Kind::Tar => out.tar(file),
        Kind::Zip => out.zip(file),
        Kind::Foreign(what) => Err(what.to_owned()),
    }
    .map_err(|problem| refused(path, problem))
}

fn other_model(path: &Path, kind: Kind) -> Option<&'static Foreign> {
    if kind != Kind::Zip {
        return None;
    }
    let archive = zip::ZipArchive::new(File::open(path).ok()?).ok()?;
    foreign_archive(archive.file_names().flatten())
}

/// Removes what processes of this user left behind that were ended while an archive was unpacked:
/// their directories are no longer locked.
fn sweep(own: &Path) {
    let (Some(parent), Ok(mine)) = (own.parent(), own.metadata()) else { return };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(metadata) = entry.metadata() else { continue };
        let settled = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        let left = name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && metadata.is_dir()
            && metadata.uid() == mine.uid()
            && settled.is_some_and(|age| age > SETTLED)
            && File::open(&path).is_ok_and(|directory| directory.try_lock().is_ok());
        if left {
            let _ = std::fs::remove_dir_all(path);
        }
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
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
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
    most: u64,
    left: u64,
}

impl Unpacker<'_> {
    fn tar(&mut self, source: impl Read) -> Result<(), String> {
        let allowance = Rc::new(Cell::new(MAX_HEADER_BYTES));
        let mut archive = tar::Archive::new(Allowed { source, allowance: allowance.clone() });
        for (index, entry) in archive.entries().map_err(|e| e.to_string())?.enumerate() {
            let mut entry = entry.map_err(|error| match (index, error.kind()) {
                // The library shows what it takes for a header, which may be anything.
                (0, io::ErrorKind::Other) => NO_TAR.to_owned(),
                (_, io::ErrorKind::Other) => {
                    "it is damaged: an entry has no valid header".to_owned()
                }
                _ => error.to_string(),
            })?;
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
            .ok_or_else(|| format!("it unpacks to more than {} MiB", self.most >> 20))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_processes_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str, old: bool| {
            let path = place.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("model.tflite"), "x").unwrap();
            let directory = File::open(&path).unwrap();
            if old {
                let hour = std::time::SystemTime::now() - Duration::from_secs(3600);
                directory.set_modified(hour).unwrap();
            }
            (path, directory)
        };
        let (own, _) = make("sedge-package-own", true);
        let _own = File::open(&own).unwrap();
        _own.try_lock().unwrap();
        let (alive, lock) = make("sedge-package-alive", true);
        lock.try_lock().unwrap();
        let (young, _) = make("sedge-package-young", false);
        let (other, _) = make("other", true);
        let (left, _) = make("sedge-package-left", true);
        sweep(&own);
        for (path, stays) in
            [(own, true), (alive, true), (young, true), (other, true), (left, false)]
        {
            assert_eq!(path.exists(), stays, "{}", path.display());
        }
    }
}
