use bytes::Bytes;

use crate::Response;

/// Sees what a service was asked about and what it answered: who takes samples, who publishes.
pub trait Tap: Send + Sync {
    /// A picture was answered. Whoever asked has the answer after this returns, so that it must
    /// not take long, and not block.
    fn answered(&self, picture: &Bytes, response: &Response);
}
