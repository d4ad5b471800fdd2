use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sedge_package::{NameError, validate_service_name};
use tokio::sync::oneshot;

use crate::events::summary;
use crate::queue::Refused;
use crate::state::{Job, State};
use crate::{
    Answered, Events, ModelInfo, Outcome, Payload, Request, Response, Runner, RunnerError,
    Statistics, Timings, TraceParent,
};

/// What a service may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait; one more is refused at once.
    pub queue: usize,
    /// Requests that run side by side.
    pub instances: usize,
    /// Milliseconds a request may take from admission, unless it says less.
    pub timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // While one request computes on all cores the other decodes its picture.
        let instances = sedge_engine::available_threads().max(2);
        Self { queue: 128, instances, timeout_ms: 60_000 }
    }
}

/// A named model with admission, a bounded queue and threads of its own.
///
/// Dropping it closes the queue; requests that were admitted are still answered.
pub struct Service {
    name: String,
    limits: Limits,
    state: Arc<State>,
    events: Events,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Service {
    /// Starts the threads of a service, whose requests `events` are told of when they end.
    pub fn start(
        name: impl Into<String>,
        runner: Arc<dyn Runner>,
        limits: Limits,
        events: Events,
    ) -> Result<Self, ServicesError> {
        let name = name.into();
        validate_service_name(&name)?;
        let service = Self {
            name,
            limits,
            state: Arc::new(State::new(runner, limits.queue)),
            events,
            threads: Mutex::default(),
        };
        for index in 0..limits.instances.max(1) {
            let state = service.state.clone();
            let thread = std::thread::Builder::new().name(format!("{}-{index}", service.name));
            let thread = thread.spawn(move || state.work());
            let thread = thread.map_err(ServicesError::Thread)?;
            service.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(service)
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is behind it.
    pub fn info(&self) -> &ModelInfo {
        self.state.runner.info()
    }

    /// What it may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Requests that wait for a thread now.
    pub fn waiting(&self) -> usize {
        self.state.queue.len()
    }

    /// What it did since it began.
    pub fn statistics(&self) -> &Statistics {
        &self.state.statistics
    }

    /// True until [`Service::stop`].
    pub fn is_ready(&self) -> bool {
        !self.state.stopping.load(Ordering::Relaxed)
    }

    /// Admits a request, or refuses it at once, and waits for the answer without blocking a thread.
    pub async fn submit(&self, request: Request) -> Result<Response, RunnerError> {
        let mut watch = Watch::begin(self, &request);
        let result = self.answer(request).await;
        watch.end(&result);
        result
    }

    async fn answer(&self, request: Request) -> Result<Response, RunnerError> {
        let asked = request.timeout_ms.unwrap_or(u64::MAX);
        let timeout_ms = asked.min(self.limits.timeout_ms);
        let admitted = Instant::now();
        if self.is_ready() && timeout_ms > 0 && self.state.is_quick(&request) {
            self.state.statistics.admitted(0);
            return self.state.run(&request, admitted);
        }
        let deadline = admitted + Duration::from_millis(timeout_ms);
        let (reply, answer) = oneshot::channel();
        self.admit(Job { request, admitted, deadline, reply })?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(result)) => result,
            // A thread drops what it finds too late, which may be a moment before the timer here.
            Ok(Err(_)) if Instant::now() >= deadline => Err(RunnerError::Deadline { timeout_ms }),
            Ok(Err(_)) => {
                Err(RunnerError::Failed("the request's thread ended without an answer".into()))
            }
            Err(_) => Err(RunnerError::Deadline { timeout_ms }),
        }
    }

    fn admit(&self, job: Job) -> Result<(), RunnerError> {
        match self.state.queue.push(job) {
            Ok(waiting) => {
                self.state.statistics.admitted(waiting);
                Ok(())
            }
            Err(Refused::Full(waiting)) => {
                self.state.statistics.admitted(waiting);
                Err(RunnerError::Overloaded { waiting, retry_after_s: self.retry_after_s(waiting) })
            }
            Err(Refused::Closed) => Err(RunnerError::Stopping),
        }
    }

    /// When the queue should have room again: at least a second, as the header has no fractions.
    fn retry_after_s(&self, waiting: usize) -> u64 {
        let typical = self.state.typical();
        let rounds = waiting.div_ceil(self.limits.instances.max(1));
        let seconds = typical.as_secs_f64() * rounds as f64;
        (seconds.ceil() as u64).clamp(1, 60)
    }

    /// Stops admitting, answers what was admitted, and waits for the threads. Blocks.
    pub fn stop(&self) {
        self.state.stopping.store(true, Ordering::Relaxed);
        self.state.queue.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.state.queue.close();
    }
}

/// Counts a request and tells of its end, whichever it is: an answer, an error, or a caller that
/// went away.
struct Watch<'a> {
    service: &'a Service,
    picture: bool,
    trace_id: Option<String>,
    trace_parent: Option<TraceParent>,
    started: Instant,
    ended: bool,
}

impl<'a> Watch<'a> {
    fn begin(service: &'a Service, request: &Request) -> Self {
        let picture = matches!(request.payload, Payload::Picture(_));
        let (trace_id, trace_parent) = (request.trace_id.clone(), request.trace_parent);
        Self { service, picture, trace_id, trace_parent, started: Instant::now(), ended: false }
    }

    fn end(&mut self, result: &Result<Response, RunnerError>) {
        self.ended = true;
        let timings = result.as_ref().map_or_else(|_| self.waited(), |answer| answer.timings_us);
        let prediction = result.as_ref().ok().and_then(|response| response.prediction.as_ref());
        let error = result.as_ref().err().map(ToString::to_string);
        self.tell(Outcome::of(result), timings, error, prediction.map(summary));
    }

    /// Where the time went of a request without an answer: nobody knows but how long it took.
    fn waited(&self) -> Timings {
        let total = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Timings { total, ..Timings::default() }
    }

    fn tell(
        &mut self,
        outcome: Outcome,
        timings_us: Timings,
        error: Option<String>,
        prediction: Option<crate::Prediction>,
    ) {
        let timings = (outcome == Outcome::Ok).then_some((&timings_us, self.picture));
        self.service.statistics().finished(outcome, timings);
        self.service.events.tell(Answered {
            sequence: 0,
            unix_ms: 0,
            service: self.service.name.clone(),
            outcome: outcome.name().to_owned(),
            error,
            trace_id: self.trace_id.take(),
            trace_parent: self.trace_parent,
            prediction,
            timings_us,
        });
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Outcome::Cancelled, self.waited(), None, None);
        }
    }
}

/// Why services could not be set up.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServicesError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(
        "two services are called '{0}'. Hint: give one another name with --name or `name` in the configuration"
    )]
    Duplicate(String),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// All services of a process, by name.
#[derive(Clone, Debug, Default)]
pub struct Services {
    by_name: BTreeMap<String, Arc<Service>>,
    events: Events,
}

impl Services {
    /// Adds a service; a name that is taken is refused.
    pub fn add(&mut self, service: Service) -> Result<(), ServicesError> {
        if self.by_name.contains_key(service.name()) {
            return Err(ServicesError::Duplicate(service.name().to_owned()));
        }
        self.by_name.insert(service.name().to_owned(), Arc::new(service));
        Ok(())
    }

    /// What the services tell of their requests, when they were started with it.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// A service by name.
    pub fn get(&self, name: &str) -> Option<&Arc<Service>> {
        self.by_name.get(name)
    }

    /// All services in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_name.values()
    }

    /// Stops all services one after the other; each answers what it admitted. Blocks.
    pub fn stop(&self) {
        self.iter().for_each(|service| service.stop());
    }
}
