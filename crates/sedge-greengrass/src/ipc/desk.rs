use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

use crate::{Call, Failure};

/// Where a process gets its work, one call at a time, and hands over what became of it.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    work: Mutex<Option<Work>>,
    given: Notify,
    ready: watch::Sender<Option<Result<(), String>>>,
}

#[derive(Debug)]
struct Work {
    call: Arc<Call>,
    answer: oneshot::Sender<Result<Bytes, Failure>>,
}

impl Desk {
    fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a call there, in place of one that was given up.
    pub(crate) fn give(&self, call: Arc<Call>) -> oneshot::Receiver<Result<Bytes, Failure>> {
        let (answer, answered) = oneshot::channel();
        *self.work() = Some(Work { call, answer });
        self.given.notify_waiters();
        answered
    }

    /// Waits for a call. Until it is answered it is the same one, however often it is asked for: a
    /// connection may break while it is handed over.
    pub(crate) async fn next(&self) -> Arc<Call> {
        loop {
            let given = self.given.notified();
            if let Some(work) = self.work().as_ref() {
                return work.call.clone();
            }
            given.await;
        }
    }

    /// Answers the call that is there; false when it is another one.
    pub(crate) fn finish(&self, id: &str, answer: Result<Bytes, Failure>) -> bool {
        let work = self.work().take_if(|work| work.call.id == id);
        work.is_some_and(|work| work.answer.send(answer).is_ok())
    }

    /// Says that the process is ready for work, or why it never will be. The first word counts.
    pub(crate) fn say_ready(&self, result: Result<(), String>) {
        self.ready.send_if_modified(|ready| {
            let first = ready.is_none();
            ready.get_or_insert(result);
            first
        });
    }

    /// Waits for that word.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        let mut ready = self.ready.subscribe();
        match ready.wait_for(Option::is_some).await {
            Ok(said) => said.clone().unwrap_or(Ok(())),
            Err(_) => Err("it ended".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientContext, Kind};

    #[tokio::test]
    async fn work_is_there_until_it_is_answered() {
        let desk = Desk::default();
        let call = |id: &str| {
            let (context, payload) = (ClientContext::default(), Bytes::new());
            Arc::new(Call { id: id.into(), caller: None, context, kind: Kind::Event, payload })
        };
        let mut first = desk.give(call("a"));
        assert_eq!(desk.next().await.id, "a");
        assert_eq!(desk.next().await.id, "a");
        assert!(!desk.finish("b", Ok(Bytes::new())));
        assert!(first.try_recv().is_err());
        assert!(desk.finish("a", Ok(Bytes::from_static(b"1"))));
        assert!(!desk.finish("a", Ok(Bytes::new())));
        assert_eq!(first.await.unwrap().unwrap(), "1");
        let (mut given, waiting) = (None, desk.next());
        let giving = async {
            tokio::task::yield_now().await;
            given = Some(desk.give(call("c")));
        };
        let (next, ()) = tokio::join!(waiting, giving);
        assert_eq!(next.id, "c");
        drop(given);
        assert!(!desk.finish("c", Ok(Bytes::new())), "nobody waits any more");
        desk.say_ready(Err("no".into()));
        desk.say_ready(Ok(()));
        assert_eq!(desk.ready().await, Err("no".into()));
    }
}
