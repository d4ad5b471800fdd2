use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sedge_worker::BackOff;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::instance::{End, Instance};
use super::{Board, Launch, Shared, State, stopped};
use crate::{Answer, Call, Callee, Failure, Kind};

/// Calls that wait for one function (`maxWorkItemCount` of V1).
pub(super) const MOST_WAITING: usize = 1024;

/// Time after which a process that ends did not end at once.
const SETTLED: Duration = Duration::from_secs(60);

/// A function that runs all the time, and answers one call after the other in their order.
pub(crate) struct Pinned {
    name: String,
    queue: mpsc::Sender<Waiting>,
}

struct Waiting {
    call: Call,
    answer: oneshot::Sender<Result<Bytes, Failure>>,
}

impl Pinned {
    /// Starts to keep a process, and says when that is over: when all are to stop.
    pub(crate) fn start(
        launch: Launch,
        shared: Shared,
        board: Arc<Board>,
    ) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let name = launch.arn.name.clone();
        board.set(State::Starting);
        let kept = tokio::spawn(keep(launch, shared, board, waiting));
        (Self { name, queue }, kept)
    }
}

impl Callee for Pinned {
    fn call(&self, call: Call) -> Answer {
        let (answer, answered) = oneshot::channel();
        let stopped = || Failure::Unhandled("the function was stopped".into());
        // In this order, whoever waits for it and when.
        let refused = match self.queue.try_send(Waiting { call, answer }) {
            Ok(()) => None,
            Err(TrySendError::Closed(_)) => Some(stopped()),
            Err(TrySendError::Full(_)) => Some(full(&self.name)),
        };
        Box::pin(async move {
            match refused {
                Some(failure) => Err(failure),
                None => answered.await.unwrap_or_else(|_| Err(stopped())),
            }
        })
    }
}

pub(super) fn full(name: &str) -> Failure {
    Failure::Unhandled(format!(
        "{MOST_WAITING} calls wait for the function {name} already. Hint: call it less often than \
         it answers"
    ))
}

/// Keeps a process until all are to stop.
async fn keep(
    launch: Launch,
    shared: Shared,
    board: Arc<Board>,
    mut queue: mpsc::Receiver<Waiting>,
) {
    let mut stop = shared.stop.clone();
    let mut back_off = BackOff::new(u32::MAX);
    let mut trouble = Trouble::default();
    loop {
        let born = Instant::now();
        let pause = match Instance::start(&launch, &shared).await {
            Ok(instance) => {
                board.set(State::Ready);
                board.process_began();
                let (end, answers) = serve(&instance, &mut queue, launch.timeout, &board).await;
                board.process_over();
                if end == End::Stopped {
                    break;
                }
                board.ended(&end.to_string());
                let worked = answers > 0 || born.elapsed() >= SETTLED;
                trouble.tell(worked, &end.to_string(), &launch, &shared);
                match end {
                    // The call was too slow, and the function may be all right.
                    End::Timeout(_) => Some(Duration::ZERO),
                    _ => back_off.ended(born, answers),
                }
            }
            Err(error) => {
                board.ended(&error);
                trouble.tell(false, &error, &launch, &shared);
                // Whoever waits would do so for ever where a function cannot be started.
                while let Ok(waiting) = queue.try_recv() {
                    board.answered(false);
                    let _ = waiting.answer.send(Err(Failure::Unhandled(error.clone())));
                }
                back_off.ended(born, 0)
            }
        };
        board.set(State::Restarting);
        tokio::select! {
            () = tokio::time::sleep(pause.unwrap_or_default()) => {}
            () = stopped(&mut stop) => break,
        }
        board.set(State::Starting);
    }
    board.set(State::Stopped);
}

/// Whether it was told that a function does not stay: once, and not for each of its ends, until it
/// has worked in between.
#[derive(Default)]
struct Trouble {
    told: bool,
}

impl Trouble {
    /// Whether another end is news, where the process before it has `worked`.
    fn is_news(&mut self, worked: bool) -> bool {
        !std::mem::replace(&mut self.told, true) || worked
    }

    fn tell(&mut self, worked: bool, why: &str, launch: &Launch, shared: &Shared) {
        if self.is_news(worked) {
            let (function, log) = (launch.arn.to_string(), shared.logs.path(&launch.arn));
            let log = log.display();
            let what = "a long-lived function does not stay, and is started again";
            tracing::warn!(function, %log, "{what}: {why}");
        }
    }
}

/// Gives one process its work until it ends; why it did, and how much it has answered.
async fn serve(
    instance: &Instance,
    queue: &mut mpsc::Receiver<Waiting>,
    timeout: Duration,
    board: &Board,
) -> (End, u64) {
    let mut answers = 0;
    loop {
        let waiting = tokio::select! {
            biased;
            end = instance.ended() => return (end, answers),
            waiting = queue.recv() => waiting,
        };
        let Some(Waiting { call, answer }) = waiting else { return (End::Stopped, answers) };
        if call.kind == Kind::Request && answer.is_closed() {
            continue;
        }
        let result = instance.ask(call, timeout, timeout).await;
        answers += 1;
        board.answered(!matches!(result, Err(Failure::Unhandled(_))));
        let _ = answer.send(result);
    }
}

#[cfg(test)]
mod tests {
    use super::Trouble;

    #[test]
    fn a_loop_of_ends_is_told_once() {
        let mut trouble = Trouble::default();
        let news = [false, false, false, true, false].map(|worked| trouble.is_news(worked));
        assert_eq!(news, [true, false, false, true, false]);
    }
}
