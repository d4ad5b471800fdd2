//! The walls around a worker.
//!
//! Before anything of the model is touched, while there is one thread: no new privileges, no
//! capabilities, namespaces without a network, and a view of the file system that holds the model
//! and the libraries, read-only ([`before_loading`]). When the model is loaded: no files, sockets,
//! processes or signals to others, for every thread ([`after_loading`]). What a kernel lacks is
//! reported and does not stop the worker.

mod files;
mod namespaces;
mod syscalls;

use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use sedge_service::Guard;

/// Ends this process with the one that started it, also when it was too late to be told.
pub(crate) fn die_with_parent(parent: u32) -> bool {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().get() as u32 == parent)
}

/// What has to be done while this process has one thread.
pub(crate) fn before_loading(readable: &[PathBuf]) -> Vec<Guard> {
    // A dump would hold the pictures of others.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    let namespaces = namespaces::leave();
    let privileges = guard(
        "privileges",
        rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string()),
        "no new ones",
    );
    let capabilities = guard("capabilities", namespaces::drop_capabilities(), "none");
    vec![privileges, namespaces, capabilities, files::restrict(readable)]
}

/// What has to wait until the engine and the model are there.
pub(crate) fn after_loading() -> Guard {
    guard(
        "seccomp",
        syscalls::restrict().map_err(|error| error.to_string()),
        "no files, sockets, processes or signals to others",
    )
}

fn guard(name: &str, result: Result<(), String>, detail: &str) -> Guard {
    let (holds, detail) = match result {
        Ok(()) => (true, detail.to_owned()),
        Err(error) => (false, error),
    };
    Guard { name: name.to_owned(), holds, detail }
}
