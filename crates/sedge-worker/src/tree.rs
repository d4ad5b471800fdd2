use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::group::Group;

/// Pause between two looks where nobody else holds the processes to their limit.
const LOOK: Duration = Duration::from_millis(100);
/// Rounds of ending what is left: a process may start another one before it is ended itself.
const ROUNDS: u32 = 100;

/// A process and everything that it starts, held to one limit and ended together.
///
/// In a control group, all of them are known. Where none can be made, they are the processes of the
/// first one's process group, and when they are ended also those that have its mark in their
/// environment: one that leaves the group and forgets its environment escapes.
#[derive(Debug)]
pub struct Tree {
    leader: u32,
    mark: String,
    limit: Option<u64>,
    group: Option<Group>,
    peak: u64,
}

impl Tree {
    /// Takes over a process that was just started as the leader of its own process group, with
    /// `mark` (`NAME=VALUE`) in its environment and nobody else's; `limit` is in bytes.
    pub fn begin(leader: u32, limit: Option<u64>, mark: String) -> Self {
        // The kernel's last resort is to end such a process rather than the core.
        let _ = fs::write(format!("/proc/{leader}/oom_score_adj"), "1000");
        Self { leader, mark, limit, group: Group::of(leader, limit), peak: 0 }
    }

    /// How long to wait until the next [`Self::look`].
    pub fn pause(&self) -> Duration {
        LOOK
    }

    /// Whether they take more memory than they may and nobody but the caller ends them for it: in
    /// a control group, the kernel does.
    pub fn look(&mut self) -> bool {
        let (Some(limit), None) = (self.limit, &self.group) else { return false };
        let is_member = |pid: &u32| Stat::of(*pid).is_some_and(|stat| stat.group == self.leader);
        let resident = processes().filter(is_member).map(own_memory).sum();
        self.peak = self.peak.max(resident);
        resident > limit
    }

    /// Whether the kernel has ended one of them for its memory.
    pub fn was_exceeded(&self) -> bool {
        self.group.as_ref().is_some_and(Group::was_exceeded)
    }

    /// The most memory that was seen, in bytes.
    pub fn peak(&self) -> u64 {
        self.group.as_ref().and_then(Group::peak).unwrap_or(0).max(self.peak)
    }

    /// Ends all of them. Blocks for some milliseconds.
    pub fn end(&self) {
        for _ in 0..ROUNDS {
            let members = self.members();
            if members.is_empty() {
                return;
            }
            for pid in members {
                let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
                let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Those that still run.
    fn members(&self) -> Vec<u32> {
        let runs = |pid: &u32| Stat::of(*pid).is_some_and(|stat| stat.runs);
        if let Some(group) = &self.group {
            return group.members().into_iter().filter(runs).collect();
        }
        let own = std::process::id();
        let is_one = |pid: &u32| {
            let grouped = Stat::of(*pid).is_some_and(|stat| stat.group == self.leader);
            *pid != own && runs(pid) && (grouped || self.is_marked(*pid))
        };
        processes().filter(is_one).collect()
    }

    fn is_marked(&self, pid: u32) -> bool {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
    }
}

/// What a process has resident of its own, in bytes: pages of programs and libraries, which the
/// kernel can take back and others share, do not count, as they do not hold up a control group.
fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let own = kib("RssAnon:").map(|anonymous| anonymous + kib("RssShmem:").unwrap_or(0));
    own.or_else(|| kib("VmRSS:")).unwrap_or(0) << 10
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What `/proc/PID/stat` says (proc(5)).
struct Stat {
    runs: bool,
    group: u32,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name before may hold anything, also brackets. State is field 3, the group 5.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        Some(Self {
            runs: !fields.first()?.starts_with(['Z', 'X']),
            group: fields.get(2)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_process_is_is_read() {
        let text = "42 (a) R) S 1 40 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99 1000 77";
        let stat = Stat::parse(text).unwrap();
        assert!(stat.runs);
        assert_eq!(stat.group, 40);
        assert!(own_memory(std::process::id()) > 100 << 10);
        for text in ["", "1 (a)", "1 (a) S", "1 (a) S 1 x 1", "1 (a) Z 1"] {
            assert!(Stat::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_was_started_on_the_way_ends_too() {
        let script = "setsid sleep 1000 & sleep 1000 & echo started; wait";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .env("SEDGE_TREE_TEST", "a1b2")
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let tree = Tree::begin(child.id(), None, "SEDGE_TREE_TEST=a1b2".into());
        while tree.members().len() < 3 {
            std::thread::sleep(Duration::from_millis(5));
        }
        tree.end();
        child.wait().unwrap();
        assert!(tree.members().is_empty());
    }
}
