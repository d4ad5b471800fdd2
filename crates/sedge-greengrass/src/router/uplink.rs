use std::sync::atomic::{AtomicU64, Ordering};

use super::Message;

/// The way to the cloud: takes messages whose target is `cloud`.
pub trait Uplink: Send + Sync {
    /// Takes a message, which may leave later; does not block.
    ///
    /// # Errors
    /// Why it cannot be taken.
    fn send(&self, message: &Message) -> Result<(), String>;
}

/// No way to the cloud: what is sent there is counted and told at DEBUG.
#[derive(Debug, Default)]
pub struct NoUplink {
    messages: AtomicU64,
}

impl NoUplink {
    /// Messages that would have left.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

impl Uplink for NoUplink {
    fn send(&self, message: &Message) -> Result<(), String> {
        self.messages.fetch_add(1, Ordering::Relaxed);
        let bytes = message.payload.len();
        tracing::debug!(topic = message.topic, bytes, "not sent: there is no way to the cloud yet");
        Ok(())
    }
}
