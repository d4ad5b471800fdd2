use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use humantime::format_rfc3339_seconds;
use serde::Serialize;

/// How a function does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FunctionStatus {
    /// Its ARN.
    pub arn: String,
    /// Whether it runs all the time.
    pub pinned: bool,
    /// What it does at present.
    pub state: State,
    /// Processes of it that run.
    pub processes: u32,
    /// Calls that were answered, errors of the handler included.
    pub answered: u64,
    /// Calls that could not be answered: the process ended, took too long, was not there.
    pub failed: u64,
    /// How often a process of it ended without having been told to.
    pub ended: u64,
    /// Why the last one did, or could not be started.
    pub last_error: Option<String>,
    /// When that was, in UTC as RFC 3339 writes it.
    pub last_error_at: Option<String>,
}

/// What a function does at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// A process of it is being started.
    Starting,
    /// It answers calls, or would.
    #[default]
    Ready,
    /// It ended or could not be started, and is tried again after a pause.
    Restarting,
    /// It cannot be started: a resource is not here, or it asks for what this core does not give.
    Missing,
    /// It was stopped with the core.
    Stopped,
}

/// Where a function's state is written down.
#[derive(Debug, Default)]
pub(crate) struct Board {
    status: Mutex<FunctionStatus>,
}

impl Board {
    pub(crate) fn new(arn: String, pinned: bool) -> Self {
        let status = FunctionStatus { arn, pinned, ..FunctionStatus::default() };
        Self { status: Mutex::new(status) }
    }

    fn status(&self) -> MutexGuard<'_, FunctionStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read(&self) -> FunctionStatus {
        self.status().clone()
    }

    pub(crate) fn set(&self, state: State) {
        self.status().state = state;
    }

    pub(crate) fn process_began(&self) {
        self.status().processes += 1;
    }

    pub(crate) fn process_over(&self) {
        let mut status = self.status();
        status.processes = status.processes.saturating_sub(1);
    }

    pub(crate) fn ended(&self, error: &str) {
        let mut status = self.status();
        status.ended += 1;
        status.last_error = Some(error.to_owned());
        status.last_error_at = Some(format_rfc3339_seconds(SystemTime::now()).to_string());
    }

    pub(crate) fn answered(&self, well: bool) {
        let mut status = self.status();
        if well {
            status.answered += 1;
        } else {
            status.failed += 1;
        }
    }
}
