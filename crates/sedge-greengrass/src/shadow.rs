//! Shadows of things, kept on the device: what a thing is to be, and what it says it is.
//!
//! Functions ask for them through the core, or by messages on
//! `$aws/things/THING/shadow/get|update|delete`; what becomes of them is published with the source
//! `GGShadowService`. Documents and errors are those of the device shadow service of AWS IoT.

mod document;
mod store;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::group::Endpoint;
use crate::router::{Message, Router};
use crate::{Answer, Call, Callee, Failure};
use document::ShadowError;
use store::Store;

/// Address of the shadows for functions.
pub(crate) const ARN: &str = "arn:aws:lambda:::function:GGShadowService";

/// The shadows of a core.
pub(crate) struct Shadows {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    /// One after the other: a version is given once.
    turn: Mutex<()>,
    router: Weak<Router>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Get,
    Update,
    Delete,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What an operation has come to: what is answered, and what else is published.
struct Outcome {
    accepted: Value,
    further: Vec<(&'static str, Value)>,
}

impl Shadows {
    /// Shadows kept as files in `directory`.
    pub(crate) fn new(directory: &Path, router: &Arc<Router>) -> Self {
        let (store, turn) = (Arc::new(Store::new(directory)), Mutex::default());
        Self { inner: Arc::new(Inner { store, turn, router: Arc::downgrade(router) }) }
    }
}

impl Callee for Shadows {
    fn call(&self, call: Call) -> Answer {
        let inner = self.inner.clone();
        Box::pin(async move {
            let topic = call.context.custom("subject").unwrap_or_default();
            let topic = topic.as_str().unwrap_or_default();
            let Some((thing, operation)) = parse(topic) else {
                let text = format!(
                    "'{topic}' asks for no shadow. Hint: $aws/things/THING/shadow/get, update or delete"
                );
                return Err(Failure::Handled(text));
            };
            Ok(inner.answer(thing, operation, &call.payload).await)
        })
    }
}

impl Inner {
    async fn answer(&self, thing: &str, operation: Operation, payload: &Bytes) -> Bytes {
        let request: Result<Value, ShadowError> = match payload.len() {
            0 => Ok(json!({})),
            bytes if bytes > document::MOST_BYTES => Err(ShadowError::TooLarge),
            _ => serde_json::from_slice(payload).map_err(|_| ShadowError::Invalid("Invalid JSON")),
        };
        let token = request.as_ref().ok().map(|request| request["clientToken"].clone());
        let outcome = match request {
            Ok(request) => self.run(thing, operation, request).await,
            Err(error) => Err(error),
        };
        let topic = format!("$aws/things/{thing}/shadow/{}", operation.word());
        let with_token = |mut answer: Value| {
            if let (Some(Value::String(token)), Some(answer)) = (&token, answer.as_object_mut()) {
                answer.insert("clientToken".into(), token.clone().into());
            }
            answer
        };
        match outcome {
            Ok(Outcome { accepted, further }) => {
                let accepted = with_token(accepted);
                self.publish(format!("{topic}/accepted"), &accepted).await;
                for (name, document) in further {
                    self.publish(format!("{topic}/{name}"), &with_token(document)).await;
                }
                accepted.to_string().into()
            }
            Err(error) => {
                let rejected = with_token(json!({
                    "code": error.code(), "message": error.to_string(), "timestamp": seconds(),
                }));
                self.publish(format!("{topic}/rejected"), &rejected).await;
                rejected.to_string().into()
            }
        }
    }

    async fn run(
        &self,
        thing: &str,
        operation: Operation,
        request: Value,
    ) -> Result<Outcome, ShadowError> {
        let _turn = self.turn.lock().await;
        let (thing, store) = (thing.to_owned(), self.store.clone());
        // Files are read and synced, which may take a while on a slow card.
        let done = tokio::task::spawn_blocking(move || apply(&store, &thing, operation, &request));
        done.await.map_err(|error| ShadowError::Store(error.to_string()))?
    }

    async fn publish(&self, topic: String, document: &Value) {
        let Some(router) = self.router.upgrade() else { return };
        let (source, payload) = (Endpoint::Shadows, document.to_string().into());
        // Whoever listens and cannot take it has been told of in the log.
        let (all_or_error, owed) = (false, false);
        let message = Message { source, topic, payload, all_or_error, owed };
        let _ = router.publish(&message).await;
    }
}

fn apply(
    store: &Store,
    thing: &str,
    operation: Operation,
    request: &Value,
) -> Result<Outcome, ShadowError> {
    let now = seconds();
    let before = store.read(thing)?;
    let missing = || ShadowError::NotFound(thing.to_owned());
    let is_there = before.as_ref().filter(|document| document.is_there());
    match operation {
        Operation::Get => {
            let accepted = is_there.ok_or_else(missing)?.shown(now);
            Ok(Outcome { accepted, further: Vec::new() })
        }
        Operation::Delete => {
            let document = is_there.ok_or_else(missing)?;
            document.check_version(request)?;
            let accepted = json!({ "version": document.version, "timestamp": now });
            store.write(thing, &document.deleted())?;
            Ok(Outcome { accepted, further: Vec::new() })
        }
        Operation::Update => {
            let before = before.unwrap_or_default();
            let (after, changed) = before.updated(request, now)?;
            store.write(thing, &after)?;
            let mut further = Vec::new();
            if let Some(delta) = after.delta_message(now) {
                further.push(("delta", delta));
            }
            let documents =
                json!({ "previous": before.plain(), "current": after.plain(), "timestamp": now });
            further.push(("documents", documents));
            Ok(Outcome { accepted: changed, further })
        }
    }
}

/// Thing and operation of `$aws/things/THING/shadow/OPERATION`.
fn parse(topic: &str) -> Option<(&str, Operation)> {
    let (thing, operation) = topic.strip_prefix("$aws/things/")?.split_once("/shadow/")?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b":_-".contains(&b);
    let is_thing = (1..=128).contains(&thing.len()) && thing.bytes().all(fits);
    let operation = match operation {
        "get" => Operation::Get,
        "update" => Operation::Update,
        "delete" => Operation::Delete,
        _ => return None,
    };
    is_thing.then_some((thing, operation))
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
