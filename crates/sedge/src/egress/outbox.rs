//! Messages between the spool, the broker and the functions of a group.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use sedge_cloud::mqtt::topic::{self, Limits};
use sedge_cloud::mqtt::{Inbox, Outbox, Outgoing, Promise, Properties, Publish, Qos, Settled};
use sedge_greengrass::group::Endpoint;
use sedge_greengrass::{Message, Router, Taken, Uplink};
use sedge_spool::{Consumer, Entry, Id, Priority, Spool, SpoolError};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Name under which messages for the broker wait.
pub(super) const DESTINATION: &str = "mqtt";
/// Pause after the spool could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of a message that waits.
#[derive(Serialize, Deserialize)]
struct Head {
    topic: String,
    qos: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retain: bool,
}

/// Puts messages where they wait for the broker. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox {
    spool: Spool,
    limits: Limits,
}

impl Mailbox {
    pub(super) fn new(spool: Spool, limits: Limits) -> Self {
        Self { spool, limits }
    }

    /// Keeps a message until the broker has it. Writes a file.
    pub(super) fn keep(
        &self,
        topic: &str,
        qos: u8,
        retain: bool,
        payload: &[u8],
    ) -> Result<(), String> {
        self.put(topic, (qos, retain), payload, Spool::append)
    }

    fn put(
        &self,
        topic: &str,
        (qos, retain): (u8, bool),
        payload: &[u8],
        append: impl FnOnce(&Spool, &Entry<'_>) -> Result<Id, SpoolError>,
    ) -> Result<(), String> {
        topic::check(topic, payload.len(), &self.limits).map_err(|error| error.to_string())?;
        let head = Head { topic: topic.to_owned(), qos, retain };
        let headers = serde_json::to_vec(&head).map_err(|error| error.to_string())?;
        let (destination, priority) = (DESTINATION, Priority::Normal);
        let entry = Entry { destination, priority, headers: &headers, body: payload };
        append(&self.spool, &entry).map(drop).map_err(|error| error.to_string())
    }
}

/// Messages of a group to the cloud: at least once, in the order of their topic.
impl Uplink for Mailbox {
    fn send(&self, message: &Message) -> Taken {
        let (this, topic, payload) = (self.clone(), message.topic.clone(), message.payload.clone());
        let append = if message.owed { Spool::append_owed } else { Spool::append };
        Box::pin(async move {
            let kept = move || this.put(&topic, (1, false), &payload, append);
            let kept = tokio::task::spawn_blocking(kept);
            kept.await.map_err(|error| error.to_string())?
        })
    }
}

/// What waits for the broker, as the link takes it.
pub(super) struct SpoolOutbox {
    consumer: Consumer,
    arrived: Arc<Notify>,
}

impl SpoolOutbox {
    pub(super) fn new(spool: &Spool) -> Result<Self, SpoolError> {
        let (consumer, arrived) = (spool.consumer(DESTINATION)?, Arc::new(Notify::new()));
        let told = arrived.clone();
        // One permit is kept, so that what comes between two looks is not missed.
        consumer.wake_by(move || told.notify_one());
        Ok(Self { consumer, arrived })
    }

    fn settle(&self, id: Id, settled: sedge_spool::Settled) {
        if let Err(error) = self.consumer.settle(id, settled) {
            tracing::error!("a message may be sent again: {error}");
        }
    }
}

impl Outbox for SpoolOutbox {
    fn next(&self) -> Promise<'_, Outgoing> {
        Box::pin(async move {
            loop {
                match self.consumer.try_next() {
                    Ok(Some(record)) => {
                        let Ok(head) = serde_json::from_slice::<Head>(&record.headers) else {
                            tracing::error!(id = %record.id, "what waits is no message");
                            self.settle(record.id, sedge_spool::Settled::Refused);
                            continue;
                        };
                        return Outgoing {
                            id: number(record.id),
                            topic: head.topic,
                            qos: if head.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce },
                            retain: head.retain,
                            payload: Bytes::from(record.body),
                            properties: Properties::default(),
                        };
                    }
                    Ok(None) => self.arrived.notified().await,
                    Err(error) => {
                        tracing::error!("messages cannot be read: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        })
    }

    fn settled(&self, id: u64, how: Settled) {
        let settled = match how {
            Settled::Delivered => sedge_spool::Settled::Delivered,
            Settled::Refused(why) => {
                tracing::error!("a message is given up: {why}");
                sedge_spool::Settled::Refused
            }
        };
        self.settle(id_of(id), settled);
        // There may be room for another one.
        self.arrived.notify_one();
    }

    fn lost_connection(&self) {
        self.consumer.return_all();
        self.arrived.notify_one();
    }
}

/// A record's id as one number.
fn number(id: Id) -> u64 {
    let place = Priority::ALL.iter().position(|priority| *priority == id.priority);
    id.number << 2 | place.unwrap_or_default() as u64
}

fn id_of(number: u64) -> Id {
    let priority = Priority::ALL.get((number & 3) as usize).copied().unwrap_or(Priority::Normal);
    Id { priority, number: number >> 2 }
}

/// Messages of the broker go to whom the group's subscriptions say.
#[derive(Default)]
pub(super) struct GroupInbox {
    router: Mutex<Weak<Router>>,
}

impl GroupInbox {
    pub(super) fn set(&self, router: &Arc<Router>) {
        *self.router.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(router);
    }
}

impl Inbox for GroupInbox {
    fn message(&self, message: Publish) -> Promise<'_, ()> {
        let router = self.router.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        Box::pin(async move {
            let Some(router) = router else { return };
            let (source, topic, payload) = (Endpoint::Cloud, message.topic, message.payload);
            let (all_or_error, owed) = (false, false);
            let message = Message { source, topic, payload, all_or_error, owed };
            if let Err(error) = router.publish(&message).await {
                tracing::warn!(topic = message.topic, "a message of the broker: {error}");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_and_back() {
        for priority in Priority::ALL {
            for id in [1, 2, 1 << 61].map(|number| Id { priority, number }) {
                assert_eq!(id_of(number(id)), id);
            }
        }
    }
}
