//! Messages over a Unix socket that keeps their bounds.
//!
//! A message is a head and data behind it, which begins at a multiple of 64 so that tensors in
//! mapped ones are aligned. Up to 64 KiB it goes through the socket. A larger one lies in memory that both
//! sides keep, or, above 1 MiB, in sealed memory of its own whose descriptor goes through.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

use crate::arena::{self, Arena, View};
use crate::sealed;

/// Alignment of data in a message.
pub(crate) const ALIGN: usize = 64;
/// Messages up to this go through the socket; copying twice is cheaper than mapping then.
const MOST_INLINE: usize = 64 << 10;
/// Heads are descriptions.
const MOST_HEAD: u64 = 64 << 20;
/// More than any request body, and any answer that a device has memory for.
const MOST_BYTES: u64 = 2 << 30;
/// Descriptors that one message may carry, a lane each: the kernel's limit (SCM_MAX_FD, 253) less
/// that of the message itself.
pub(crate) const MOST_DESCRIPTORS: usize = 252;
const PREAMBLE: usize = 16;
/// Set in a message's length when it lies in the memory that is kept.
const KEPT: u64 = 1 << 63;

/// What came through.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) head: Bytes,
    /// What the head refers to; aligned to 64.
    pub(crate) data: Bytes,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// A message that is ready to go; what was large has been copied.
#[derive(Debug)]
pub(crate) struct Parcel {
    preamble: [u8; PREAMBLE],
    inline: Vec<u8>,
    /// Sealed memory with the message, or new memory to keep.
    shared: Option<OwnedFd>,
}

/// Two ends of a channel. They close on exec; the first does not block.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((ours, theirs))
}

/// Where the data of a message with such a head begins.
fn data_at(head: usize) -> usize {
    head.next_multiple_of(ALIGN)
}

/// Packs a head and the data behind it, whose parts follow each other without gaps.
pub(crate) fn pack(head: &[u8], data: &[&[u8]]) -> io::Result<Parcel> {
    pack_with(head, data, None)
}

/// The same with memory that is kept, which is free when the message before was answered.
pub(crate) fn pack_with(
    head: &[u8],
    data: &[&[u8]],
    kept: Option<&mut Option<Arena>>,
) -> io::Result<Parcel> {
    let bytes: usize = data.iter().map(|part| part.len()).sum();
    let total = data_at(head.len()) + bytes;
    if head.len() as u64 > MOST_HEAD || total as u64 > MOST_BYTES {
        return Err(invalid("the message is too large"));
    }
    let mut preamble = [0; PREAMBLE];
    preamble[..8].copy_from_slice(&(head.len() as u64).to_le_bytes());
    preamble[8..].copy_from_slice(&(total as u64).to_le_bytes());
    let gap = [0; ALIGN];
    let gap = &gap[..data_at(head.len()) - head.len()];
    if total > MOST_INLINE {
        let parts = [head, gap].into_iter().chain(data.iter().copied());
        let shared = match kept.filter(|_| total <= arena::MOST) {
            Some(kept) => {
                preamble[8..].copy_from_slice(&(total as u64 | KEPT).to_le_bytes());
                keep(kept, total, parts)?
            }
            None => Some(sealed::write(&parts.collect::<Vec<_>>())?),
        };
        return Ok(Parcel { preamble, inline: Vec::new(), shared });
    }
    let mut inline = Vec::with_capacity(total);
    inline.extend_from_slice(head);
    inline.extend_from_slice(gap);
    data.iter().for_each(|part| inline.extend_from_slice(part));
    Ok(Parcel { preamble, inline, shared: None })
}

/// Writes to the memory that is kept; its descriptor when it is new.
fn keep<'a>(
    kept: &mut Option<Arena>,
    total: usize,
    parts: impl Iterator<Item = &'a [u8]>,
) -> io::Result<Option<OwnedFd>> {
    let enough = kept.take().filter(|arena| arena.capacity() >= total);
    let is_new = enough.is_none();
    let arena = kept.insert(match enough {
        Some(arena) => arena,
        None => Arena::of(total)?,
    });
    arena.write(parts);
    is_new.then(|| arena.share()).transpose()
}

/// Sends a parcel, and descriptors with it that the other side gets copies of.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    parcel: &Parcel,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut all: Vec<BorrowedFd<'_>> = parcel.shared.iter().map(AsFd::as_fd).collect();
    all.extend(descriptors);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS + 1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !all.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&all)) {
        return Err(invalid("too many descriptors for one message"));
    }
    let parts = [IoSlice::new(&parcel.preamble), IoSlice::new(&parcel.inline)];
    loop {
        // A peer that is gone is an error here, not a signal.
        match sendmsg(socket, &parts, &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

thread_local! {
    /// Where messages arrive before their length is known.
    static ARRIVAL: RefCell<Vec<u8>> = RefCell::new(vec![0; MOST_INLINE]);
}

/// Receives a message; `UnexpectedEof` when the other side is gone.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Message> {
    receive_with(socket, None)
}

/// Where the other side's kept memory is seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    view: Option<View>,
    /// Whether messages are read in place: the other side leaves them alone until it is answered.
    believed: bool,
}

impl Seen {
    /// Of a side that is believed.
    pub(crate) fn believed() -> Self {
        Self { view: None, believed: true }
    }

    fn message(&self, length: usize) -> io::Result<Bytes> {
        let view = self.view.as_ref().ok_or_else(|| invalid("a message lies in no memory"))?;
        if self.believed { view.in_place(length) } else { view.copy(length) }
    }
}

/// The same from one that may write messages to memory it keeps.
pub(crate) fn receive_with(socket: BorrowedFd<'_>, kept: Option<&mut Seen>) -> io::Result<Message> {
    ARRIVAL.with_borrow_mut(|arrival| receive_through(socket, kept, arrival))
}

fn receive_through(
    socket: BorrowedFd<'_>,
    kept: Option<&mut Seen>,
    arrival: &mut [u8],
) -> io::Result<Message> {
    let mut preamble = [0; PREAMBLE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS + 1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut preamble), IoSliceMut::new(arrival)];
        match recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received.bytes < PREAMBLE
        || received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(invalid("a message was cut off"));
    }
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&preamble[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (head, total, is_kept) = (word(0), word(8) & !KEPT, word(8) & KEPT != 0);
    if total > MOST_BYTES || head > MOST_HEAD || head.next_multiple_of(ALIGN as u64) > total {
        return Err(invalid("a message has an impossible length"));
    }
    let (head, total) = (head as usize, total as usize);
    let inline = &arrival[..received.bytes - PREAMBLE];
    let body: Bytes = if is_kept {
        let Some(kept) = kept else { return Err(invalid("a message lies where none may")) };
        if !descriptors.is_empty() {
            kept.view = Some(View::of(&descriptors.remove(0))?);
        }
        kept.message(total)?
    } else if inline.len() == total {
        Bytes::copy_from_slice(inline)
    } else if inline.is_empty() && !descriptors.is_empty() {
        sealed::read(&descriptors.remove(0), total)?
    } else {
        return Err(invalid("a message has another length than announced"));
    };
    let data = body.slice(data_at(head)..);
    Ok(Message { head: body.slice(..head), data, descriptors })
}

pub(crate) fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_size_come_through_as_they_were() {
        let (ours, theirs) = pair().unwrap();
        for size in [0, 1, 63, 64, 65_535, 65_536, 3_000_001] {
            let data: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
            let parcel = pack(b"head", &[&data[..size / 2], &data[size / 2..]]).unwrap();
            send(ours.as_fd(), &parcel, &[theirs.as_fd()]).unwrap();
            let message = receive(theirs.as_fd()).unwrap();
            assert_eq!((&message.head[..], message.data.len()), (&b"head"[..], size));
            assert_eq!(message.data, data);
            let aligned = (message.data.as_ptr() as usize).is_multiple_of(ALIGN);
            assert!(aligned || size <= MOST_INLINE, "{size}");
            assert_eq!(message.descriptors.len(), 1);
        }
        drop(ours);
        assert_eq!(receive(theirs.as_fd()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn kept_memory_is_used_again_and_grows() {
        let (ours, theirs) = pair().unwrap();
        let (mut arena, mut seen) = (None, Seen::believed());
        for (size, is_new) in
            [(100_000, true), (110_000, false), (900_000, true), (70_000, false), (10, false)]
        {
            let data: Vec<u8> = (0..size).map(|byte| (byte % 251) as u8).collect();
            let parcel = pack_with(b"head", &[&data], Some(&mut arena)).unwrap();
            assert_eq!(parcel.shared.is_some(), is_new, "{size}");
            send(ours.as_fd(), &parcel, &[]).unwrap();
            let message = receive_with(theirs.as_fd(), Some(&mut seen)).unwrap();
            assert_eq!((&message.head[..], &message.data[..]), (&b"head"[..], &data[..]));
            assert!((message.data.as_ptr() as usize).is_multiple_of(ALIGN) || size <= MOST_INLINE);
            assert!(message.descriptors.is_empty());
        }
        // What is too large to keep is sealed as ever.
        let large = vec![7; arena::MOST + 1];
        let parcel = pack_with(b"head", &[&large], Some(&mut arena)).unwrap();
        send(ours.as_fd(), &parcel, &[]).unwrap();
        assert_eq!(receive_with(theirs.as_fd(), Some(&mut seen)).unwrap().data, large);
        // Nobody is told of memory where none may be.
        let parcel = pack_with(b"head", &[&large[..100_000]], Some(&mut arena)).unwrap();
        send(ours.as_fd(), &parcel, &[]).unwrap();
        let error = receive(theirs.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_a_worker_keeps_is_copied_before_it_is_read() {
        let (ours, theirs) = pair().unwrap();
        let (mut arena, mut seen) = (None, Seen::default());
        let mut ask = |byte: u8| {
            let parcel = pack_with(b"head", &[&[byte; 100_000]], Some(&mut arena)).unwrap();
            send(ours.as_fd(), &parcel, &[]).unwrap();
            receive_with(theirs.as_fd(), Some(&mut seen)).unwrap()
        };
        let (first, second) = (ask(1), ask(2));
        assert!(first.data.iter().all(|&byte| byte == 1), "it does not change any more");
        assert!(second.data.iter().all(|&byte| byte == 2));
    }

    #[test]
    fn nonsense_is_an_error() {
        let (ours, theirs) = pair().unwrap();
        let words = |head: u64, total: u64| [head.to_le_bytes(), total.to_le_bytes()].concat();
        for bytes in [
            b"short".to_vec(),
            words(u64::MAX, 1),
            words(1, 4),
            words(0, u64::MAX),
            words(64, 64),
            words(0, 1 << 20),
            words(0, 1 << 20 | KEPT),
        ] {
            rustix::net::send(&ours, &bytes, SendFlags::NOSIGNAL).unwrap();
            let error = receive(theirs.as_fd()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }
}
