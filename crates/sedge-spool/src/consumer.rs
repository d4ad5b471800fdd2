use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::kinds::{Id, Record, Settled};
use crate::ledger::End;
use crate::spool::Spool;
use crate::{Priority, SpoolError};

/// Most records of a destination that are handed out and not settled.
pub const MAX_IN_FLIGHT: usize = 256;

/// The one that takes the records of a destination, until it is dropped; what it has not settled is
/// handed out to the next.
pub struct Consumer {
    spool: Spool,
    destination: String,
}

impl Consumer {
    pub(crate) fn new(spool: &Spool, destination: &str) -> Result<Self, SpoolError> {
        let destination = destination.to_owned();
        let mut state = spool.shared().state();
        if state.consumers.contains_key(&destination) {
            return Err(SpoolError::ConsumerTaken { destination });
        }
        state.consumers.insert(destination.clone(), None);
        drop(state);
        Ok(Self { spool: spool.clone(), destination })
    }

    /// The next record: of the highest priority that has one, the oldest that is not handed out.
    /// Waits for one so long; `None` when none came, or [`MAX_IN_FLIGHT`] are handed out. Damaged
    /// records are passed over.
    pub fn next(&self, wait: Duration) -> Result<Option<Record>, SpoolError> {
        let shared = self.spool.shared();
        let deadline = Instant::now().checked_add(wait);
        let failed = || SpoolError::io("read", &shared.directory);
        let mut state = shared.state();
        loop {
            state.expire().map_err(failed())?;
            let taken = state.take(&self.destination, MAX_IN_FLIGHT).map_err(failed())?;
            state.flush_or_say();
            if let Some((priority, whereabouts)) = taken {
                let head = whereabouts.found.head;
                let age = state.clock.age(&head, state.now());
                drop(state);
                let id = Id { priority, number: head.number };
                if let Some((headers, body)) = whereabouts.read() {
                    let appended = SystemTime::UNIX_EPOCH + Duration::from_millis(head.wall_ms);
                    return Ok(Some(Record { id, appended, age, headers, body }));
                }
                self.end(id, End::Lost)?;
                state = shared.state();
                continue;
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => wait,
            };
            if left.is_zero() {
                return Ok(None);
            }
            let waited = shared.arrived.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next record, if there is one now.
    pub fn try_next(&self) -> Result<Option<Record>, SpoolError> {
        self.next(Duration::ZERO)
    }

    /// Has this called each time that a record may be there, from the thread that brought it: for
    /// waiting without a thread. It must not block, nor call the spool.
    pub fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        let mut state = self.spool.shared().state();
        state.consumers.insert(self.destination.clone(), Some(Arc::new(wake)));
    }

    /// Ends a record that was handed out; in any order. After an error of the disk it may be handed
    /// out once more by the next process, and never by this one.
    pub fn settle(&self, id: Id, settled: Settled) -> Result<(), SpoolError> {
        self.end(id, settled.into())
    }

    fn end(&self, id: Id, end: End) -> Result<(), SpoolError> {
        let shared = self.spool.shared();
        let mut state = shared.state();
        let lane = state.lane(&self.destination, id.priority);
        if !lane.is_some_and(|lane| lane.settle(id.number, end)) {
            return Err(SpoolError::NotHandedOut { id });
        }
        let flushed = state.flush().map_err(SpoolError::io("write to", &shared.directory));
        shared.arrived.notify_all();
        flushed.map(drop)
    }

    /// Hands out again, in order, all that was not settled: as after a lost connection.
    pub fn return_all(&self) {
        let shared = self.spool.shared();
        let mut state = shared.state();
        for priority in Priority::ALL {
            if let Some(lane) = state.lane(&self.destination, priority) {
                lane.return_all();
            }
        }
        shared.arrived.notify_all();
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.return_all();
        self.spool.shared().state().consumers.remove(&self.destination);
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("destination", &self.destination).finish_non_exhaustive()
    }
}
