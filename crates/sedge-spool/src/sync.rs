//! When what was written reaches the disk.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::SpoolError;
use crate::kinds::Sync;
use crate::lane::{Dirty, Lane};
use crate::spool::Shared;
use crate::state::State;
use crate::system::System;

/// Appends of [`Sync::Always`]: threads that wait share the next sync, which one of them does.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    /// A sync is going on.
    running: bool,
    /// Up to this order it is known what is on the disk.
    pub(crate) decided: u64,
    /// Orders that somebody waits for.
    waiting: Vec<u64>,
    /// Those of them that are not on the disk.
    failed: Vec<(u64, Arc<io::Error>)>,
    /// Why the last sync failed that nobody waited for.
    pub(crate) error: Option<String>,
}

impl Shared {
    /// Returns when a record is on the disk, or it is taken back.
    pub(crate) fn commit<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        order: u64,
    ) -> Result<(), SpoolError> {
        state.commit.waiting.push(order);
        while state.commit.decided < order {
            state = match state.commit.running {
                true => self.synced.wait(state).unwrap_or_else(PoisonError::into_inner),
                false => self.sync(state),
            };
        }
        let failed = state.commit.failed.iter().position(|(failed, _)| *failed == order);
        let Some(at) = failed else { return Ok(()) };
        let (_, error) = state.commit.failed.swap_remove(at);
        let error = io::Error::new(error.kind(), error.to_string());
        Err(SpoolError::io("sync", &self.directory)(error))
    }

    /// Syncs what was written up to now.
    pub(crate) fn sync_now(&self) {
        let mut state = self.state();
        while state.commit.running {
            state = self.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(self.sync(state));
    }

    fn sync<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.commit.running = true;
        let flushed = state.flush();
        let order = state.next_order - 1;
        let mut dirty = Dirty::default();
        let marks = state.collect(&mut dirty);
        drop(state);
        let synced = flushed.and_then(|_| dirty.sync(&*self.system));
        let mut state = self.state();
        state.commit.running = false;
        match synced {
            Ok(()) => {
                for (name, priority, mark) in marks {
                    if let Some(lane) = state.lane(&name, priority) {
                        lane.reached(mark);
                    }
                }
                state.commit.waiting.retain(|&waiting| waiting > order);
                state.commit.decided = order;
                state.commit.error = None;
            }
            Err(error) => {
                state.commit.error = Some(error.to_string());
                if self.options.sync == Sync::Always {
                    state.all().for_each(|lane| lane.take_back(&*self.system));
                    let error = Arc::new(error);
                    let waiting = std::mem::take(&mut state.commit.waiting);
                    let failed = waiting.into_iter().map(|order| (order, Arc::clone(&error)));
                    state.commit.failed.extend(failed);
                } else {
                    // The system may have forgotten what it could not write: go on in other files.
                    state.all().for_each(Lane::seal);
                }
                state.commit.decided = state.next_order - 1;
            }
        }
        self.synced.notify_all();
        state
    }
}

impl Dirty {
    fn sync(&self, system: &dyn System) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync())?;
        self.directories.iter().try_for_each(|directory| system.sync_dir(directory))
    }
}
