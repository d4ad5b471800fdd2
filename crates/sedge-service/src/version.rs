use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::task::{Answer, Member};
use crate::{
    Backend, BackendStatus, Desk, Limits, ModelInfo, Payload, Phase, Request, Runner, RunnerError,
    Statistics,
};

/// Handing a request to another thread and its answer back takes about 50 us; whoever is done
/// sooner is not handed over.
const QUICK: Duration = Duration::from_micros(100);
/// Larger tensors may take longer than those before them.
const QUICK_BYTES: usize = 64 << 10;

/// One model that a service answers with, from the moment it is ready until its last request is
/// answered. A service that is updated has two for a while.
pub struct Version {
    number: u64,
    desk: Arc<Desk>,
    backend: Arc<dyn Backend>,
    statistics: Statistics,
}

impl Version {
    /// A version that `backend` answers, which opens `desk` when it is ready to. `number` counts
    /// the installs of a service, from 1.
    pub fn new(number: u64, desk: Arc<Desk>, backend: Arc<dyn Backend>) -> Arc<Self> {
        desk.attach(&backend);
        desk.dispatch();
        Arc::new(Self { number, desk, backend, statistics: Statistics::default() })
    }

    /// A version that threads of this process answer with a runner.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn of_threads(
        number: u64,
        name: &str,
        runner: Arc<dyn Runner>,
        desk: Arc<Desk>,
    ) -> std::io::Result<Arc<Self>> {
        let count = desk.limits().instances.max(1);
        let backend = crate::threads::Threads::start(name, runner, count)?;
        let version = Self::new(number, desk, Arc::new(backend));
        version.desk.open(count);
        Ok(version)
    }

    /// Counts installs of the service, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What is behind it.
    pub fn info(&self) -> &ModelInfo {
        self.backend.info()
    }

    /// What its service may take.
    pub fn limits(&self) -> Limits {
        self.desk.limits()
    }

    /// How what answers is.
    pub fn status(&self) -> BackendStatus {
        self.backend.status()
    }

    /// True while it answers.
    pub fn is_ready(&self) -> bool {
        self.backend.status().phase == Phase::Ready
    }

    /// Has what answers begin anew.
    pub fn reset(&self) {
        self.backend.reset();
    }

    /// Requests that wait for a turn now.
    pub fn waiting(&self) -> usize {
        self.desk.waiting()
    }

    /// What this version did; the service counts on over versions.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Admits a request, or refuses it at once, and waits for the answer without blocking a thread.
    ///
    /// # Errors
    /// Whatever [`RunnerError`] says.
    pub async fn answer(&self, request: Request) -> Answer {
        let asked = request.timeout_ms.unwrap_or(u64::MAX);
        let timeout_ms = asked.min(self.desk.limits().timeout_ms);
        if timeout_ms > 0
            && let Some(answer) = self.answer_here(&request)
        {
            return answer;
        }
        let admitted = Instant::now();
        let deadline = admitted + Duration::from_millis(timeout_ms);
        let (reply, mut answer) = oneshot::channel();
        self.desk.admit(Member { request, admitted, deadline, reply })?;
        let late = RunnerError::Deadline { timeout_ms };
        if self.desk.limits().max_batch > 1 {
            let wait = Duration::from_millis(self.desk.limits().batch_wait_ms);
            match tokio::time::timeout(wait, &mut answer).await {
                Ok(answer) => return answer.unwrap_or(Err(late)),
                // It has waited for others for long enough.
                Err(_) => self.desk.dispatch(),
            }
        }
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(answer)) => answer,
            // What is too late is dropped at the desk, which may be a moment before the timer here.
            Ok(Err(_)) if Instant::now() >= deadline => Err(late),
            Ok(Err(_)) => Err(RunnerError::Failed("the request was dropped unanswered".into())),
            Err(_) => Err(late),
        }
    }

    /// Small tensors for a model that was as fast so far, with nobody before them: the answer is
    /// there before another thread could have been woken. Never a picture, whose few bytes may be
    /// many pixels.
    fn answer_here(&self, request: &Request) -> Option<Answer> {
        let Payload::Tensors(tensors) = &request.payload else { return None };
        let typical = self.desk.typical();
        let bytes = tensors.iter().map(|(_, tensor)| tensor.bytes().len()).sum::<usize>();
        if typical.is_zero() || typical > QUICK || bytes > QUICK_BYTES {
            return None;
        }
        let _turn = self.desk.try_turn()?;
        let begun = Instant::now();
        let answer = self.backend.answer_here(request)?;
        self.desk.learn(begun.elapsed());
        Some(answer)
    }

    /// Takes no more requests and waits until those that were admitted are answered.
    pub async fn drain(&self) {
        self.desk.close();
        self.desk.drained().await;
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let model = format!("{}@{}", self.info().name, self.info().identity);
        f.debug_struct("Version").field("number", &self.number).field("model", &model).finish()
    }
}
