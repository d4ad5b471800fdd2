//! The core's end of a channel on which a worker answers one task at a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use sedge_service::{Answer, Request};
use tokio::io::unix::AsyncFd;

use crate::arena::Arena;
use crate::channel::{self, Message, Parcel};
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
}

impl Lane {
    /// A lane over a socket that does not block. To be called within the runtime.
    #[allow(unsafe_code)]
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned, always the same, and closed with the lane only.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket, kept: Mutex::default() })
    }

    /// Sends what was packed.
    pub(crate) async fn send(&self, parcel: &Parcel) -> io::Result<()> {
        self.send_with(parcel, &[]).await
    }

    /// Sends what was packed, and descriptors that the other side gets copies of.
    pub(crate) async fn send_with(
        &self,
        parcel: &Parcel,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        loop {
            match channel::send(self.socket.as_fd(), parcel, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.writable().await?.clear_ready();
                }
                sent => return sent,
            }
        }
    }

    /// Waits for a message.
    pub(crate) async fn receive(&self) -> io::Result<Message> {
        loop {
            let mut ready = self.socket.readable().await?;
            match channel::receive(self.socket.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
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
        self.send(&parcel).await?;
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
