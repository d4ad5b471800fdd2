use serde::{Deserialize, Serialize};

use crate::{ModelInfo, Request, Response, RunnerError, Task};

/// What answers the requests of one version of a model: threads of this process, or a process of
/// its own.
///
/// It says at its [`crate::Desk`] how many tasks it takes at a time. Dropping it ends what it
/// started; by then no task is left.
pub trait Backend: Send + Sync {
    /// What is behind it.
    fn info(&self) -> &ModelInfo;

    /// Begins to answer, on a thread of its own: this returns at once.
    fn begin(&self, task: Task);

    /// Answers on the calling thread, when that takes no longer than waking another one; `None`
    /// where it would.
    fn answer_here(&self, request: &Request) -> Option<Result<Response, RunnerError>> {
        let _ = request;
        None
    }

    /// How it is.
    fn status(&self) -> BackendStatus;

    /// Begins anew, as after a crash; forgets those there were.
    fn reset(&self) {}
}

/// What can be said about a backend at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Whether it answers.
    pub phase: Phase,
    /// `thread` or `process`.
    pub isolation: String,
    /// What holds a process back, and what this kernel lacks for it; empty for threads.
    pub sandbox: Vec<Guard>,
    /// Identifier of the process, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// What its memory limit is and takes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory: Option<Memory>,
    /// Times it was started again after it ended by itself.
    pub restarts: u64,
    /// Why it ended last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
}

/// Whether a backend answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It answers.
    #[default]
    Ready,
    /// It ended and is about to be started again; requests wait.
    Restarting,
    /// It ended too often; requests are refused.
    Broken,
}

/// One of the walls around a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// `landlock`, `seccomp`, `namespaces`, `capabilities`, ...
    pub name: String,
    /// Whether it stands.
    pub holds: bool,
    /// What it keeps out, or why it is not there.
    pub detail: String,
}

/// Memory of a backend in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What it may take, and who watches: `cgroup` or `watchdog`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
    /// Who holds it to the limit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub enforced_by: Option<String>,
    /// Resident now.
    pub resident: u64,
    /// The most that was resident since the service began, in whichever of its processes.
    pub peak: u64,
}

impl Memory {
    /// A limit that would have been enough, with a quarter to spare.
    pub fn suggested_limit(&self) -> u64 {
        (self.peak + self.peak / 4).next_multiple_of(1 << 20)
    }
}
