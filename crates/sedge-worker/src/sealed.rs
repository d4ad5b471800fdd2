//! Memory that one process wrote and the other reads: nobody can change it any more.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags};

const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW);

/// Copies parts, one behind the other, into a sealed file in memory.
///
/// # Errors
/// When the kernel has no memory for it.
pub(crate) fn write(parts: &[&[u8]]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("sedge", flags)?;
    // Written rather than mapped: no page is touched twice.
    let mut parts: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = parts.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match rustix::io::writev(&file, &rest[..rest.len().min(64)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}

/// Reads a sealed file in place; it stays mapped as long as the bytes are held.
///
/// # Errors
/// When it has another length than the other side said, or is not sealed.
pub(crate) fn read(file: &OwnedFd, length: usize) -> io::Result<Bytes> {
    let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidData, message));
    if !rustix::fs::fcntl_get_seals(file)?.contains(SEALS) {
        return invalid("the shared memory is not sealed");
    }
    if usize::try_from(rustix::fs::fstat(file)?.st_size) != Ok(length) {
        return invalid("the shared memory has another length than announced");
    }
    Ok(Bytes::from_owner(map(file, length)?))
}

#[allow(unsafe_code)]
fn map(file: &OwnedFd, length: usize) -> io::Result<Mmap> {
    // SAFETY: the file is sealed against writing and shrinking, so the bytes behind the map neither
    // change nor go away, whatever the other process does.
    unsafe { MmapOptions::new().len(length).populate().map(&file.as_fd()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_change_is_read() {
        let file = write(&[b"one", b"", b"two"]).unwrap();
        assert_eq!(read(&file, 6).unwrap(), "onetwo");
        assert!(read(&file, 5).is_err(), "another length");
        assert!(rustix::io::write(&file, b"x").is_err(), "it is sealed");
        let open = rustix::fs::memfd_create("open", MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&open, b"open").unwrap();
        assert!(read(&open, 4).is_err(), "it could change while it is read");
    }
}
