//! Memory that one side of a lane writes messages to and the other reads, kept from one message to
//! the next: having, mapping and giving back fresh pages for 588 KiB takes 310 us, copying them 14.
//!
//! The worker believes the core, which writes its next request when it has the answer, and reads in
//! place. The core believes no worker, which could change what is being read: it copies an answer
//! and looks at the copy.

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

/// The side that writes.
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
        // Neither side can take pages away from under the other.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        // SAFETY: the file keeps its length, and this process only ever writes to the map: whatever
        // the other one does with the pages is its own message.
        let map = unsafe { MmapOptions::new().len(length).map_mut(&file.as_fd()) }?;
        Ok(Self { file, map })
    }

    /// Bytes that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.map.len()
    }

    /// A descriptor for the side that reads.
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

/// The side that reads.
#[derive(Clone, Debug)]
pub(crate) struct View(Arc<Mmap>);

impl View {
    /// Maps what the other side shared.
    ///
    /// # Errors
    /// When it is no such memory.
    #[allow(unsafe_code)]
    pub(crate) fn of(file: &OwnedFd) -> io::Result<Self> {
        if !rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::SHRINK) {
            return Err(invalid("the shared memory is not sealed"));
        }
        // SAFETY: the file keeps its length. What is in it is read in place only when it comes from
        // the core, which writes between an answer and the next request, when nothing reads it here.
        let map = unsafe { MmapOptions::new().map(&file.as_fd()) }?;
        Ok(Self(Arc::new(map)))
    }

    /// Its first bytes, in place.
    pub(crate) fn in_place(&self, length: usize) -> io::Result<Bytes> {
        self.holds(length)?;
        Ok(Bytes::from_owner(self.clone()).slice(..length))
    }

    /// A copy of its first bytes, whatever the other side does to them meanwhile.
    #[allow(unsafe_code)]
    pub(crate) fn copy(&self, length: usize) -> io::Result<Bytes> {
        self.holds(length)?;
        let mut copy = Vec::with_capacity(length);
        // SAFETY: so much is mapped and so much was made room for, and any bytes are bytes. No
        // reference to the shared pages is made, which could change behind it.
        unsafe {
            std::ptr::copy_nonoverlapping(self.0.as_ptr(), copy.as_mut_ptr(), length);
            copy.set_len(length);
        }
        Ok(copy.into())
    }

    fn holds(&self, length: usize) -> io::Result<()> {
        if length > self.0.len() {
            return Err(invalid("a message is longer than its memory"));
        }
        Ok(())
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
