use std::ffi::OsString;
use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sedge_service::{
    Answer, Backend, BackendStatus, Desk, Memory, ModelInfo, Phase, Request, RunnerError, Task,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::back_off::BackOff;
use crate::channel::MOST_DESCRIPTORS;
use crate::lane::Lane;
use crate::life::{Born, Life, Process};
use crate::logs::{LogLine, Logs};
use crate::message::LoadSpec;

/// How a worker's process is started and held.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program, which is to call [`crate::run`].
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Everything it finds in its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What it loads.
    pub load: LoadSpec,
    /// Longest time until it is ready.
    pub load_timeout: Duration,
    /// Time that it has after a request's deadline until it is ended.
    pub grace: Duration,
    /// Bytes it may have resident.
    pub memory_bytes: Option<u64>,
    /// Ends in a row after which it is given up.
    pub most_ends: u32,
}

/// Why a worker is not there.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StartError {
    #[error("cannot start {0} as the service's process: {1}")]
    Spawn(PathBuf, #[source] io::Error),
    #[error("{0}")]
    Refused(String),
    #[error(
        "the model was not loaded within {seconds} s. Hint: a larger load_timeout_s, or a smaller model"
    )]
    Late { seconds: u64 },
    #[error("the model could not be loaded: {0}")]
    Ended(String),
}

/// A backend whose answers come from a process of its own, which is started again when it ends.
pub struct Worker {
    info: ModelInfo,
    shared: Arc<Shared>,
    runtime: Handle,
    /// False, or dropped with the worker: nobody needs its process any more.
    needed: watch::Sender<bool>,
}

struct Shared {
    launch: Launch,
    desk: Arc<Desk>,
    logs: Arc<Logs>,
    now: Mutex<Now>,
    restarts: AtomicU64,
    reset: Notify,
}

/// What is known of the present process and those before it.
#[derive(Default)]
struct Now {
    life: Option<Arc<Life>>,
    phase: Phase,
    last_error: Option<String>,
    /// The most memory of processes that have ended.
    peak: u64,
}

impl Worker {
    /// Starts a process and opens `desk` when its model is loaded. To be called within a runtime,
    /// whose thread has to live as long as the worker: the kernel ends processes with the thread
    /// that started them.
    ///
    /// # Errors
    /// When the process or the model cannot be had; it is not tried again.
    pub async fn start(mut launch: Launch, desk: Arc<Desk>) -> Result<Arc<Self>, StartError> {
        launch.load.lanes = launch.load.lanes.clamp(1, MOST_DESCRIPTORS);
        let logs = Arc::new(Logs::default());
        let Born { life, info, process } = Life::begin(&launch, &logs).await?;
        let now = Mutex::new(Now { life: Some(life.clone()), ..Now::default() });
        let (restarts, reset) = (AtomicU64::default(), Notify::new());
        let shared = Arc::new(Shared { launch, desk, logs, now, restarts, reset });
        let (needed, until) = watch::channel(true);
        let keeper = shared.clone();
        tokio::spawn(async move { keeper.keep(life, process, until).await });
        shared.desk.open(shared.launch.load.lanes);
        Ok(Arc::new(Self { info, shared, runtime: Handle::current(), needed }))
    }

    /// Ends its process and waits for that, at most for some seconds; it answers nothing more.
    pub async fn end(&self) {
        self.needed.send_replace(false);
        self.needed.closed().await;
    }

    /// The last lines that its processes wrote.
    pub fn logs(&self) -> Vec<LogLine> {
        self.shared.logs.read()
    }
}

impl Shared {
    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after one process after the other until none is needed.
    async fn keep(&self, mut life: Arc<Life>, mut process: Process, needed: watch::Receiver<bool>) {
        let mut back_off = BackOff::new(self.launch.most_ends);
        loop {
            let (error, asked) = life.until_over(process, &self.logs, closed(&needed)).await;
            if needed.has_changed().is_err() || !*needed.borrow() {
                self.now().life = None;
                life.tell_over(error);
                return;
            }
            self.desk.shut();
            let pause = match asked {
                true => Some(Duration::ZERO),
                false => back_off.ended(life.born, life.answers.load(Ordering::Relaxed)),
            };
            self.ended(&life, &error, pause);
            life.tell_over(error);
            (life, process) = tokio::select! {
                () = closed(&needed) => return,
                again = self.again(pause, &mut back_off) => again,
            };
            self.now().life = Some(life.clone());
            self.restarts.fetch_add(1, Ordering::Relaxed);
            self.now().phase = Phase::Ready;
            self.desk.open(self.launch.load.lanes);
        }
    }

    /// Starts processes until one is there.
    async fn again(
        &self,
        mut pause: Option<Duration>,
        back_off: &mut BackOff,
    ) -> (Arc<Life>, Process) {
        loop {
            match pause {
                Some(pause) => tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.reset.notified() => back_off.forget(),
                },
                None => {
                    self.reset.notified().await;
                    back_off.forget();
                }
            }
            self.now().phase = Phase::Restarting;
            self.desk.shut();
            let begun = Instant::now();
            match Life::begin(&self.launch, &self.logs).await {
                Ok(Born { life, process, .. }) => return (life, process),
                Err(error) => {
                    pause = back_off.ended(begun, 0);
                    self.told(&error.to_string(), pause);
                }
            }
        }
    }

    fn ended(&self, life: &Life, error: &RunnerError, pause: Option<Duration>) {
        let mut now = self.now();
        now.life = None;
        now.peak = now.peak.max(life.memory().peak);
        drop(now);
        self.told(&error.to_string(), pause);
    }

    /// Keeps why there is no process, and refuses requests when there will be none.
    fn told(&self, error: &str, pause: Option<Duration>) {
        let service = &self.launch.load.service;
        let pid = 0;
        self.logs.add(pid, error);
        let mut now = self.now();
        now.last_error = Some(error.to_owned());
        now.phase = if pause.is_some() { Phase::Restarting } else { Phase::Broken };
        drop(now);
        match pause {
            Some(pause) => {
                let pause_ms = pause.as_millis() as u64;
                tracing::warn!(service, pause_ms, "restarting: {error}");
            }
            None => {
                tracing::error!(service, "given up: {error}");
                let hint = format!("{error}. Hint: sedge service logs {service}, then reset");
                self.desk.refuse(&RunnerError::Broken(hint));
            }
        }
    }

    async fn answer(&self, task: Task) {
        let life = self.now().life.clone();
        let Some((life, lane)) = life.and_then(|life| life.lane().map(|lane| (life, lane))) else {
            return task.put_back();
        };
        life.running.fetch_add(1, Ordering::Relaxed);
        let result = self.ask(&life, &lane, &task).await;
        life.running.fetch_sub(1, Ordering::Relaxed);
        match result {
            Ok(answers) => {
                life.answers.fetch_add(answers.len() as u64, Ordering::Relaxed);
                life.give_back(lane);
                task.finish(answers);
            }
            Err(Some(error)) => task.fail(&error),
            Err(None) => task.put_back(),
        }
    }

    /// Has the process answer; else why it does not, or `None` when it never had the request.
    async fn ask(
        &self,
        life: &Life,
        lane: &Lane,
        task: &Task,
    ) -> Result<Vec<Answer>, Option<RunnerError>> {
        let requests: Vec<&Request> = task.requests().collect();
        let begun = Instant::now();
        let patience = task.deadline().saturating_duration_since(begun) + self.launch.grace;
        match tokio::time::timeout(patience, lane.ask(&requests)).await {
            Ok(Ok(answers)) => return Ok(answers),
            // The process's end, or its nonsense, which ends it as well.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                life.end_for_restart();
                life.over().await;
                let error = format!("the service's process answered {error}");
                return Err(Some(RunnerError::Crashed(error)));
            }
            // Nobody was there any more to take it, or it lay unread when the other end was closed:
            // the kernel tells that from the end of one who had read it.
            Ok(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                life.over().await;
                return Err(None);
            }
            Ok(Err(_)) => {}
            Err(_) => life.end_hung(patience.as_millis() as u64),
        }
        Err(Some(life.over().await))
    }
}

/// Ends when the worker is dropped or told to end.
async fn closed(needed: &watch::Receiver<bool>) {
    let _ = needed.clone().wait_for(|needed| !needed).await;
}

impl Backend for Worker {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn begin(&self, task: Task) {
        let shared = self.shared.clone();
        self.runtime.spawn(async move { shared.answer(task).await });
    }

    fn status(&self) -> BackendStatus {
        let now = self.shared.now();
        let memory = now.life.as_ref().map(|life| life.memory()).unwrap_or_default();
        let peak = memory.peak.max(now.peak);
        let limit = memory.limit.or(self.shared.launch.memory_bytes);
        BackendStatus {
            phase: now.phase,
            isolation: "process".into(),
            sandbox: now.life.as_ref().map(|life| life.sandbox.clone()).unwrap_or_default(),
            pid: now.life.as_ref().map(|life| life.pid),
            memory: Some(Memory { limit, peak, ..memory }),
            restarts: self.shared.restarts.load(Ordering::Relaxed),
            last_error: now.last_error.clone(),
        }
    }

    fn reset(&self) {
        let life = self.shared.now().life.clone();
        match life {
            Some(life) => life.end_for_restart(),
            None => self.shared.reset.notify_one(),
        }
    }
}
