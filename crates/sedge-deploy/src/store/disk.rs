//! Files that are whole or not there, whatever happens in between.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::DeployError;
use crate::error::io_error;

/// What stays free on the disk: a twentieth, at most 64 MiB. A full disk stops more than models on
/// a device.
const RESERVE_PART: u64 = 20;
const RESERVE_BYTES: u64 = 64 << 20;

/// Bytes on the disk of `path` that models may still use.
pub(crate) fn usable_bytes(path: &Path) -> Result<u64, DeployError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|error| io_error("ask for the free space of", path)(error.into()))?;
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    Ok(free.saturating_sub(reserve(total)))
}

fn reserve(total: u64) -> u64 {
    (total / RESERVE_PART).min(RESERVE_BYTES)
}

/// Refuses what the disk has no room for.
pub(crate) fn require_space(path: &Path, needed: u64) -> Result<(), DeployError> {
    let free = usable_bytes(path)?;
    if needed <= free {
        return Ok(());
    }
    Err(DeployError::NoSpace { path: path.to_owned(), needed, free })
}

/// Replaces a file by one that is whole: written beside it, synced, renamed, and the rename synced.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DeployError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        sync_directory(directory)
    };
    write().map_err(io_error("write", path))
}

/// Makes names in a directory last.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory with its parents, and their names last.
pub(crate) fn make_directory(path: &Path) -> Result<(), DeployError> {
    let make = || {
        fs::create_dir_all(path)?;
        path.parent().map_or(Ok(()), sync_directory)
    };
    make().map_err(io_error("make the directory", path))
}

/// Removes a file or directory with all in it; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), DeployError> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The names in a directory and their paths; none when it is not there.
pub(crate) fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, DeployError> {
    let read = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(io_error("read", directory))?,
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry.map_err(io_error("read", directory))?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    Ok(found)
}

/// The sha256 of a file's bytes, 64 hex digits.
pub(crate) fn sha256(path: &Path) -> Result<String, DeployError> {
    let read = || {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        feed(&mut file, &mut hasher)?;
        io::Result::Ok(sedge_package::hex(&hasher.finalize()))
    };
    read().map_err(io_error("read", path))
}

/// Hashes all that is left of a file; how many bytes that was.
pub(crate) fn feed(file: &mut File, hasher: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_always_stays_free() {
        for (total, reserved) in
            [(0, 0), (4 << 20, (4 << 20) / 20), (2 << 30, 64 << 20), (100 << 30, 64 << 20)]
        {
            assert_eq!(reserve(total), reserved, "{total}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.json");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(entries(place.path()).unwrap().len(), 1);
        // `printf two | sha256sum`
        let digest = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
        assert_eq!(sha256(&path).unwrap(), digest);
    }
}
