//! Messages to a broker and back: MQTT 3.1.1 and 5, QoS 0 and 1, towards AWS IoT Core or any other.
//!
//! A [`Link`] keeps one connection. It has no queue of its own: what is to be sent stays in an
//! [`Outbox`], is given one message at a time, and is settled there when the broker has it. After a
//! lost connection the outbox gives everything again that was not settled, oldest first; so a
//! message arrives at least once, and the messages of a topic in their order.
//!
//! Not for: keeping messages (that is the outbox's), and deciding who gets those from the broker
//! (that is the [`Inbox`]'s).
//!
//! Read [`Outbox`] first, then [`Settings`] and [`Link`].

mod connection;
mod doubt;
mod error;
mod events;
mod flight;
mod incoming;
mod link;
pub mod packet;
mod reason;
mod settings;
mod shared;
mod status;
mod subscriptions;
mod tls;
pub mod topic;
mod transport;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub use error::LinkError;
pub use link::Link;
pub use packet::{Properties, Protocol, Publish, Qos};
pub use settings::{Login, Settings, SettingsError, Tls, Version};
pub use status::{LATENCY_BOUNDS_MS, Latency, State, Status};

/// What comes later.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A message to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// What the outbox knows it by; another for each message that is not settled.
    pub id: u64,
    /// Where it goes; see [`topic::check`].
    pub topic: String,
    /// How surely.
    pub qos: Qos,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// Any bytes.
    pub payload: Bytes,
    /// Sent with MQTT 5 only.
    pub properties: Properties,
}

/// What has become of a message. It is final: the outbox can forget it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The broker has acknowledged it; with QoS 0, the connection took it.
    Delivered,
    /// It will not be taken, for this reason, which ends with a hint.
    Refused(String),
}

/// Where messages wait. Its methods are called by one task of the runtime and must not block.
pub trait Outbox: Send + Sync + 'static {
    /// The oldest message that has not been given since the last call of
    /// [`Outbox::lost_connection`], as soon as there is one.
    ///
    /// The future is dropped unfinished only when the connection ends or the link stops; after
    /// that comes `lost_connection`, so that a message that was on its way out of it is not lost.
    fn next(&self) -> Promise<'_, Outgoing>;

    /// A message that was given is settled. Messages may be settled in another order than given.
    fn settled(&self, id: u64, how: Settled);

    /// Everything that was given and not settled has to be given again, in its order, before
    /// anything else.
    fn lost_connection(&self);
}

/// Who takes messages from the broker.
pub trait Inbox: Send + Sync + 'static {
    /// Takes one message. The next one comes when the future is done, and with QoS 1 the broker
    /// learns only then that this one has arrived. While it takes its time, a bounded number of
    /// messages waits in memory, and the others at the broker.
    ///
    /// The future is dropped when the connection ends; with QoS 1 the message then comes again.
    fn message(&self, message: Publish) -> Promise<'_, ()>;
}
