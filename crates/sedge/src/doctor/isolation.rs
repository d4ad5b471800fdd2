//! What the kernel offers to keep a model's process apart from the rest.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use landlock::{AccessFs, LandlockStatus, Ruleset, RulesetAttr};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use super::cgroup::Groups;
use super::{Context, Finding, Host, State};

const AREA: &str = "isolation";

/// Tells `sedge doctor` that it is the child that only tries namespaces.
pub(crate) const CHILD_VARIABLE: &str = "SEDGE_TRY_NAMESPACES";

/// The child that tries namespaces makes a few system calls.
const CHILD_LIMIT: Duration = Duration::from_secs(5);

/// Namespaces in the order they are tried: the first gives the right to the others.
const NAMESPACES: [(&str, CloneFlags); 4] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("mount", CloneFlags::CLONE_NEWNS),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("net", CloneFlags::CLONE_NEWNET),
];

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let host = &context.host;
    // Children inherit what the thread that starts them has forbidden itself: Landlock is last.
    vec![
        namespaces(host),
        seccomp(host),
        control_groups(host),
        memfd(),
        pidfd(),
        landlock_version(),
    ]
}

/// Landlock tells its version to whoever uses it, so this thread forbids itself to execute files.
/// It ends with the probe.
fn landlock_version() -> Finding {
    const NAME: &str = "Landlock";
    let status = || {
        let rules = Ruleset::default().handle_access(AccessFs::Execute)?.create()?;
        rules.restrict_self().map(|restricted| restricted.landlock)
    };
    let missing = |value: String, hint: &str| Finding::bad(State::Note, AREA, NAME, value, hint);
    match status() {
        Ok(LandlockStatus::Available { effective_abi, kernel_abi }) => {
            let version = kernel_abi.unwrap_or(effective_abi as i32);
            Finding::ok(AREA, NAME, format!("version {version}")).with(json!({"abi": version}))
        }
        Ok(LandlockStatus::NotEnabled) => missing(
            "not enabled".into(),
            "start the kernel with lsm=landlock,... in its command line",
        ),
        Ok(_) => missing("not in this kernel".into(), "it comes with Linux 5.13 and newer"),
        Err(error) => {
            missing(format!("refused: {error}"), "the container's seccomp profile may forbid it")
        }
    }
}

fn seccomp(host: &Host) -> Finding {
    const NAME: &str = "seccomp";
    let actions = host.word("/proc/sys/kernel/seccomp/actions_avail");
    let status = host.read("/proc/self/status").unwrap_or_default();
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim);
    if actions.is_none() && mode.is_none() {
        let hint = "the kernel is built without CONFIG_SECCOMP_FILTER: use the distribution's";
        return Finding::bad(State::Note, AREA, NAME, "not in this kernel", hint);
    }
    let value = match mode {
        Some("2") => "filters, one is already in force",
        _ => "filters",
    };
    Finding::ok(AREA, NAME, value).with(json!({"actions": actions, "filtered": mode == Some("2")}))
}

fn memfd() -> Finding {
    let made = rustix::fs::memfd_create("sedge", rustix::fs::MemfdFlags::CLOEXEC);
    call("memfd", made.err(), "memory without a file name comes with Linux 3.17 and newer")
}

fn pidfd() -> Finding {
    let opened = rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    );
    call("pidfd", opened.err(), "processes as files come with Linux 5.3 and newer")
}

fn call(name: &'static str, error: Option<rustix::io::Errno>, hint: &str) -> Finding {
    match error {
        None => Finding::ok(AREA, name, "works"),
        Some(error) => Finding::bad(State::Note, AREA, name, error.to_string(), hint),
    }
}

/// Whether this process may make groups of its own with a memory limit.
fn control_groups(host: &Host) -> Finding {
    const NAME: &str = "control groups";
    let note = |value: &str, hint: &str| Finding::bad(State::Note, AREA, NAME, value, hint);
    let Some(groups) = Groups::of(host, "memory") else {
        return note("not mounted", "mount -t cgroup2 none /sys/fs/cgroup, or start with systemd");
    };
    if groups.version == 1 {
        return note(
            "version 1",
            "version 2 can be delegated to users: systemd.unified_cgroup_hierarchy=1 in the \
             kernel's command line",
        );
    }
    let Some(own) = groups.directories.first() else { return note("none", "start with systemd") };
    let controllers = host.word(&format!("{own}/cgroup.controllers")).unwrap_or_default();
    if !controllers.split_whitespace().any(|name| name == "memory") {
        return note(
            "version 2 without the memory controller",
            "on a Raspberry Pi add cgroup_enable=memory to /boot/firmware/cmdline.txt; under \
             systemd set Delegate=memory",
        );
    }
    let write = rustix::fs::Access::WRITE_OK;
    if rustix::fs::access(host.path(&format!("{own}/cgroup.subtree_control")), write).is_err() {
        return note(
            "version 2, memory, not writable",
            "under systemd set Delegate=yes; in a container mount it writable",
        );
    }
    Finding::ok(AREA, NAME, "version 2, memory, writable")
        .with(json!({"path": own, "controllers": controllers}))
}

fn namespaces(host: &Host) -> Finding {
    const NAME: &str = "namespaces";
    let tried = match try_namespaces() {
        Ok(tried) => tried,
        Err(reason) => {
            let hint = "try it by hand: unshare --user --pid --net true";
            return Finding::bad(State::Note, AREA, NAME, format!("not tried: {reason}"), hint);
        }
    };
    let (works, fails): (Vec<_>, Vec<_>) = tried.iter().partition(|(_, error)| error.is_none());
    let names = |list: &[&(String, Option<String>)]| {
        list.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let data = json!({
        "works": works.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "refused": fails.iter().map(|(name, _)| name).collect::<Vec<_>>(),
    });
    let Some((_, Some(error))) = fails.first() else {
        return Finding::ok(AREA, NAME, names(&works)).with(data);
    };
    let mut value = format!("refused: {} ({error})", names(&fails));
    if !works.is_empty() {
        value = format!("{}; {value}", names(&works));
    }
    Finding::bad(State::Note, AREA, NAME, value, why_refused(host)).with(data)
}

/// The usual reasons for which a kernel that has namespaces refuses them.
fn why_refused(host: &Host) -> &'static str {
    if host.number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    } else if host.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        "AppArmor allows them by profile only: sudo sysctl -w \
         kernel.apparmor_restrict_unprivileged_userns=0"
    } else if host.number("/proc/sys/user/max_user_namespaces") == Some(0) {
        "sudo sysctl -w user.max_user_namespaces=1000"
    } else {
        "the container's seccomp profile forbids them: docker run --security-opt \
         seccomp=unconfined, or do without them inside a container"
    }
}

/// Tries them in a child, which ends at once: a process cannot go back.
fn try_namespaces() -> Result<Vec<(String, Option<String>)>, String> {
    // Under a test harness the child is the harness again, which must not start a third.
    if std::env::var_os(CHILD_VARIABLE).is_some() {
        return Err("a child asks no child of its own".into());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .arg("doctor")
        .env_clear()
        .env(CHILD_VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let started = Instant::now();
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(_) => break,
            None if started.elapsed() > CHILD_LIMIT => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("the child did not end".into());
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    let mut text = String::new();
    let output = child.stdout.take().ok_or("no output")?;
    output.take(4096).read_to_string(&mut text).map_err(|error| error.to_string())?;
    told(&text).ok_or_else(|| "the child ended early".into())
}

/// What [`unshare_and_tell`] wrote: a line for each namespace.
fn told(text: &str) -> Option<Vec<(String, Option<String>)>> {
    let line = |(name, _): &(&str, CloneFlags)| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(((*name).to_owned(), (line != "ok").then(|| line.to_owned())))
    };
    NAMESPACES.iter().map(line).collect()
}

/// Goes into each namespace and says whether that worked. Only for a process without threads that
/// ends right after.
pub(crate) fn unshare_and_tell(mut out: impl std::io::Write) -> std::io::Result<()> {
    for (name, flag) in NAMESPACES {
        match unshare(flag) {
            Ok(()) => writeln!(out, "{name} ok")?,
            Err(error) => writeln!(out, "{name} {}", error.desc())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::machine;
    use super::*;

    #[test]
    fn what_the_child_tells_is_read() {
        let told = told("user ok\nmount ok\npid Operation not permitted\nnet ok\n").unwrap();
        assert_eq!(told[0], ("user".into(), None));
        assert_eq!(told[2], ("pid".into(), Some("Operation not permitted".into())));
        assert_eq!(super::told("user ok\n"), None);
    }

    #[test]
    fn control_groups_must_be_delegated() {
        let mount = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        for (mounts, membership, controllers, value) in [
            (mount, "0::/\n", "cpu memory", "version 2, memory, writable"),
            (mount, "0::/\n", "cpu", "version 2 without the memory controller"),
            (v1, "4:memory:/\n", "", "version 1"),
            ("", "", "", "not mounted"),
        ] {
            let (_kept, host) = machine(&[
                ("/proc/self/cgroup", membership),
                ("/proc/self/mountinfo", mounts),
                ("/sys/fs/cgroup/cgroup.controllers", controllers),
                ("/sys/fs/cgroup/cgroup.subtree_control", ""),
            ]);
            assert_eq!(control_groups(&host).value, value);
        }
    }

    #[test]
    fn seccomp_is_read() {
        let (_kept, host) = machine(&[("/proc/self/status", "Name:\tx\nSeccomp:\t2\n")]);
        assert_eq!(seccomp(&host).value, "filters, one is already in force");
        assert_eq!(seccomp(&machine(&[]).1).state, State::Note);
    }

    #[test]
    fn reasons_of_refusal_name_their_switch() {
        for (file, text, word) in [
            ("/proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone"),
            ("/proc/sys/user/max_user_namespaces", "0\n", "max_user_namespaces"),
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
            ("/proc/sys/user/max_user_namespaces", "9\n", "seccomp"),
        ] {
            assert!(why_refused(&machine(&[(file, text)]).1).contains(word), "{file}");
        }
    }
}
