//! The control groups this process is in, version 1, 2 or both, inside and outside of containers.
//!
//! Limits hold for a group and everything below it, so each is looked for from the own group up to
//! the topmost one that is visible.

use super::Host;

/// Version 1 writes "no limit" as the largest multiple of the page size.
const V1_UNLIMITED: u64 = 1 << 60;

/// The groups that govern one controller, from the own one upwards, as absolute directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Groups {
    pub(crate) version: u8,
    pub(crate) directories: Vec<String>,
}

/// A limit and what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) bytes: u64,
    pub(crate) used: Option<u64>,
}

impl Groups {
    /// Finds the groups of `controller`: of version 1 where it is mounted as such, else version 2.
    pub(crate) fn of(host: &Host, controller: &str) -> Option<Self> {
        let memberships = host.read("/proc/self/cgroup")?;
        let mounts = host.read("/proc/self/mountinfo")?;
        let member = |wanted: &dyn Fn(&str) -> bool| {
            memberships.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                wanted(controllers).then(|| path.to_owned())
            })
        };
        let one = |controllers: &str| controllers.split(',').any(|name| name == controller);
        let v1 = mounts.lines().filter_map(Mount::parse).find(|mount| {
            mount.kind == "cgroup" && mount.options.split(',').any(|option| option == controller)
        });
        if let (Some(mount), Some(path)) = (v1, member(&one)) {
            return Some(Self { version: 1, directories: mount.upwards(host, &path) });
        }
        let v2 = mounts.lines().filter_map(Mount::parse).find(|mount| mount.kind == "cgroup2")?;
        let path = member(&str::is_empty)?;
        Some(Self { version: 2, directories: v2.upwards(host, &path) })
    }

    /// The lowest memory limit of all levels.
    pub(crate) fn memory(&self, host: &Host) -> Option<Limit> {
        let (limit, used, cache) = match self.version {
            1 => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            _ => ("memory.max", "memory.current", "inactive_file"),
        };
        self.lowest(host, limit, used, Some(cache))
    }

    /// The lowest swap limit of all levels (version 2 only; version 1 counts memory and swap as one).
    pub(crate) fn swap(&self, host: &Host) -> Option<Limit> {
        if self.version == 1 {
            return None;
        }
        self.lowest(host, "memory.swap.max", "memory.swap.current", None)
    }

    /// The lowest number of processors that the quota of any level allows.
    pub(crate) fn cpus(&self, host: &Host) -> Option<f64> {
        let quota = |directory: &String| {
            let (quota, period) = if self.version == 1 {
                let quota = host.number(&format!("{directory}/cpu.cfs_quota_us"))?;
                (quota, host.number(&format!("{directory}/cpu.cfs_period_us"))?)
            } else {
                let text = host.word(&format!("{directory}/cpu.max"))?;
                let mut parts = text.split_whitespace();
                (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?)
            };
            (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
        };
        self.directories.iter().filter_map(quota).min_by(f64::total_cmp)
    }

    /// `cache` is the key of `memory.stat` that counts what the kernel gives back when it must:
    /// a group that has read large files is full of it.
    fn lowest(&self, host: &Host, limit: &str, used: &str, cache: Option<&str>) -> Option<Limit> {
        let at = |directory: &String| {
            let number =
                |file: &str| host.word(&format!("{directory}/{file}"))?.parse::<u64>().ok();
            let cached = cache.and_then(|key| {
                let stat = host.read(&format!("{directory}/memory.stat"))?;
                let line = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
                line?.parse::<u64>().ok()
            });
            let used = number(used).map(|used| used.saturating_sub(cached.unwrap_or(0)));
            let bytes = number(limit)?;
            (bytes < V1_UNLIMITED).then_some(Limit { bytes, used })
        };
        self.directories.iter().filter_map(at).min_by_key(|limit| limit.bytes)
    }
}

/// One line of `/proc/self/mountinfo`, see proc_pid_mountinfo(5).
struct Mount<'a> {
    /// Which directory of the file system is mounted.
    root: String,
    point: String,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (place, what) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let mut what = what.split(' ');
        Some(Self {
            root: unescaped(place.next()?),
            point: unescaped(place.next()?),
            kind: what.next()?,
            options: what.nth(1)?,
        })
    }

    /// The directory of the group `path` and those above it, as far as they are mounted. A path
    /// that is not below the mount (a container without a namespace of its own) is the mount.
    fn upwards(&self, host: &Host, path: &str) -> Vec<String> {
        let inside = match path.strip_prefix(self.root.as_str()) {
            Some(rest) if self.root == "/" || rest.is_empty() || rest.starts_with('/') => rest,
            _ => path,
        };
        let mut parts: Vec<&str> = inside.split('/').filter(|part| !part.is_empty()).collect();
        let joined = |parts: &[&str]| format!("{}/{}", self.point, parts.join("/"));
        if parts.contains(&"..") || !host.is_dir(&joined(&parts)) {
            parts.clear();
        }
        let mut directories = Vec::new();
        while !parts.is_empty() {
            directories.push(joined(&parts));
            parts.pop();
        }
        directories.push(self.point.clone());
        directories
    }
}

/// Blanks and such are octal there: `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[3..]);
            }
            None => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::machine;
    use super::*;

    const V2_MOUNT: &str =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1_MOUNTS: &str = "\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn version_2_nested_takes_the_lowest_level() {
        let service = "/sys/fs/cgroup/system.slice/sedge.service";
        let (_kept, host) = machine(&[
            ("/proc/self/cgroup", "0::/system.slice/sedge.service\n"),
            ("/proc/self/mountinfo", V2_MOUNT),
            (&format!("{service}/memory.max"), "max\n"),
            (&format!("{service}/memory.swap.max"), "0\n"),
            (&format!("{service}/cpu.max"), "150000 100000\n"),
            ("/sys/fs/cgroup/system.slice/memory.max", "268435456\n"),
            ("/sys/fs/cgroup/system.slice/memory.current", "1049600\n"),
            ("/sys/fs/cgroup/system.slice/memory.stat", "file 9\ninactive_file 1024\n"),
            ("/sys/fs/cgroup/system.slice/cpu.max", "max 100000\n"),
        ]);
        let groups = Groups::of(&host, "memory").unwrap();
        assert_eq!((groups.version, groups.directories.len()), (2, 3));
        let limit = Limit { bytes: 268_435_456, used: Some(1_048_576) };
        assert_eq!(groups.memory(&host), Some(limit));
        assert_eq!(groups.swap(&host), Some(Limit { bytes: 0, used: None }));
        assert_eq!(Groups::of(&host, "cpu").unwrap().cpus(&host), Some(1.5));
    }

    #[test]
    fn version_2_in_a_container_with_a_namespace() {
        let (_kept, host) = machine(&[
            ("/proc/self/cgroup", "0::/\n"),
            ("/proc/self/mountinfo", V2_MOUNT),
            ("/sys/fs/cgroup/memory.max", "536870912\n"),
            ("/sys/fs/cgroup/cpu.max", "50000 100000\n"),
        ]);
        let groups = Groups::of(&host, "memory").unwrap();
        assert_eq!(groups.directories, ["/sys/fs/cgroup"]);
        assert_eq!(groups.memory(&host).map(|limit| limit.bytes), Some(536_870_912));
        assert_eq!(groups.cpus(&host), Some(0.5));
    }

    #[test]
    fn version_1_beside_an_unused_version_2() {
        let (_kept, host) = machine(&[
            (
                "/proc/self/cgroup",
                "4:memory:/app/one\n3:name=systemd:/\n2:cpu,cpuacct:/app\n0::/\n",
            ),
            ("/proc/self/mountinfo", V1_MOUNTS),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/app/one/memory.limit_in_bytes", "104857600\n"),
            ("/sys/fs/cgroup/memory/app/one/memory.usage_in_bytes", "4096\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        let memory = Groups::of(&host, "memory").unwrap();
        assert_eq!(memory.version, 1);
        assert_eq!(memory.memory(&host), Some(Limit { bytes: 104_857_600, used: Some(4096) }));
        assert_eq!(memory.swap(&host), None);
        assert_eq!(Groups::of(&host, "cpu").unwrap().cpus(&host), Some(2.0));
    }

    /// Docker with version 1 and no cgroup namespace: the group's path is the host's, and what is
    /// mounted is the group itself.
    #[test]
    fn version_1_mounted_at_the_group_itself() {
        let mounts = "35 31 0:32 /docker/a1b2 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        for path in ["/docker/a1b2", "/docker/other/elsewhere", "/../.."] {
            let (_kept, host) = machine(&[
                ("/proc/self/cgroup", &format!("4:memory:{path}\n")),
                ("/proc/self/mountinfo", mounts),
                ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
            ]);
            let groups = Groups::of(&host, "memory").unwrap();
            assert_eq!(groups.memory(&host).map(|limit| limit.bytes), Some(1000), "{path}");
        }
    }

    #[test]
    fn no_limit_and_nonsense_are_no_limit() {
        for text in ["max\n", "9223372036854771712\n", "many\n", "", "-1\n"] {
            let (_kept, host) = machine(&[
                ("/proc/self/cgroup", "0::/\n"),
                ("/proc/self/mountinfo", V2_MOUNT),
                ("/sys/fs/cgroup/memory.max", text),
                ("/sys/fs/cgroup/cpu.max", text),
            ]);
            let groups = Groups::of(&host, "memory").unwrap();
            assert_eq!((groups.memory(&host), groups.cpus(&host)), (None, None), "{text}");
        }
        for (cgroup, mounts) in [("", V2_MOUNT), ("0::/", ""), ("nonsense", "more nonsense - x")] {
            let (_kept, host) =
                machine(&[("/proc/self/cgroup", cgroup), ("/proc/self/mountinfo", mounts)]);
            assert_eq!(Groups::of(&host, "memory"), None);
        }
    }

    #[test]
    fn blanks_in_mount_points_are_read() {
        assert_eq!(unescaped("/mnt/my\\040disk"), "/mnt/my disk");
        assert_eq!(unescaped("/mnt/odd\\9"), "/mnt/odd9");
    }
}
