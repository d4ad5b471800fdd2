//! One process of a worker, from its start to its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sedge_service::{Guard, Memory, ModelInfo, RunnerError};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};

use crate::channel;
use crate::lane::Lane;
use crate::logs::Logs;
use crate::memory::Watch;
use crate::message::{self, Ready};
use crate::worker::{Launch, StartError};

/// Time that a process has to end by itself when it is no longer needed.
const LEAVE: Duration = Duration::from_secs(2);

/// Why the core ended a process.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It took more memory than it may.
    Memory,
    /// A request was not answered in its time, nor in the grace after it.
    Hung { after_ms: u64 },
    /// Somebody asked for it.
    Restart,
}

/// What a process and those who wait for it share.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) pid: u32,
    pub(crate) born: Instant,
    pub(crate) sandbox: Vec<Guard>,
    lanes: Mutex<Vec<Lane>>,
    pub(crate) running: AtomicUsize,
    pub(crate) answers: AtomicU64,
    verdict: Mutex<Option<Verdict>>,
    kill: Notify,
    /// The error for requests that were cut off; set when the process has ended.
    over: watch::Sender<Option<RunnerError>>,
    memory: Mutex<Memory>,
}

/// A process that is loaded, and its model.
pub(crate) struct Born {
    pub(crate) life: Arc<Life>,
    pub(crate) info: ModelInfo,
    pub(crate) process: Process,
}

/// The process itself, looked after by one task.
pub(crate) struct Process {
    child: Child,
    control: Lane,
    watch: Watch,
}

impl Life {
    /// Starts a process and has it load its model.
    pub(crate) async fn begin(launch: &Launch, logs: &Arc<Logs>) -> Result<Born, StartError> {
        let spawn = |error: io::Error| StartError::Spawn(launch.program.clone(), error);
        let (control, stdin) = channel::pair().map_err(spawn)?;
        let mut child = Command::new(&launch.program)
            .args(&launch.arguments)
            .env_clear()
            .envs(launch.environment.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(spawn)?;
        let pid = child.id().unwrap_or(0);
        let service = launch.load.service.clone();
        if let Some(pipe) = child.stdout.take() {
            let (logs, service) = (logs.clone(), service.clone());
            tokio::spawn(async move { logs.follow(&service, pid, pipe).await });
        }
        if let Some(pipe) = child.stderr.take() {
            let logs = logs.clone();
            tokio::spawn(async move { logs.follow(&service, pid, pipe).await });
        }
        let watch = Watch::begin(pid, launch.memory_bytes);
        let control = Lane::new(control).map_err(spawn)?;
        let mut process = Process { child, control, watch };
        match process.load(launch).await {
            Ok((ready, lanes)) => {
                let info = match ready.info {
                    Ok(info) => info,
                    Err(refusal) => {
                        process.leave().await;
                        return Err(StartError::Refused(refusal));
                    }
                };
                process.watch.look();
                let life = Self {
                    pid,
                    born: Instant::now(),
                    sandbox: ready.sandbox,
                    lanes: Mutex::new(lanes),
                    running: AtomicUsize::default(),
                    answers: AtomicU64::default(),
                    verdict: Mutex::default(),
                    kill: Notify::new(),
                    over: watch::Sender::new(None),
                    memory: Mutex::new(process.watch.figures()),
                };
                Ok(Born { life: Arc::new(life), info, process })
            }
            Err(error) => Err(process.failed(error, launch, logs).await),
        }
    }

    /// A lane for a task; it is handed back with [`Self::give_back`].
    pub(crate) fn lane(&self) -> Option<Lane> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn give_back(&self, lane: Lane) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    /// Ends the process because a request took too long.
    pub(crate) fn end_hung(&self, after_ms: u64) {
        self.end(Verdict::Hung { after_ms });
    }

    /// Ends the process because somebody wants a new one.
    pub(crate) fn end_for_restart(&self) {
        self.end(Verdict::Restart);
    }

    fn end(&self, verdict: Verdict) {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(verdict);
        self.kill.notify_one();
    }

    /// Waits until the process has ended; what to tell those whose requests it had.
    pub(crate) async fn over(&self) -> RunnerError {
        let mut over = self.over.subscribe();
        let told = over.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        told.unwrap_or(RunnerError::Stopping)
    }

    pub(crate) fn memory(&self) -> Memory {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells those who wait in [`Self::over`] why it has ended. By then nothing is to be given to
    /// this process any more: who is told makes room for the next.
    pub(crate) fn tell_over(&self, error: RunnerError) {
        self.over.send_replace(Some(error));
    }

    /// Looks after the process until it has ended, by itself or because it has to; says why. True
    /// when that was asked for. [`Self::tell_over`] is to follow.
    pub(crate) async fn until_over(
        &self,
        mut process: Process,
        logs: &Logs,
        no_longer_needed: impl Future<Output = ()>,
    ) -> (RunnerError, bool) {
        let mut no_longer_needed = std::pin::pin!(no_longer_needed);
        let status = loop {
            let pause = process.watch.pause(self.running.load(Ordering::Relaxed) > 0);
            tokio::select! {
                status = process.child.wait() => break status,
                () = tokio::time::sleep(pause) => {
                    if process.watch.look() {
                        self.end(Verdict::Memory);
                    }
                    let figures = process.watch.figures();
                    *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = figures;
                }
                () = self.kill.notified() => {
                    let _ = process.child.start_kill();
                }
                () = &mut no_longer_needed => {
                    process.leave().await;
                    return (RunnerError::Stopping, true);
                }
            }
        };
        let verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = verdict == Some(Verdict::Restart);
        process.watch.process_ended();
        let error =
            process.error(&status, verdict.as_ref(), "had the request", logs.last_of(self.pid));
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = process.watch.figures();
        (error, asked)
    }
}

impl Process {
    async fn load(&mut self, launch: &Launch) -> io::Result<(Ready, Vec<Lane>)> {
        let pairs: Vec<(OwnedFd, OwnedFd)> =
            (0..launch.load.lanes).map(|_| channel::pair()).collect::<io::Result<_>>()?;
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let theirs_borrowed: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
        let parcel = message::pack_plain(&launch.load)?;
        self.control.send(&parcel, &theirs_borrowed)?;
        drop(theirs);
        let pause = self.watch.pause(true);
        let deadline = tokio::time::sleep(launch.load_timeout);
        let mut deadline = std::pin::pin!(deadline);
        let message = loop {
            tokio::select! {
                message = self.control.receive() => break message?,
                () = tokio::time::sleep(pause) => {
                    if self.watch.look() {
                        let _ = self.child.start_kill();
                    }
                }
                () = &mut deadline => {
                    let _ = self.child.start_kill();
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        };
        let lanes = ours.into_iter().map(Lane::new).collect::<io::Result<_>>()?;
        Ok((message::unpack_plain(&message)?, lanes))
    }

    /// Why a process that was being loaded did not get there.
    async fn failed(mut self, error: io::Error, launch: &Launch, logs: &Logs) -> StartError {
        let pid = self.child.id().unwrap_or(0);
        if error.kind() == io::ErrorKind::TimedOut {
            let _ = self.child.kill().await;
            return StartError::Late { seconds: launch.load_timeout.as_secs() };
        }
        if tokio::time::timeout(LEAVE, self.child.wait()).await.is_err() {
            let _ = self.child.start_kill();
        }
        let status = self.child.wait().await;
        self.watch.process_ended();
        let verdict = self.watch.look().then_some(Verdict::Memory);
        let while_it = "loaded the model";
        let error = self.error(&status, verdict.as_ref(), while_it, logs.last_of(pid));
        StartError::Ended(error.to_string())
    }

    /// Lets the process end by itself, and ends it when it does not.
    async fn leave(mut self) {
        drop(self.control);
        if tokio::time::timeout(LEAVE, self.child.wait()).await.is_err() {
            let _ = self.child.start_kill();
            let _ = self.child.wait().await;
        }
    }

    fn error(
        &self,
        status: &io::Result<ExitStatus>,
        verdict: Option<&Verdict>,
        while_it: &str,
        last_line: Option<String>,
    ) -> RunnerError {
        let figures = self.watch.figures();
        if let Some(limit) = self.watch.limit()
            && (verdict == Some(&Verdict::Memory) || self.watch.was_exceeded())
        {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            return RunnerError::Memory {
                limit_mib: mib(limit),
                used_mib: mib(figures.peak.max(figures.resident).max(limit)),
                suggested_mib: mib(figures.suggested_limit().max(limit + limit / 2)),
            };
        }
        let what = match verdict {
            Some(Verdict::Hung { after_ms }) => {
                return RunnerError::Crashed(format!(
                    "the service's process was ended: a request was not answered within {after_ms} ms"
                ));
            }
            Some(Verdict::Restart) => "was restarted".to_owned(),
            _ => match status.as_ref().map(|status| (status.code(), status.signal())) {
                Ok((Some(code), _)) => format!("ended with exit code {code}"),
                Ok((_, Some(signal))) => format!("was ended by {}", signal_name(signal)),
                _ => "ended".to_owned(),
            },
        };
        let last = last_line.map(|line| format!(", saying '{line}'")).unwrap_or_default();
        RunnerError::Crashed(format!("the service's process {what} while it {while_it}{last}"))
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGSEGV => "SIGSEGV (it reached for memory that it does not have)",
        libc::SIGABRT => "SIGABRT (it gave up by itself)",
        libc::SIGILL => "SIGILL (its code was compiled for another processor)",
        libc::SIGBUS => "SIGBUS (a file that it had mapped became shorter)",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}
