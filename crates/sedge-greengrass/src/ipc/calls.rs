use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::AbortHandle;

use crate::{Answer, Failure};

/// How long an answer is kept that nobody fetches.
const KEPT: Duration = Duration::from_secs(60);

type Outcome = Result<Bytes, Failure>;

/// The calls of one process whose answers it has not fetched. Dropped, they are given up.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: Mutex<HashMap<String, Open>>,
}

#[derive(Debug)]
struct Open {
    outcome: watch::Receiver<Option<Outcome>>,
    task: AbortHandle,
}

impl Calls {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows an answer until it is fetched; `place` is free again after that.
    pub(crate) fn follow(
        self: &Arc<Self>,
        id: String,
        answer: Answer,
        place: OwnedSemaphorePermit,
    ) {
        let (done, outcome) = watch::channel(None);
        let (calls, own) = (Arc::downgrade(self), id.clone());
        let task = tokio::spawn(async move {
            done.send_replace(Some(answer.await));
            tokio::time::sleep(KEPT).await;
            if let Some(calls) = calls.upgrade() {
                calls.open().remove(&own);
            }
            drop(place);
        });
        self.open().insert(id, Open { outcome, task: task.abort_handle() });
    }

    /// Waits for an answer, which is forgotten with that; `None` when there is no such call.
    pub(crate) async fn fetch(&self, id: &str) -> Option<Outcome> {
        let mut outcome = self.open().get(id)?.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await.ok()?.clone();
        self.open().remove(id);
        outcome
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}
