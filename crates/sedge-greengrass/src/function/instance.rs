use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use sedge_worker::Tree;
use serde_json::json;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Launch, Shared, process, stopped};
use crate::group::Level;
use crate::ipc::Seat;
use crate::log::follow;
use crate::{Call, Failure, id};

/// Longest time until a process is ready for work. V1 has no limit that is written down.
const START: Duration = Duration::from_secs(300);
/// Time between being asked to end and being ended.
const GRACE: Duration = Duration::from_secs(2);
/// Longest wait for what an ended process has written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One process of a function; ended when it is dropped.
#[derive(Debug)]
pub(super) struct Instance {
    seat: Arc<Seat>,
    orders: mpsc::Sender<End>,
    ended: watch::Receiver<Option<End>>,
}

/// Why a process ended. What it says is what callers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself: how, and its last words.
    Itself { state: String, last: String },
    /// It took more memory than it may.
    Memory { limit_kb: u64, used_kb: u64 },
    /// A call took too long.
    Timeout(Duration),
    /// It is not needed any more.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself { state, last } if last.is_empty() => {
                write!(f, "the function's process ended ({state})")
            }
            Self::Itself { state, last } => {
                write!(f, "the function's process ended ({state}), saying '{last}'")
            }
            Self::Memory { limit_kb, used_kb } => write!(
                f,
                "the function took {used_kb} KB of memory and may take {limit_kb}. Hint: a larger MemorySize"
            ),
            // The words of Lambda.
            Self::Timeout(limit) => {
                write!(f, "Task timed out after {:.2} seconds", limit.as_secs_f64())
            }
            Self::Stopped => f.write_str("the function was stopped"),
        }
    }
}

impl Instance {
    /// Starts a process and waits until it is ready.
    ///
    /// # Errors
    /// Why it is not, for the log and for callers.
    pub(super) async fn start(launch: &Launch, shared: &Shared) -> Result<Self, String> {
        let worker = id::uuid();
        let failed = |why: String| {
            let message = shared.logs.write_not_started(&worker, &launch.arn, &why);
            format!("{message}: {why}")
        };
        let seat = shared.seats.take(&launch.arn);
        let started = process::spawn(launch, &seat.token).map_err(|error| {
            shared.seats.leave(&seat);
            let (program, directory) = (launch.program.display(), launch.directory.display());
            let hint = "Hint: the function's user needs to reach both";
            failed(format!("cannot start {program} in {directory}: {error}. {hint}"))
        })?;
        let pid = started.child.id().unwrap_or(0);
        let mark = format!("AWS_CONTAINER_AUTHORIZATION_TOKEN={}", seat.token);
        let tree = Tree::begin(pid, launch.memory_bytes, mark);
        let last = Arc::new(Mutex::new(String::new()));
        let file = shared.logs.function(&launch.arn);
        let followers = started.logs.into_iter();
        let followers = followers
            .map(|(level, pipe)| tokio::spawn(follow(pipe, level, file.clone(), last.clone())))
            .collect();
        let (orders, received) = mpsc::channel(1);
        let (end, ended) = watch::channel(None);
        let keeper = Keeper {
            worker: worker.clone(),
            limit_kb: launch.memory_bytes.map(|bytes| bytes >> 10),
            arn: launch.arn.to_string(),
            shared: shared.clone(),
            seat: seat.clone(),
            followers,
            last,
        };
        tokio::spawn(keeper.keep(started.child, tree, received, end));
        let instance = Self { seat, orders, ended };
        let result = tokio::select! {
            biased;
            ready = instance.seat.desk.ready() => ready,
            end = instance.ended() => Err(end.to_string()),
            () = sleep(START) => Err(format!("it was not ready within {} s", START.as_secs())),
        };
        match result {
            Ok(()) => Ok(instance),
            Err(why) => Err(failed(why)),
        }
    }

    /// Waits until the process and all that it started have ended.
    pub(super) async fn ended(&self) -> End {
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|end| end.clone()).unwrap_or(End::Stopped)
    }

    /// Whether it runs, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Has it answer a call within what is `left` of its `limit`, or ends it.
    pub(super) async fn ask(
        &self,
        call: Call,
        limit: Duration,
        left: Duration,
    ) -> Result<Bytes, Failure> {
        let answered = self.seat.desk.give(Arc::new(call));
        let end = tokio::select! {
            biased;
            answer = answered => match answer {
                Ok(answer) => return answer,
                Err(_) => self.ended().await,
            },
            end = self.ended() => end,
            () = sleep(left) => {
                let _ = self.orders.try_send(End::Timeout(limit));
                self.ended().await
            }
        };
        Err(Failure::Unhandled(end.to_string()))
    }
}

/// Looks after one process.
struct Keeper {
    worker: String,
    arn: String,
    limit_kb: Option<u64>,
    shared: Shared,
    seat: Arc<Seat>,
    followers: Vec<JoinHandle<()>>,
    last: Arc<Mutex<String>>,
}

impl Keeper {
    async fn keep(
        mut self,
        mut child: Child,
        mut tree: Tree,
        mut orders: mpsc::Receiver<End>,
        ended: watch::Sender<Option<End>>,
    ) {
        let leader = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let mut stop = self.shared.stop.clone();
        let mut verdict: Option<End> = None;
        let mut kill_at: Option<Instant> = None;
        let status = loop {
            let order = tokio::select! {
                status = child.wait() => break status.ok(),
                () = sleep(tree.pause()), if self.limit_kb.is_some() && kill_at.is_none() => {
                    if tree.look() { Some(self.memory(&tree)) } else { None }
                }
                () = until(kill_at) => {
                    tree = end(tree).await;
                    kill_at = Some(Instant::now() + GRACE);
                    None
                }
                order = orders.recv(), if kill_at.is_none() => Some(order.unwrap_or(End::Stopped)),
                () = stopped(&mut stop), if kill_at.is_none() => Some(End::Stopped),
            };
            if let Some(order) = order {
                let mut at = Instant::now();
                if order == End::Stopped {
                    let _ = leader.map(|leader| kill_process(leader, Signal::TERM));
                    at += GRACE;
                }
                kill_at = Some(at);
                verdict.get_or_insert(order);
            }
        };
        self.shared.seats.leave(&self.seat);
        // What it has left behind.
        tree = end(tree).await;
        let followers = std::mem::take(&mut self.followers);
        let _ = tokio::time::timeout(LAST_WORDS, async {
            for follower in followers {
                let _ = follower.await;
            }
        })
        .await;
        // The kernel may have ended a child, which is the function's own matter.
        let is_killed = status.is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw()));
        if verdict.is_none() && is_killed && tree.was_exceeded() {
            verdict = Some(self.memory(&tree));
        }
        let state = state(status);
        let verdict = verdict.unwrap_or_else(|| {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            End::Itself { state: state.clone(), last }
        });
        self.log(&verdict, &state);
        ended.send_replace(Some(verdict));
    }

    fn memory(&self, tree: &Tree) -> End {
        let limit_kb = self.limit_kb.unwrap_or_default();
        End::Memory { limit_kb, used_kb: (tree.peak() >> 10).max(limit_kb) }
    }

    /// The lines of V1 (specification, section 9.1).
    fn log(&self, end: &End, state: &str) {
        let (logs, worker, arn) = (&self.shared.logs, &self.worker, &self.arn);
        let write = |level, message: &str, more: &[(&str, serde_json::Value)]| {
            let who = [("workerId", json!(worker)), ("funcArn", json!(arn))];
            logs.write_runtime(level, message, &[&who, more].concat());
        };
        match end {
            End::Stopped => return write(Level::Info, "Worker is stopped.", &[]),
            End::Memory { limit_kb, used_kb } => {
                logs.write_memory(worker, arn, *limit_kb, *used_kb);
            }
            End::Timeout(limit) => {
                write(Level::Warn, "Worker timed out.", &[("timeout", json!(limit.as_secs_f64()))]);
            }
            End::Itself { .. } => {}
        }
        logs.write_killed(worker, arn, state);
    }
}

/// Ends a process and all that it started; they are gone after that.
async fn end(tree: Tree) -> Tree {
    let ending = tokio::task::spawn_blocking(move || {
        tree.end();
        tree
    });
    match ending.await {
        Ok(tree) => tree,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How a process ended, in the words of V1.
fn state(status: Option<ExitStatus>) -> String {
    let signal = |signal: i32| match signal {
        1 => "hangup".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        15 => "terminated".to_owned(),
        other => other.to_string(),
    };
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exit status {code}"),
        Some((None, Some(number))) => format!("signal: {}", signal(number)),
        _ => "unknown".to_owned(),
    }
}
