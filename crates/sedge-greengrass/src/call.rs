use std::future::Future;
use std::pin::Pin;

use crate::{ClientContext, FunctionArn};
use bytes::Bytes;

/// One asks another for something: function to function, function to connector, function to the
/// router, the shadows or the secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Identifier of this invocation, a UUID.
    pub id: String,
    /// The function that asks; `None` when Sedge itself does.
    pub caller: Option<FunctionArn>,
    /// What the caller says beside the payload.
    pub context: ClientContext,
    /// Whether an answer is waited for.
    pub kind: Kind,
    /// What is handed over.
    pub payload: Bytes,
}

/// Whether an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `RequestResponse`.
    Request,
    /// `Event`.
    Event,
}

/// Why there is no answer: what the caller's SDK raises as an error of the one it called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The one that was called said so itself.
    #[error("{0}")]
    Handled(String),
    /// It could not even: it ended, took too long, is not there.
    #[error("{0}")]
    Unhandled(String),
}

/// An answer that is on its way.
pub type Answer = Pin<Box<dyn Future<Output = Result<Bytes, Failure>> + Send>>;

/// Something that can be called.
pub trait Callee: Send + Sync {
    /// Answers a call; dropping the answer gives it up.
    fn call(&self, call: Call) -> Answer;

    /// Whether answers come soon, so that the caller of an event may wait to hear that it was
    /// taken. Else an event counts as taken unless it is refused at once.
    fn answers_soon(&self) -> bool {
        false
    }
}
