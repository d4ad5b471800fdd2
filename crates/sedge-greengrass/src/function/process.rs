use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Stdio;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount_bind_recursive, mount_change, mount_remount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Signal, Uid, getppid};
use rustix::thread::{
    UnshareFlags, set_thread_gid, set_thread_groups, set_thread_uid, unshare_unsafe,
};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::Launch;
use crate::group::Level;

/// A process that was just started, and what it writes.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) logs: Vec<(Level, Receiver)>,
}

/// A directory that is seen at another place, too.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) source: CString,
    pub(super) destination: CString,
    pub(super) read_only: bool,
}

/// User, group and further groups of a process.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: Vec<Gid>,
}

/// Starts a process as leader of its own group, with a pipe for each level of its log.
pub(super) fn spawn(launch: &Launch, token: &str) -> io::Result<Started> {
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.arguments)
        .env_clear()
        .envs(launch.environment.iter().cloned())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)
        .current_dir(&launch.directory)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut logs = Vec::new();
    let mut inherited: Vec<OwnedFd> = Vec::new();
    for (names, level) in [
        (&["DEBUG", "TRACE"][..], Level::Debug),
        (&["INFO"], Level::Info),
        (&["WARN"], Level::Warn),
        (&["ERROR"], Level::Error),
        (&["FATAL"], Level::Fatal),
    ] {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        logs.push((level, Receiver::from_owned_fd(reader)?));
        let number = match level {
            Level::Info => {
                command.stdout(File::from(writer));
                1
            }
            Level::Error => {
                command.stderr(File::from(writer));
                2
            }
            _ => {
                let number = writer.as_raw_fd();
                inherited.push(writer);
                number
            }
        };
        for name in names {
            command.env(format!("_GG_LOG_FD_{name}"), number.to_string());
        }
    }
    let kept: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
    let (identity, mounts) = (launch.identity.clone(), launch.mounts.clone());
    let parent = std::process::id();
    #[allow(unsafe_code)]
    // SAFETY: between fork and exec there are only system calls on what was prepared before:
    // nothing allocates or takes a lock.
    unsafe {
        command.pre_exec(move || become_function(&kept, identity.as_ref(), &mounts, parent));
    }
    let child = command.spawn()?;
    drop(inherited);
    Ok(Started { child, logs })
}

/// What the new process does before it is the function.
#[allow(unsafe_code)]
fn become_function(
    kept: &[RawFd],
    identity: Option<&Identity>,
    mounts: &[Mount],
    parent: u32,
) -> io::Result<()> {
    for descriptor in kept {
        // SAFETY: they are open: the closure's owner keeps them until the process was started.
        let descriptor = unsafe { BorrowedFd::borrow_raw(*descriptor) };
        fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    if !mounts.is_empty() {
        // SAFETY: this process has one thread, and keeps its descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
        let own = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change(c"/", own)?;
    }
    for Mount { source, destination, read_only } in mounts {
        mount_bind_recursive(source.as_c_str(), destination.as_c_str())?;
        if *read_only {
            mount_remount(destination.as_c_str(), MountFlags::BIND | MountFlags::RDONLY, c"")?;
        }
    }
    if let Some(Identity { uid, gid, groups }) = identity {
        // This process has one thread, so that a thread's identity is the process's.
        set_thread_groups(groups)?;
        set_thread_gid(*gid)?;
        set_thread_uid(*uid)?;
    }
    // After the change of user, which forgets it. The core may have ended meanwhile.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let still = getppid().is_some_and(|pid| pid.as_raw_nonzero().get() as u32 == parent);
    if still { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}
