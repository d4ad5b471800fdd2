//! Messages on topics, from whoever publishes to whoever a subscription says.

mod filter;
mod uplink;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub use uplink::{NoUplink, Taken, Uplink};

use crate::group::{Endpoint, Level, Subscription};
use crate::ipc::Registry;
use crate::log::Logs;
use crate::{Answer, Call, Callee, ClientContext, ConnectorArn, Failure, FunctionArn, Kind, id};

/// Address of the router for functions.
pub(crate) const ARN: &str = "arn:aws:lambda:::function:GGRouter";

/// Most bytes of a message, as MQTT of AWS IoT has it. Pictures go by calls.
const MOST_PAYLOAD_BYTES: usize = 128 << 10;
/// Most bytes of a topic: the longest that AWS IoT takes, with its reserved beginning.
const MOST_TOPIC_BYTES: usize = 512;
/// Messages that were handed over and are not handled yet, all targets together.
const MOST_UNDER_WAY: usize = 4096;
/// Pairs of sender and topic that are remembered as told.
const MOST_TOLD: usize = 1000;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub source: Endpoint,
    /// Its topic, without wildcards.
    pub topic: String,
    /// What it says, at most 128 KiB.
    pub payload: Bytes,
    /// That the sender wants to know when not every target takes it (`AllOrException`).
    pub all_or_error: bool,
    /// That it follows from something that was taken, and is forgotten only when this is kept: the
    /// way to the cloud finds room for it, and where it does not, that is an error.
    pub owed: bool,
}

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PublishError {
    #[error("'{0}' is no topic to publish on: it is empty, too long, or has wildcards")]
    Topic(String),
    #[error(
        "a message has at most 128 KB, and this one {0} bytes. Hint: hand pictures to a function with lambda.invoke"
    )]
    TooLarge(usize),
    #[error("not every target has taken the message: {0}")]
    Refused(String),
}

/// How many messages there were.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) delivered: AtomicU64,
    pub(crate) unroutable: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// Knows the subscriptions of a group.
pub struct Router {
    this: Weak<Self>,
    subscriptions: Vec<Subscription>,
    registry: Arc<Registry>,
    connectors: RwLock<HashMap<ConnectorArn, Arc<dyn Callee>>>,
    uplink: Arc<dyn Uplink>,
    logs: Arc<Logs>,
    under_way: Arc<Semaphore>,
    told: Mutex<BTreeSet<(String, String)>>,
    pub(crate) counts: Counts,
}

impl Router {
    pub(crate) fn new(
        subscriptions: Vec<Subscription>,
        registry: Arc<Registry>,
        uplink: Arc<dyn Uplink>,
        logs: Arc<Logs>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            subscriptions,
            registry,
            connectors: RwLock::default(),
            uplink,
            logs,
            under_way: Arc::new(Semaphore::new(MOST_UNDER_WAY)),
            told: Mutex::default(),
            counts: Counts::default(),
        })
    }

    /// Lets `callee` take the messages for a connector.
    pub fn register_connector(&self, arn: &ConnectorArn, callee: Arc<dyn Callee>) {
        let mut connectors = self.connectors.write().unwrap_or_else(PoisonError::into_inner);
        connectors.insert(arn.clone(), callee);
    }

    /// Hands a message to all targets of subscriptions that it matches. When it returns without
    /// error, what goes to the cloud is kept until it got there.
    ///
    /// # Errors
    /// When it is no message, or its sender wants to know of a target that did not take it.
    pub async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        if !filter::is_topic(&message.topic) || message.topic.len() > MOST_TOPIC_BYTES {
            let shown = message.topic.chars().take(100).flat_map(char::escape_debug).collect();
            return Err(PublishError::Topic(shown));
        }
        if message.payload.len() > MOST_PAYLOAD_BYTES {
            return Err(PublishError::TooLarge(message.payload.len()));
        }
        let mut targets: Vec<&Endpoint> = Vec::new();
        for subscription in &self.subscriptions {
            let fits = is_same(&subscription.source, &message.source)
                && filter::matches(&subscription.subject, &message.topic);
            // Two subscriptions with one target are one message to it.
            if fits && !targets.iter().any(|target| is_same(target, &subscription.target)) {
                targets.push(&subscription.target);
            }
        }
        if targets.is_empty() {
            self.tell_unroutable(message);
        }
        let (mut refused, mut is_owed) = (Vec::new(), false);
        for target in targets {
            match self.deliver(target, message).await {
                Ok(()) => self.counts.delivered.fetch_add(1, Ordering::Relaxed),
                Err(why) => {
                    tracing::warn!(topic = message.topic, "a message was not taken: {why}");
                    is_owed |= message.owed && *target == Endpoint::Cloud;
                    refused.push(why);
                    self.counts.refused.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
        if refused.is_empty() || !(message.all_or_error || is_owed) {
            return Ok(());
        }
        Err(PublishError::Refused(refused.join("; ")))
    }

    async fn deliver(&self, target: &Endpoint, message: &Message) -> Result<(), String> {
        let callee = match target {
            Endpoint::Cloud => return self.uplink.send(message).await,
            Endpoint::Function(arn) => {
                self.registry.find(arn).ok_or_else(|| format!("{arn} is not deployed"))
            }
            Endpoint::Connector(arn) => {
                let connectors = self.connectors.read().unwrap_or_else(PoisonError::into_inner);
                let callee = connectors.get(arn).cloned();
                callee.ok_or_else(|| format!("the connector {arn} takes no messages"))
            }
            Endpoint::Shadows => {
                let arn = crate::shadow::ARN.parse().map_err(|_| "no shadows".to_owned())?;
                self.registry.find(&arn).ok_or_else(|| "there are no shadows".to_owned())
            }
            Endpoint::Device(thing) => Err(format!("the device {thing} is not connected")),
        }?;
        let place = self.under_way.clone().try_acquire_owned();
        let place =
            place.map_err(|_| format!("{MOST_UNDER_WAY} messages are under way already"))?;
        let caller = match &message.source {
            Endpoint::Function(arn) => Some(arn.clone()),
            _ => None,
        };
        let context = ClientContext::of(&json!({ "subject": message.topic }));
        let (id, kind, payload) = (id::uuid(), Kind::Event, message.payload.clone());
        let mut answer = callee.call(Call { id, caller, context, kind, payload });
        // Whether it was taken is known at once.
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(drop).map_err(|failure| failure.to_string()),
            Poll::Pending => {
                let topic = message.topic.clone();
                tokio::spawn(async move {
                    if let Err(failure) = answer.await {
                        tracing::debug!(topic, "a message was not handled: {failure}");
                    }
                    drop(place);
                });
                Ok(())
            }
        }
    }

    fn tell_unroutable(&self, message: &Message) {
        // Shadows tell whoever listens, mostly nobody.
        if message.source == Endpoint::Shadows {
            return;
        }
        self.counts.unroutable.fetch_add(1, Ordering::Relaxed);
        let source = spelled(&message.source);
        // The words of V1, each time.
        let discarded = "Failed to get routes. Discarding message.";
        let about = [("source", json!(source)), ("subject", json!(message.topic))];
        self.logs.write_runtime(Level::Debug, discarded, &about);
        let pair = (source.clone(), message.topic.clone());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD || !told.insert(pair) {
            return;
        }
        drop(told);
        let missing = json!({
            "Id": id::uuid(), "Source": source, "Subject": message.topic, "Target": "cloud",
        });
        let text = format!(
            "No subscription takes what {source} publishes on {}: such messages are discarded. \
             Hint: add this one to the group's subscriptions, with the target you want",
            message.topic
        );
        self.logs.write_runtime(Level::Warn, &text, &[("subscription", missing.clone())]);
        tracing::warn!(subscription = %missing, "{text}");
    }
}

impl Callee for Router {
    fn call(&self, call: Call) -> Answer {
        let this = self.this.upgrade();
        Box::pin(async move {
            let Some(this) = this else { return Err(Failure::Unhandled("it stops".into())) };
            let published = this.publish_call(call).await;
            published.map(|()| Bytes::new()).map_err(Failure::Handled)
        })
    }

    fn answers_soon(&self) -> bool {
        true
    }
}

impl Router {
    /// A function publishes: the topic is in the context, and the sender known by its token.
    async fn publish_call(&self, call: Call) -> Result<(), String> {
        let said = |key: &str| call.context.custom(key);
        let Some(Value::String(topic)) = said("subject") else {
            return Err("the context has no custom.subject".into());
        };
        let source = call.caller.ok_or("nobody has published that")?;
        let message = Message {
            source: Endpoint::Function(source),
            topic,
            all_or_error: said("queueFullPolicy").is_some_and(|policy| policy == "AllOrError"),
            payload: call.payload,
            owed: false,
        };
        self.publish(&message).await.map_err(|error| error.to_string())
    }
}

/// Whether two ends are one; of functions, a group has one version.
fn is_same(one: &Endpoint, other: &Endpoint) -> bool {
    match (one, other) {
        (Endpoint::Function(one), Endpoint::Function(other)) => same_function(one, other),
        _ => one == other,
    }
}

fn same_function(one: &FunctionArn, other: &FunctionArn) -> bool {
    one.unqualified() == other.unqualified()
}

/// An end as a group's definition has it.
fn spelled(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Cloud => "cloud".into(),
        Endpoint::Shadows => "GGShadowService".into(),
        Endpoint::Function(arn) => arn.to_string(),
        Endpoint::Connector(arn) => arn.to_string(),
        Endpoint::Device(thing) => thing.clone(),
    }
}
