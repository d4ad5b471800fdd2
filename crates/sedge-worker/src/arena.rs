//! Memory that the core writes requests to and its worker reads, kept from one request to the next:
//! having, mapping and giving back pages for each takes several times as long as copying.
//!
//! Only from the core to the worker. The worker believes the core, which writes again when it has
//! the answer; the other way round a worker could change what the core is reading.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::channel::invalid;

/// Larger requests are rare, and so much is kept for each lane.
pub(crate) const MOST: usize = 1 << 20;
/// A few sizes rather than one for each request.
const LEAST: usize = 128 << 10;

/// The core's side.
#[derive(Debug)]
pub(crate) struct Arena {
    file: OwnedFd,
    map: MmapMut,
}

impl Arena {
    /// Memory for messages of up to `bytes`, and more.
    ///
    /// # Errors
    /// When the kernel has no memory for it.
    #[allow(unsafe_code)]
    pub(crate) fn of(bytes: usize) -> io::Result<Self> {
        let length = bytes.next_power_of_two().max(LEAST);
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("sedge-lane", flags)?;
        rustix::fs::ftruncate(&file, length as u64)?;
        // The worker cannot take pages away from under this process.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        // SAFETY: the file keeps its length, and this process only ever writes to the map: whatever
        // the worker does with the pages is its own request.
        let map = unsafe { MmapOptions::new().len(length).map_mut(&file.as_fd()) }?;
        Ok(Self { file, map })
    }

    /// Bytes that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.map.len()
    }

    /// A descriptor for the worker.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.file.try_clone()
    }

    /// Writes parts, one behind the other; they fit.
    pub(crate) fn write<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) {
        let mut rest = &mut self.map[..];
        for part in parts {
            let (here, behind) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = behind;
        }
    }
}

/// The worker's side.
#[derive(Clone, Debug)]
pub(crate) struct View(Arc<Mmap>);

impl View {
    /// Maps what the core shared.
    ///
    /// # Errors
    /// When it is no such memory.
    #[allow(unsafe_code)]
    pub(crate) fn of(file: &OwnedFd) -> io::Result<Self> {
        if !rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::SHRINK) {
            return Err(invalid("the shared memory is not sealed"));
        }
        // SAFETY: the file keeps its length. The core writes to it only between an answer and the
        // next request, when nothing here reads what was in it.
        let map = unsafe { MmapOptions::new().map(&file.as_fd()) }?;
        Ok(Self(Arc::new(map)))
    }

    /// Its first bytes, in place.
    pub(crate) fn bytes(&self, length: usize) -> io::Result<Bytes> {
        if length > self.0.len() {
            return Err(invalid("a message is longer than its memory"));
        }
        Ok(Bytes::from_owner(self.clone()).slice(..length))
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
