//! Control groups that hold workers to their memory, where a writable memory controller exists.
//!
//! Version 2 wants processes only in groups without groups of their own, so that the core moves to
//! a group beside those of its workers first ([`prepare`]); a service manager has to have delegated
//! its group. Version 1 knows no such rule.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where workers' groups are made, and by which version's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    version: u8,
    directory: PathBuf,
}

static PLACE: OnceLock<Result<Place, String>> = OnceLock::new();

/// Finds out once whether groups can be made, and makes ready for it; else why not.
///
/// Moves this process, so that it is to be called once, before others are started.
pub fn prepare() -> Result<(), String> {
    PLACE
        .get_or_init(|| Place::find(Path::new("/proc/self")))
        .as_ref()
        .map(|_| ())
        .map_err(Clone::clone)
}

/// Removes what an earlier core left behind whose processes are gone. What belongs to a core that
/// runs stays: it asks an empty group yet why its process ended.
pub fn clear_away() {
    let Some(Ok(place)) = PLACE.get() else { return };
    let Ok(entries) = fs::read_dir(&place.directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(of) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let core = of.split('-').next().unwrap_or(of);
        if core == std::process::id().to_string() || !Path::new("/proc").join(core).exists() {
            remove(&entry.path(), 250, || is_ending(&entry.path()));
        }
    }
}

/// Removes a group, which its processes may leave a moment after they have ended, while `is_empty`
/// says that it is as good as empty.
fn remove(directory: &Path, tries: usize, is_empty: impl Fn() -> bool) {
    for _ in 0..tries {
        if fs::remove_dir(directory).is_ok() || !directory.exists() || !is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Whether every process of a group was ended, as all are whose core was, and is only not gone yet.
fn is_ending(directory: &Path) -> bool {
    let pids = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    pids.lines().all(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("X", |(_, rest)| rest);
        // Another namespace's are called 0 here.
        pid != "0" && state.starts_with(['Z', 'X'])
    })
}

/// Followed by the core's process and the worker's.
const PREFIX: &str = "sedge-worker-";

impl Place {
    fn find(process: &Path) -> Result<Self, String> {
        let text = |name: &str| {
            fs::read_to_string(process.join(name)).map_err(|error| format!("{name}: {error}"))
        };
        let (memberships, mounts) = (text("cgroup")?, text("mountinfo")?);
        let place = Self::of(&memberships, &mounts).ok_or("no memory controller is mounted")?;
        place
            .make_ready()
            .map_err(|error| format!("{} cannot be used: {error}", place.directory.display()))?;
        Ok(place)
    }

    /// The own group of the memory controller; of version 1 where it is mounted as such.
    fn of(memberships: &str, mounts: &str) -> Option<Self> {
        let member = |wanted: &dyn Fn(&str) -> bool| {
            memberships.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                wanted(controllers).then_some(path)
            })
        };
        let mount = |kind: &str, option: &str| {
            mounts.lines().find_map(|line| {
                let (left, right) = line.split_once(" - ")?;
                let mut right = right.split(' ');
                let fits = right.next()? == kind
                    && (option.is_empty() || right.nth(1)?.split(',').any(|word| word == option));
                let mut left = left.split(' ').skip(3);
                fits.then_some((left.next()?, left.next()?))
            })
        };
        // A mount may show only a part of the tree, beginning at its root.
        let directory = |(root, point): (&str, &str), path: &str| {
            let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            Path::new(point).join(below)
        };
        let one = |controllers: &str| controllers.split(',').any(|name| name == "memory");
        if let (Some(mount), Some(path)) = (mount("cgroup", "memory"), member(&one)) {
            return Some(Self { version: 1, directory: directory(mount, path) });
        }
        let directory = directory(mount("cgroup2", "")?, member(&str::is_empty)?);
        Some(Self { version: 2, directory })
    }

    fn make_ready(&self) -> io::Result<()> {
        if self.version == 2 {
            let available = fs::read_to_string(self.directory.join("cgroup.controllers"))?;
            if !available.split_whitespace().any(|name| name == "memory") {
                return Err(io::Error::other("the memory controller is not delegated"));
            }
            let core = self.directory.join("sedge-core");
            make(&core)?;
            fs::write(core.join("cgroup.procs"), "0")?;
            fs::write(self.directory.join("cgroup.subtree_control"), "+memory")?;
        }
        let probe = self.directory.join(format!("{PREFIX}{}-probe", std::process::id()));
        make(&probe)?;
        fs::remove_dir(probe)
    }
}

fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The group of one worker, removed with it.
#[derive(Debug)]
pub(crate) struct Group {
    version: u8,
    directory: PathBuf,
}

impl Group {
    /// A group for a process that was just started, with a limit in bytes where it has one; `None`
    /// where there are no groups to be had.
    pub(crate) fn of(pid: u32, limit: Option<u64>) -> Option<Self> {
        let Some(Ok(place)) = PLACE.get() else { return None };
        let directory = place.directory.join(format!("{PREFIX}{}-{pid}", std::process::id()));
        make(&directory).ok()?;
        let group = Self { version: place.version, directory };
        let set = || -> io::Result<()> {
            if let Some(limit) = limit {
                group.limit(&limit.to_string())?;
            }
            group.write("cgroup.procs", &pid.to_string())
        };
        set().ok().map(|()| group)
    }

    fn limit(&self, limit: &str) -> io::Result<()> {
        if self.version == 1 {
            self.write("memory.limit_in_bytes", limit)?;
            // Not every kernel counts swap.
            let _ = self.write("memory.memsw.limit_in_bytes", limit);
        } else {
            self.write("memory.max", limit)?;
            let _ = self.write("memory.swap.max", "0");
            let _ = self.write("memory.oom.group", "1");
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.directory.join(name), text)
    }

    /// The processes in it.
    pub(crate) fn members(&self) -> Vec<u32> {
        let pids = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        pids.lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Whether the kernel ended a process of it for its memory.
    pub(crate) fn was_exceeded(&self) -> bool {
        let name = if self.version == 1 { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|count| count.trim() != "0")
    }

    /// The most it held, in bytes, caches of files included.
    pub(crate) fn peak(&self) -> Option<u64> {
        let name = if self.version == 1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        fs::read_to_string(self.directory.join(name)).ok()?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.directory, 10, || true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found() {
        let hybrid = "33 32 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      34 32 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let place = |memberships, mounts| Place::of(memberships, mounts);
        let at = |version, directory: &str| Some(Place { version, directory: directory.into() });
        assert_eq!(place("4:memory:/a/b\n0::/c\n", hybrid), at(1, "/sys/fs/cgroup/memory/a/b"));
        let unified = "34 32 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let service = "0::/system.slice/sedge.service\n";
        let wanted = at(2, "/sys/fs/cgroup/system.slice/sedge.service");
        assert_eq!(place(service, unified), wanted);
        let container = "34 32 0:30 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(place("0::/docker/1\n", container), at(2, "/sys/fs/cgroup/"));
        assert_eq!(place("0::/\n", ""), None);
    }
}
