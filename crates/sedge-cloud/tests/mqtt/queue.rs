//! An outbox and inbox in memory that check what is promised to them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use sedge_cloud::mqtt::{Inbox, Outbox, Outgoing, Promise, Publish, Qos, Settled};
use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    there_is_more: Notify,
    /// How long the inbox takes for a message.
    slowness: Duration,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<u64, Outgoing>,
    given: u64,
    last: u64,
    settled: Vec<(u64, Settled)>,
    received: Vec<Publish>,
}

impl Queue {
    pub(crate) fn slow(slowness: Duration) -> Self {
        Self { slowness, ..Self::default() }
    }

    pub(crate) fn put(&self, topic: &str, qos: Qos, payload: impl Into<Bytes>) -> u64 {
        let (topic, payload) = (topic.to_owned(), payload.into());
        self.put_message(Outgoing { topic, qos, payload, ..Outgoing::default() })
    }

    pub(crate) fn put_message(&self, mut message: Outgoing) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.last += 1;
        let id = state.last;
        message.id = id;
        state.waiting.insert(id, message);
        self.there_is_more.notify_one();
        id
    }

    /// Messages with the numbers from 1 on.
    pub(crate) fn put_numbers(
        &self,
        topic: &str,
        qos: Qos,
        numbers: std::ops::RangeInclusive<u64>,
    ) {
        for number in numbers {
            self.put(topic, qos, number.to_string());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().unwrap().waiting.is_empty()
    }

    pub(crate) fn settled(&self) -> Vec<(u64, Settled)> {
        self.state.lock().unwrap().settled.clone()
    }

    /// Why a message was not taken.
    pub(crate) fn refusal(&self, id: u64) -> Option<String> {
        self.settled().into_iter().find_map(|(other, how)| match how {
            Settled::Refused(reason) if other == id => Some(reason),
            _ => None,
        })
    }

    pub(crate) fn received(&self) -> Vec<Publish> {
        self.state.lock().unwrap().received.clone()
    }
}

impl Outbox for Queue {
    fn next(&self) -> Promise<'_, Outgoing> {
        Box::pin(async {
            loop {
                {
                    let mut state = self.state.lock().unwrap();
                    let next = state.waiting.range(state.given + 1..).next();
                    if let Some(message) = next.map(|(_, message)| message.clone()) {
                        state.given = message.id;
                        return message;
                    }
                }
                self.there_is_more.notified().await;
            }
        })
    }

    fn settled(&self, id: u64, how: Settled) {
        let mut state = self.state.lock().unwrap();
        assert!(id <= state.given, "{id} was not given");
        assert!(state.waiting.remove(&id).is_some(), "{id} was settled before");
        state.settled.push((id, how));
    }

    fn lost_connection(&self) {
        self.state.lock().unwrap().given = 0;
    }
}

impl Inbox for Queue {
    fn message(&self, message: Publish) -> Promise<'_, ()> {
        Box::pin(async {
            tokio::time::sleep(self.slowness).await;
            self.state.lock().unwrap().received.push(message);
        })
    }
}
