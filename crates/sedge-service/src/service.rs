use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sedge_package::validate_service_name;
use tokio::sync::Notify;

use crate::events::summary;
use crate::task::Answer;
use crate::{
    Answered, Desk, Events, Limits, Outcome, Payload, Phase, Request, Runner, RunnerError,
    ServicesError, Statistics, Tap, Timings, TraceParent, Version,
};

/// A named model: what answers now, what it did, and the change from one version to the next.
pub struct Service {
    name: String,
    limits: Mutex<Limits>,
    statistics: Arc<Statistics>,
    events: Events,
    serving: RwLock<Serving>,
    /// Told when `serving` changes.
    changed: Notify,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    tap: RwLock<Option<Arc<dyn Tap>>>,
}

/// What answers a service's requests.
#[derive(Clone, Debug)]
enum Serving {
    /// Nothing before the first request.
    Asleep,
    /// Nothing yet; requests wait.
    Starting,
    Version(Arc<Version>),
    /// Nothing, because it could not be started.
    Failed(String),
    /// It answers what it admitted, and takes nothing more.
    Stopping(Option<Arc<Version>>),
}

/// What a service is up to, as people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// It is started by its first request.
    Asleep,
    /// Its model is being brought, loaded and proved.
    Starting,
    /// It answers.
    Ready,
    /// What answers ended and is started again; requests wait.
    Restarting,
    /// It was given up, and why.
    Broken(String),
    /// It takes no more requests.
    Stopping,
}

impl ServiceState {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Asleep => "asleep",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Restarting => "restarting",
            Self::Broken(_) => "broken",
            Self::Stopping => "stopping",
        }
    }
}

impl Service {
    /// A service with nothing to answer with yet: its requests wait for [`Service::switch`].
    ///
    /// # Errors
    /// Names that break the rule.
    pub fn new(
        name: impl Into<String>,
        limits: Limits,
        events: Events,
    ) -> Result<Self, ServicesError> {
        let name = name.into();
        validate_service_name(&name)?;
        Ok(Self {
            name,
            limits: Mutex::new(limits),
            statistics: Arc::default(),
            events,
            serving: RwLock::new(Serving::Starting),
            changed: Notify::new(),
            wake: OnceLock::new(),
            tap: RwLock::default(),
        })
    }

    /// A service that threads of this process answer with a runner.
    ///
    /// # Errors
    /// Names that break the rule, and a system that gives no thread.
    pub fn start(
        name: impl Into<String>,
        runner: Arc<dyn Runner>,
        limits: Limits,
        events: Events,
    ) -> Result<Self, ServicesError> {
        let service = Self::new(name, limits, events)?;
        let version = Version::of_threads(1, &service.name, runner, service.desk());
        service.switch(version.map_err(ServicesError::Thread)?);
        Ok(service)
    }

    /// Leaves a service without a version asleep; its first request calls `wake`, which is to
    /// return at once and to bring a version. The first `wake` that is given stays.
    pub fn sleep_until_asked(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
        if !matches!(&*self.read(), Serving::Version(_) | Serving::Stopping(_)) {
            self.serve(Serving::Asleep);
        }
    }

    /// Shows pictures and answers to `tap` from now on, or to nobody.
    pub fn set_tap(&self, tap: Option<Arc<dyn Tap>>) {
        *self.tap.write().unwrap_or_else(PoisonError::into_inner) = tap;
    }

    /// Who sees the answer to a request, and its picture.
    fn tapped(&self, request: &Request) -> Option<(Arc<dyn Tap>, Bytes)> {
        let Payload::Picture(picture) = &request.payload else { return None };
        let tap = self.tap.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some((tap, picture.clone()))
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may take.
    pub fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what the next version may take.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// A desk for the next version.
    pub fn desk(&self) -> Arc<Desk> {
        Desk::new(self.limits(), self.statistics.clone())
    }

    /// What it did since it began, over all versions.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The version that answers now, if there is one.
    pub fn serving(&self) -> Option<Arc<Version>> {
        match &*self.read() {
            Serving::Version(version) | Serving::Stopping(Some(version)) => Some(version.clone()),
            _ => None,
        }
    }

    /// What it is up to.
    pub fn state(&self) -> ServiceState {
        let serving = self.read().clone();
        match serving {
            Serving::Asleep => ServiceState::Asleep,
            Serving::Starting => ServiceState::Starting,
            Serving::Failed(error) => ServiceState::Broken(error),
            Serving::Stopping(_) => ServiceState::Stopping,
            Serving::Version(version) => {
                let status = version.status();
                match status.phase {
                    Phase::Ready => ServiceState::Ready,
                    Phase::Restarting => ServiceState::Restarting,
                    Phase::Broken => ServiceState::Broken(status.last_error.unwrap_or_default()),
                }
            }
        }
    }

    /// True while requests are answered, or would be after a while: an idle service that starts
    /// with its first request is ready for it.
    pub fn is_ready(&self) -> bool {
        matches!(self.state(), ServiceState::Ready | ServiceState::Asleep)
    }

    /// Requests that wait for a turn now.
    pub fn waiting(&self) -> usize {
        self.serving().map_or(0, |version| version.waiting())
    }

    /// Answers with this version from now on. What the one before had admitted it still answers;
    /// it is returned, to be waited for.
    pub fn switch(&self, version: Arc<Version>) -> Option<Arc<Version>> {
        let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*serving, Serving::Stopping(_)) {
            return Some(version);
        }
        let before = std::mem::replace(&mut *serving, Serving::Version(version));
        drop(serving);
        self.changed.notify_waiters();
        match before {
            Serving::Version(before) => Some(before),
            _ => None,
        }
    }

    /// Has requests wait for a version again, as while it is restarted.
    pub fn begin_start(&self) {
        if !matches!(&*self.read(), Serving::Version(_) | Serving::Stopping(_)) {
            self.serve(Serving::Starting);
        }
    }

    /// Says that there is nothing to answer with, unless there is.
    pub fn fail_start(&self, error: String) {
        if !matches!(&*self.read(), Serving::Version(_) | Serving::Stopping(_)) {
            self.serve(Serving::Failed(error));
        }
    }

    /// The version that answers a request that comes now, waiting for the first one.
    ///
    /// # Errors
    /// When there is none in time, or will be none.
    pub async fn version(&self) -> Result<Arc<Version>, RunnerError> {
        if let Serving::Version(version) = &*self.read() {
            return Ok(version.clone());
        }
        let timeout_ms = self.limits().timeout_ms;
        let found = tokio::time::timeout(Duration::from_millis(timeout_ms), self.first_version());
        found.await.unwrap_or(Err(RunnerError::Deadline { timeout_ms }))
    }

    async fn first_version(&self) -> Result<Arc<Version>, RunnerError> {
        loop {
            let told = self.changed.notified();
            let mut told = std::pin::pin!(told);
            told.as_mut().enable();
            let serving = self.read().clone();
            match serving {
                Serving::Version(version) => return Ok(version),
                Serving::Failed(error) => return Err(RunnerError::Broken(error)),
                Serving::Stopping(_) => return Err(RunnerError::Stopping),
                Serving::Starting => {}
                Serving::Asleep => {
                    self.serve(Serving::Starting);
                    if let Some(wake) = self.wake.get() {
                        wake();
                    }
                    continue;
                }
            }
            told.await;
        }
    }

    /// Admits a request, or refuses it at once, and waits for the answer without blocking a thread.
    ///
    /// # Errors
    /// Whatever [`RunnerError`] says.
    pub async fn submit(&self, request: Request) -> Answer {
        let (mut watch, tapped) = (Watch::begin(self, &request), self.tapped(&request));
        let answer = match self.version().await {
            Ok(version) => watch.answer(&version, request).await,
            Err(error) => Err(error),
        };
        watch.end(&answer);
        show(tapped, &answer);
        answer
    }

    /// The same with a version that was asked for before, as whoever read the request by its
    /// inputs has to.
    ///
    /// # Errors
    /// Whatever [`RunnerError`] says.
    pub async fn submit_to(&self, version: &Arc<Version>, request: Request) -> Answer {
        let (mut watch, tapped) = (Watch::begin(self, &request), self.tapped(&request));
        let answer = watch.answer(version, request).await;
        watch.end(&answer);
        show(tapped, &answer);
        answer
    }

    /// Stops admitting and waits until what was admitted is answered.
    pub async fn stop(&self) {
        let version = self.serving();
        self.serve(Serving::Stopping(version.clone()));
        if let Some(version) = version {
            version.drain().await;
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Serving> {
        self.serving.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, serving: Serving) {
        *self.serving.write().unwrap_or_else(PoisonError::into_inner) = serving;
        self.changed.notify_waiters();
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

fn show(tapped: Option<(Arc<dyn Tap>, Bytes)>, answer: &Answer) {
    if let (Some((tap, picture)), Ok(response)) = (tapped, answer) {
        tap.answered(&picture, response);
    }
}

/// Counts a request and tells of its end, whichever it is: an answer, an error, or a caller that
/// went away.
struct Watch<'a> {
    service: &'a Service,
    version: Option<Arc<Version>>,
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
        let started = Instant::now();
        Self { service, version: None, picture, trace_id, trace_parent, started, ended: false }
    }

    async fn answer(&mut self, version: &Arc<Version>, request: Request) -> Answer {
        self.version = Some(version.clone());
        version.answer(request).await
    }

    fn end(&mut self, result: &Answer) {
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
        self.service.statistics.finished(outcome, timings);
        if let Some(version) = &self.version {
            version.statistics().finished(outcome, timings);
        }
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
