//! What a link and its connections share, and what is known from one connection to the next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::doubt::Doubt;
use super::error::LinkError;
use super::flight::Flight;
use super::packet::Qos;
use super::settings::Settings;
use super::status::Status;
use super::subscriptions::Subscriptions;
use super::{Inbox, Outbox};

/// Filters that are wanted, as they change.
pub(super) type Wishes = watch::Receiver<Vec<(String, Qos)>>;
/// When the link has to have ended, once it is to.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// What a link is made of, for everyone in it.
pub(super) struct Shared {
    pub(super) settings: Settings,
    /// Host and port, for messages.
    pub(super) broker: String,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) inbox: Arc<dyn Inbox>,
    status: Mutex<Status>,
}

impl Shared {
    pub(super) fn new(
        settings: Settings,
        broker: String,
        outbox: Arc<dyn Outbox>,
        inbox: Arc<dyn Inbox>,
    ) -> Self {
        Self { settings, broker, outbox, inbox, status: Mutex::default() }
    }

    pub(super) fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn silent(&self, what: &'static str, waited: Duration) -> LinkError {
        LinkError::Silent { broker: self.broker.clone(), what, waited }
    }
}

/// What is known from one connection to the next.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) flight: Flight,
    pub(super) doubt: Doubt,
    pub(super) subscriptions: Subscriptions,
}
