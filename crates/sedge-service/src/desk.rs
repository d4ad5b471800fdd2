use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::backend::Backend;
use crate::queue::{FairQueue, Pushed};
use crate::task::{Member, Task};
use crate::{Limits, RunnerError, Statistics};

/// Where requests of one version are admitted, wait, and get their turn.
///
/// A backend opens it for as many tasks as it takes at a time and shuts it while it takes none;
/// requests wait meanwhile, each until its deadline.
pub struct Desk {
    limits: Limits,
    statistics: Arc<Statistics>,
    backend: OnceLock<Weak<dyn Backend>>,
    state: Mutex<State>,
    /// Told when nothing waits or runs any more.
    idle: Notify,
    /// Moving average of what one request takes, in microseconds; 0 before the first.
    typical_us: AtomicU64,
}

struct State {
    queue: FairQueue<Member>,
    /// Tasks that may run side by side.
    turns: usize,
    taken: usize,
    /// Why nothing is admitted any more.
    refusal: Option<RunnerError>,
}

impl Desk {
    /// A desk at which nobody sits yet: requests wait.
    pub fn new(limits: Limits, statistics: Arc<Statistics>) -> Arc<Self> {
        let queue = FairQueue::new(limits.queue);
        Arc::new(Self {
            limits,
            statistics,
            backend: OnceLock::new(),
            state: Mutex::new(State { queue, turns: 0, taken: 0, refusal: None }),
            idle: Notify::new(),
            typical_us: AtomicU64::default(),
        })
    }

    /// What its service may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Says who answers, once.
    pub(crate) fn attach(&self, backend: &Arc<dyn Backend>) {
        let _ = self.backend.set(Arc::downgrade(backend));
    }

    /// Lets so many tasks run side by side, and requests in.
    pub fn open(self: &Arc<Self>, turns: usize) {
        let mut state = self.lock();
        state.turns = turns;
        state.refusal = None;
        drop(state);
        self.dispatch();
    }

    /// Begins no more tasks; requests wait until it opens again.
    pub fn shut(&self) {
        self.lock().turns = 0;
    }

    /// Refuses what waits and what comes, until it opens again.
    pub fn refuse(&self, error: &RunnerError) {
        let mut state = self.lock();
        state.refusal = Some(error.clone());
        let waiting: Vec<_> = state.queue.drain().collect();
        drop(state);
        for member in waiting {
            let _ = member.reply.send(Err(error.clone()));
        }
        self.idle.notify_waiters();
    }

    /// Takes nothing more; what was admitted is still answered.
    pub(crate) fn close(&self) {
        self.lock().refusal = Some(RunnerError::Stopping);
    }

    /// Waits until nothing waits or runs.
    pub(crate) async fn drained(&self) {
        loop {
            let told = self.idle.notified();
            if self.is_idle() {
                return;
            }
            told.await;
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.taken == 0 && state.queue.len() == 0
    }

    /// Requests that wait for a turn.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// What one request takes, as far as it is known.
    pub(crate) fn typical(&self) -> Duration {
        Duration::from_micros(self.typical_us.load(Ordering::Relaxed))
    }

    pub(crate) fn learn(&self, took: Duration) {
        // Not 0, which means that nothing is known.
        let took = (took.as_micros() as u64).max(1);
        let typical = self.typical_us.load(Ordering::Relaxed);
        let average = if typical == 0 { took } else { (typical * 7 + took).div_ceil(8) };
        self.typical_us.store(average, Ordering::Relaxed);
    }

    /// Admits a request, or says why not.
    pub(crate) fn admit(self: &Arc<Self>, member: Member) -> Result<(), RunnerError> {
        let mut state = self.lock();
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        let now = Instant::now();
        if state.queue.len() >= self.limits.queue {
            state.queue.retain(|member| member.is_wanted(now));
        }
        let caller = member.request.caller.clone();
        let ahead = state.queue.ahead_of(caller.as_deref());
        // What cannot have its turn before its deadline would only keep others waiting. Before an
        // empty queue it is tried all the same: this is an estimate.
        if ahead > 0 && now + self.wait_for(ahead) >= member.deadline {
            return Err(self.overloaded(state.queue.len(), ahead));
        }
        let full = match state.queue.push(caller.as_deref(), member) {
            Pushed::Waits => None,
            Pushed::Displaced(member) | Pushed::Full(member) => Some(member),
        };
        let waiting = state.queue.len();
        drop(state);
        self.statistics.admitted(waiting);
        if let Some(member) = full {
            let _ = member.reply.send(Err(self.overloaded(waiting, waiting)));
        }
        self.dispatch();
        Ok(())
    }

    /// Admits again, at the front, what had its turn for nothing.
    pub(crate) fn put_back(&self, members: Vec<Member>) {
        let mut state = self.lock();
        // A desk that only closes answers what it admitted.
        if let Some(refusal) = state.refusal.clone().filter(|why| *why != RunnerError::Stopping) {
            drop(state);
            members.into_iter().for_each(|member| drop(member.reply.send(Err(refusal.clone()))));
            return;
        }
        for member in members.into_iter().rev() {
            let caller = member.request.caller.clone();
            state.queue.push_front(caller.as_deref(), member);
        }
    }

    /// Takes a turn for who answers by itself, when nothing is before it.
    pub(crate) fn try_turn(self: &Arc<Self>) -> Option<HeldTurn> {
        let mut state = self.lock();
        let free = state.refusal.is_none() && state.queue.len() == 0 && state.taken < state.turns;
        if !free {
            return None;
        }
        state.taken += 1;
        drop(state);
        self.statistics.admitted(0);
        self.statistics.started();
        Some(HeldTurn(self.clone()))
    }

    fn overloaded(&self, waiting: usize, ahead: usize) -> RunnerError {
        // At least a second, as the header has no fractions.
        let seconds = self.wait_for(ahead).as_secs_f64().ceil() as u64;
        RunnerError::Overloaded { waiting, retry_after_s: seconds.clamp(1, 60) }
    }

    fn wait_for(&self, ahead: usize) -> Duration {
        let rounds = ahead.div_ceil(self.limits.instances.max(1));
        self.typical().saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// Gives turns to what waits, while there are any.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        let Some(backend) = self.backend.get().and_then(Weak::upgrade) else { return };
        while let Some(members) = self.next() {
            backend.begin(Task::new(members, self.clone(), backend.clone()));
        }
    }

    /// Takes a turn and those who run with it.
    fn next(&self) -> Option<Vec<Member>> {
        let mut state = self.lock();
        let now = Instant::now();
        while state.queue.peek().is_some_and(|member| !member.is_wanted(now)) {
            state.queue.pop();
        }
        if state.taken >= state.turns || state.queue.len() == 0 {
            if state.taken == 0 && state.queue.len() == 0 {
                self.idle.notify_waiters();
            }
            return None;
        }
        let most = self.limits.max_batch.max(1);
        let wait = Duration::from_millis(self.limits.batch_wait_ms);
        let fresh = |member: &Member| now < member.admitted + wait;
        if state.queue.len() < most && state.queue.peek().is_some_and(fresh) && most > 1 {
            return None;
        }
        let mut members = Vec::with_capacity(most.min(state.queue.len()));
        while members.len() < most {
            let Some(member) = state.queue.pop() else { break };
            if member.is_wanted(now) {
                members.push(member);
            }
        }
        state.taken += 1;
        Some(members)
    }

    /// A task has ended.
    pub(crate) fn give_back(self: &Arc<Self>) {
        self.lock().taken -= 1;
        self.dispatch();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A turn on the thread that asked.
pub(crate) struct HeldTurn(Arc<Desk>);

impl Drop for HeldTurn {
    fn drop(&mut self) {
        self.0.statistics.ended();
        self.0.give_back();
    }
}
