use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::backend::Backend;
use crate::desk::Desk;
use crate::{Request, Response, RunnerError};

/// What a request is answered with.
pub type Answer = Result<Response, RunnerError>;

/// A request that was admitted.
pub(crate) struct Member {
    pub(crate) request: Request,
    pub(crate) admitted: Instant,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Answer>,
}

impl Member {
    /// Nobody waits for what is late or was given up.
    pub(crate) fn is_wanted(&self, now: Instant) -> bool {
        !self.reply.is_closed() && now < self.deadline
    }
}

/// Requests that are answered in one run, and the turn that they take.
///
/// The turn ends with the task, whether it was finished or dropped; what was not answered then is
/// told so.
pub struct Task {
    members: Vec<Member>,
    begun: Instant,
    turn: Turn,
}

impl Task {
    pub(crate) fn new(members: Vec<Member>, desk: Arc<Desk>, backend: Arc<dyn Backend>) -> Self {
        desk.statistics().started();
        Self { members, begun: Instant::now(), turn: Turn { desk, _backend: backend } }
    }

    /// What is asked; at least one request.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = &Request> {
        self.members.iter().map(|member| &member.request)
    }

    /// When the last of them is too late.
    pub fn deadline(&self) -> Instant {
        self.members.iter().map(|member| member.deadline).max().unwrap_or(self.begun)
    }

    /// Answers the requests in their order.
    pub fn finish(self, answers: impl IntoIterator<Item = Result<Response, RunnerError>>) {
        let Self { members, begun, turn } = self;
        let took = begun.elapsed();
        turn.desk.learn(took / members.len().max(1) as u32);
        for (member, mut answer) in members.into_iter().zip(answers) {
            let queued = begun.saturating_duration_since(member.admitted).as_micros() as u64;
            if let Ok(response) = &mut answer {
                response.add_queue_time(queued);
            }
            let _ = member.reply.send(answer);
        }
    }

    /// Answers all of them with an error.
    pub fn fail(self, error: &RunnerError) {
        let Self { members, turn, .. } = self;
        for member in members {
            let _ = member.reply.send(Err(error.clone()));
        }
        drop(turn);
    }

    /// Has the requests wait for another turn, before all others: nobody has begun to answer them.
    pub fn put_back(self) {
        let Self { members, turn, .. } = self;
        turn.desk.put_back(members);
    }
}

/// The right to compute. It keeps what computes alive, so that a version that was replaced goes
/// when the last of its requests is answered.
struct Turn {
    desk: Arc<Desk>,
    _backend: Arc<dyn Backend>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.desk.statistics().ended();
        self.desk.give_back();
    }
}
