//! What `sedge doctor` looks at: one module per area, each a list of probes that tell findings.
//!
//! Read [`Finding`] and [`examine`] first. A probe runs on a thread of its own, so that one that
//! panics or hangs costs its own findings and nothing else.

pub(crate) mod bundle;
mod cgroup;
mod cores;
mod cpu;
mod engines;
mod host;
mod isolation;
mod kernel;
mod limits;
mod memory;
mod model;
mod network;
pub(crate) mod redact;
mod storage;
mod thermal;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde::Serialize;

pub(crate) use host::Host;
pub(crate) use isolation::{CHILD_VARIABLE, unshare_and_tell};

/// Longest that a probe of the machine may take: a dead network mount must not stop the rest.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Longest that loading the named model and its golden cases may take.
const MODEL_LIMIT: Duration = Duration::from_secs(300);

/// How a finding stands, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Works; something is not there or could be better.
    Note,
    /// Works, but slowly, or not for everything that Sedge does.
    Warning,
    /// Does not work.
    Problem,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Note => "note",
            State::Warning => "warning",
            State::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// What it belongs to: `cpu`, `memory`, ...
    pub(crate) area: &'static str,
    /// What was looked at.
    pub(crate) name: String,
    pub(crate) state: State,
    /// What was found, for people.
    pub(crate) value: String,
    /// What to do about it; always there unless the state is ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// What was found, for programs.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub(crate) data: serde_json::Value,
}

impl Finding {
    fn new(area: &'static str, name: impl Into<String>, state: State, value: String) -> Self {
        let data = serde_json::Value::Null;
        Self { area, name: name.into(), state, value, hint: None, data }
    }

    fn ok(area: &'static str, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(area, name, State::Ok, value.into())
    }

    /// A finding that is not ok, which always says what to do.
    fn bad(
        state: State,
        area: &'static str,
        name: impl Into<String>,
        value: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let hint = Some(hint.into());
        Self { hint, ..Self::new(area, name, state, value.into()) }
    }

    /// An error whose message may end in a hint of its own.
    fn of_error(
        state: State,
        area: &'static str,
        name: impl Into<String>,
        error: &str,
        otherwise: &str,
    ) -> Self {
        let (value, hint) = error.split_once(" Hint: ").unwrap_or((error, otherwise));
        Self::bad(state, area, name, value, hint)
    }

    fn with(mut self, data: serde_json::Value) -> Self {
        self.data = data;
        self
    }
}

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) host: Host,
    /// Data directory that the user names.
    pub(crate) root: Option<PathBuf>,
    /// Configuration of `sedge serve`.
    pub(crate) config: Option<PathBuf>,
    /// A model to load.
    pub(crate) model: Option<PathBuf>,
}

type Probe = fn(&Context) -> Vec<Finding>;

/// Runs every probe; the findings come in a fixed order.
pub(crate) fn examine(context: Context) -> Vec<Finding> {
    let probes: [(&'static str, Probe, Duration); 10] = [
        ("cpu", cpu::probe, PROBE_LIMIT),
        ("cpu", cores::probe, PROBE_LIMIT),
        ("cpu", thermal::probe, PROBE_LIMIT),
        ("memory", memory::probe, PROBE_LIMIT),
        ("system", kernel::probe, PROBE_LIMIT),
        ("system", limits::probe, PROBE_LIMIT),
        ("storage", storage::probe, PROBE_LIMIT),
        ("network", network::probe, PROBE_LIMIT),
        ("isolation", isolation::probe, PROBE_LIMIT),
        ("engines", engines::probe, PROBE_LIMIT),
    ];
    let context = Arc::new(context);
    let mut findings = Vec::new();
    for (area, probe, limit) in probes {
        findings.extend(contained(area, probe, limit, &context));
    }
    if context.config.is_some() {
        findings.extend(contained("configuration", model::probe_config, MODEL_LIMIT, &context));
    }
    if context.model.is_some() {
        findings.extend(contained("model", model::probe, MODEL_LIMIT, &context));
    }
    findings
}

/// What a probe finds, or that it panicked or hung.
fn contained(
    area: &'static str,
    probe: Probe,
    limit: Duration,
    context: &Arc<Context>,
) -> Vec<Finding> {
    let (send, receive) = sync_channel(1);
    let context = context.clone();
    // Detached: a probe that hangs ends with the process.
    let started = std::thread::Builder::new().spawn(move || send.send(probe(&context)));
    let report = "this is a defect of Sedge or of the machine: please report it with --bundle";
    let lost = |value: String| vec![Finding::bad(State::Warning, area, "probe", value, report)];
    if let Err(error) = started {
        return lost(format!("cannot start a thread: {error}"));
    }
    match receive.recv_timeout(limit) {
        Ok(findings) => findings,
        Err(RecvTimeoutError::Timeout) => lost(format!("no answer within {} s", limit.as_secs())),
        Err(RecvTimeoutError::Disconnected) => lost("it panicked".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Arc<Context> {
        let host = Host::at("/nonexistent");
        Arc::new(Context { host, root: None, config: None, model: None })
    }

    #[test]
    fn a_probe_that_panics_or_hangs_costs_only_itself() {
        let panics: Probe = |_| panic!("on purpose");
        let hangs: Probe = |_| {
            std::thread::sleep(Duration::from_secs(60));
            Vec::new()
        };
        for (probe, limit_ms, word) in [(panics, 30_000, "panicked"), (hangs, 100, "no answer")] {
            let found = contained("cpu", probe, Duration::from_millis(limit_ms), &context());
            assert_eq!((found.len(), found[0].state), (1, State::Warning));
            assert!(found[0].value.contains(word), "{found:?}");
        }
    }

    /// Also on a machine without /proc and /sys every probe says something, and every finding that
    /// is not ok says what to do.
    #[test]
    fn nothing_to_read_is_no_failure() {
        let host = Host::at("/nonexistent");
        let context = Context { host, root: None, config: None, model: None };
        let findings = examine(context);
        for area in ["cpu", "memory", "system", "storage", "network", "isolation", "engines"] {
            assert!(findings.iter().any(|finding| finding.area == area), "{area}");
        }
        for finding in &findings {
            assert_ne!(finding.name, "probe", "{finding:?}");
            assert_eq!(finding.state == State::Ok, finding.hint.is_none(), "{finding:?}");
        }
    }
}
