//! How much memory a worker takes, and who holds it to its limit.

use std::time::Duration;

use sedge_service::Memory;

use crate::group::Group;

/// Pause between two looks while requests run and nobody else holds the worker to its limit: what
/// it can fill meanwhile is some ten MiB.
const BUSY: Duration = Duration::from_millis(10);
/// Pause between two looks otherwise.
const IDLE: Duration = Duration::from_millis(250);

/// Looks after the memory of one process.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    limit: Option<u64>,
    group: Option<Group>,
    resident: u64,
    peak: u64,
    /// Set when the process has ended.
    was_exceeded: bool,
}

impl Watch {
    /// Takes a process into a group where that is possible; else it has to be [looked at](Self::look).
    pub(crate) fn begin(pid: u32, limit: Option<u64>) -> Self {
        // The kernel's last resort is to end a worker rather than the core.
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
        let group = limit.and_then(|limit| Group::of(pid, Some(limit)));
        Self { pid, limit, group, resident: 0, peak: 0, was_exceeded: false }
    }

    /// Reads what it takes; true when that is more than it may.
    ///
    /// Resident memory rather than reserved: models are mapped, and their pages come and go.
    pub(crate) fn look(&mut self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.unwrap_or_default();
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
        };
        if let (Some(resident), Some(peak)) = (field("VmRSS:"), field("VmHWM:")) {
            self.resident = resident;
            self.peak = self.peak.max(peak);
        }
        self.limit.is_some_and(|limit| self.resident > limit)
    }

    /// How long to wait until the next look.
    pub(crate) fn pause(&self, busy: bool) -> Duration {
        if busy && self.limit.is_some() && self.group.is_none() { BUSY } else { IDLE }
    }

    /// Asks the kernel once, when the process has ended, whether that was for its memory.
    pub(crate) fn process_ended(&mut self) {
        let Some(group) = self.group.as_ref().filter(|group| group.was_exceeded()) else { return };
        self.was_exceeded = true;
        // What the kernel refused to give was never resident.
        self.peak = self.peak.max(group.peak().unwrap_or(0));
    }

    /// Whether the process, which has ended, was ended by the kernel for its memory.
    pub(crate) fn was_exceeded(&self) -> bool {
        self.was_exceeded
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }

    pub(crate) fn figures(&self) -> Memory {
        let enforced_by = match (self.limit, &self.group) {
            (None, _) => None,
            (Some(_), Some(_)) => Some("cgroup".to_owned()),
            (Some(_), None) => Some("watchdog".to_owned()),
        };
        Memory { limit: self.limit, enforced_by, resident: self.resident, peak: self.peak }
    }
}
