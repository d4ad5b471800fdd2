use std::sync::{Arc, PoisonError, RwLock};

use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::calls::Calls;
use super::{Desk, MAX_HELD_BYTES, MAX_OPEN_CALLS};
use crate::{FunctionArn, id};

/// What one process of a function has in the protocol.
#[derive(Debug)]
pub(crate) struct Seat {
    /// What the process shows with every request.
    pub(crate) token: String,
    /// Whose process it is.
    pub(crate) function: FunctionArn,
    pub(crate) desk: Desk,
    pub(crate) calls: Arc<Calls>,
    /// Calls that it may open yet.
    pub(crate) places: Arc<Semaphore>,
    /// KiB that it may have on their way yet.
    pub(crate) allowance: Arc<Semaphore>,
}

/// All seats that are taken.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: RwLock<Vec<Arc<Seat>>>,
}

impl Seats {
    /// A seat for a process that is about to be started.
    pub(crate) fn take(&self, function: &FunctionArn) -> Arc<Seat> {
        let seat = Arc::new(Seat {
            token: id::token(),
            function: function.clone(),
            desk: Desk::default(),
            calls: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_OPEN_CALLS)),
            allowance: Arc::new(Semaphore::new(MAX_HELD_BYTES >> 10)),
        });
        self.taken.write().unwrap_or_else(PoisonError::into_inner).push(seat.clone());
        seat
    }

    /// Frees the seat of a process that has ended: its token opens nothing any more.
    pub(crate) fn leave(&self, seat: &Seat) {
        let mut taken = self.taken.write().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|other| other.token != seat.token);
    }

    /// The seat that a token belongs to. Takes as long for every token of one length.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Arc<Seat>> {
        let taken = self.taken.read().unwrap_or_else(PoisonError::into_inner);
        taken.iter().fold(None, |found, seat| {
            let is_it = bool::from(seat.token.as_bytes().ct_eq(token));
            if is_it { Some(seat.clone()) } else { found }
        })
    }
}
