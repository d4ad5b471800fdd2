use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::instance::{End, Instance};
use super::pinned::{MOST_WAITING, full};
use super::{Board, Launch, Shared, State};
use crate::{Answer, Call, Callee, Failure, FunctionArn, Kind};

/// Processes of functions on demand that run at once (`maxConcurrentLimit` of V1).
const MOST_RUNNING: usize = 25;
/// How long a process waits for its next call.
const IDLE: Duration = Duration::from_secs(60);

/// A function whose processes are started as calls come, and end when none comes any more.
pub(crate) struct OnDemand {
    inner: Arc<Inner>,
    places: Arc<Semaphore>,
}

struct Inner {
    launch: Launch,
    shared: Shared,
    fleet: Arc<Fleet>,
    board: Arc<Board>,
}

/// The processes of all functions on demand.
pub(crate) struct Fleet {
    running: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    function: FunctionArn,
    instance: Instance,
    board: Arc<Board>,
    since: Instant,
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.board.process_over();
    }
}

impl Fleet {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { running: Semaphore::new(MOST_RUNNING), idle: Mutex::default() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process of that function that waited least: its memory is there yet.
    fn take(&self, function: &FunctionArn) -> Option<Idle> {
        let mut idle = self.idle();
        idle.retain(|idle| idle.instance.is_alive());
        let at = idle.iter().rposition(|idle| idle.function == *function)?;
        Some(idle.remove(at))
    }

    /// Ends who waits longest where there would be too many with those that run.
    fn make_room(&self) {
        let running = MOST_RUNNING - self.running.available_permits();
        let mut idle = self.idle();
        let too_many = (idle.len() + running).saturating_sub(MOST_RUNNING).min(idle.len());
        idle.drain(..too_many);
    }

    fn put_back(self: &Arc<Self>, waiting: Idle) {
        self.idle().push(waiting);
        let fleet = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            if let Some(fleet) = fleet.upgrade() {
                fleet.idle().retain(|idle| idle.since.elapsed() < IDLE);
            }
        });
    }

    /// Ends all that wait, and lets nobody begin any more.
    pub(crate) fn stop(&self) {
        self.running.close();
        self.idle().clear();
    }
}

impl OnDemand {
    pub(crate) fn new(
        launch: Launch,
        shared: Shared,
        fleet: Arc<Fleet>,
        board: Arc<Board>,
    ) -> Self {
        board.set(State::Ready);
        let inner = Arc::new(Inner { launch, shared, fleet, board });
        Self { inner, places: Arc::new(Semaphore::new(MOST_WAITING)) }
    }
}

impl Callee for OnDemand {
    fn call(&self, call: Call) -> Answer {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let failure = full(&self.inner.launch.arn.name);
            return Box::pin(async move { Err(failure) });
        };
        let (answer, answered) = oneshot::channel();
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let wanted = || call.kind == Kind::Event || !answer.is_closed();
            let Ok(_running) = inner.fleet.running.acquire().await else { return };
            if wanted() {
                let result = inner.run(call).await;
                inner.board.answered(!matches!(result, Err(Failure::Unhandled(_))));
                let _ = answer.send(result);
            }
            drop(place);
        });
        Box::pin(async move {
            let stopped = || Err(Failure::Unhandled(End::Stopped.to_string()));
            answered.await.unwrap_or_else(|_| stopped())
        })
    }
}

impl Inner {
    async fn run(&self, call: Call) -> Result<Bytes, Failure> {
        let begun = Instant::now();
        let limit = self.launch.timeout;
        let mut process = match self.fleet.take(&self.launch.arn) {
            Some(process) => process,
            None => self.begin(limit).await?,
        };
        let left = limit.saturating_sub(begun.elapsed());
        let result = process.instance.ask(call, limit, left).await;
        if process.instance.is_alive() {
            process.since = Instant::now();
            self.fleet.put_back(process);
        } else if let Err(Failure::Unhandled(error)) = &result {
            self.board.ended(error);
        }
        result
    }

    async fn begin(&self, limit: Duration) -> Result<Idle, Failure> {
        self.fleet.make_room();
        let started = timeout(limit, Instance::start(&self.launch, &self.shared)).await;
        let late = || {
            let hint = "Hint: a larger Timeout, which counts the start of the process, or a pinned function";
            format!("{}: it was still starting. {hint}", End::Timeout(limit))
        };
        let instance = started.unwrap_or_else(|_| Err(late())).map_err(|error| {
            self.board.ended(&error);
            Failure::Unhandled(error)
        })?;
        self.board.process_began();
        let (function, board) = (self.launch.arn.clone(), self.board.clone());
        Ok(Idle { function, instance, board, since: Instant::now() })
    }
}
