//! The core's end of a channel on which a worker answers one task at a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use sedge_service::{Answer, Request};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::arena::Arena;
use crate::channel::{self, Message, Parcel, Seen};
use crate::message;

/// Requests whose data is larger are copied on a thread of their own: the one that serves sockets
/// has others to serve.
const MOST_COPIED_HERE: usize = 1 << 20;

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane {
    socket: AsyncFd<OwnedFd>,
    /// Where requests are written to; its worker has read one when it answers.
    kept: Mutex<Option<Arena>>,
    /// Where its worker writes answers to.
    seen: Mutex<Seen>,
}

impl Lane {
    /// A lane over a socket that does not block. To be called within the runtime.
    #[allow(unsafe_code)]
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        // Not for writing: each request that a worker takes makes room, of which this thread would be
        // woken to hear in the middle of it.
        // SAFETY: the descriptor is owned, always the same, and closed with the lane only.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self { socket, kept: Mutex::default(), seen: Mutex::default() })
    }

    /// Sends what was packed, and descriptors that the other side gets copies of. Before the last
    /// message was read there may be no room, and that is an error: one at a time goes through.
    pub(crate) fn send(&self, parcel: &Parcel, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        channel::send(self.socket.as_fd(), parcel, descriptors)
    }

    /// Waits for a message. The other side says nothing more before it is asked.
    pub(crate) async fn receive(&self) -> io::Result<Message> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let received = channel::receive_with(self.socket.as_fd(), Some(&mut seen));
            // So that the next wait is not for the message that was just read: it would look for
            // another one first, and keep the worker from this processor meanwhile.
            ready.clear_ready();
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }

    /// Asks and waits for the answers.
    pub(crate) async fn ask(&self, requests: &[&Request]) -> io::Result<Vec<Answer>> {
        let bytes: usize = requests.iter().map(|request| size(request)).sum();
        let parcel = if bytes <= MOST_COPIED_HERE {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            message::pack_requests(requests.iter().copied(), Some(&mut kept))?
        } else {
            let requests: Vec<Request> = requests.iter().map(|&request| request.clone()).collect();
            let pack = move || message::pack_requests(requests.iter(), None);
            tokio::task::spawn_blocking(pack).await.map_err(io::Error::other)??
        };
        self.send(&parcel, &[])?;
        drop(parcel);
        message::unpack_answers(&self.receive().await?, requests.len())
    }
}

fn size(request: &Request) -> usize {
    match &request.payload {
        sedge_service::Payload::Picture(bytes) => bytes.len(),
        sedge_service::Payload::Tensors(tensors) => {
            tensors.iter().map(|(_, tensor)| tensor.bytes().len()).sum()
        }
    }
}
