use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Message;

/// Whether a message was taken, as soon as that is known.
pub type Taken = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The way to the cloud: takes messages whose target is `cloud`.
pub trait Uplink: Send + Sync {
    /// Takes a message, which may leave later: once taken, it is not lost.
    ///
    /// # Errors
    /// Why it cannot be taken.
    fn send(&self, message: &Message) -> Taken;
}

/// No way to the cloud: messages are not kept for one, which is told once.
#[derive(Debug, Default)]
pub struct NoUplink {
    told: AtomicBool,
}

impl Uplink for NoUplink {
    fn send(&self, message: &Message) -> Taken {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                topic = message.topic,
                "messages to the cloud are discarded: no broker is configured. Hint: [mqtt] in the \
                 configuration, or greengrass.core_config"
            );
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
