//! The directory of everything that is kept: models, states, the control socket.

use std::path::{Path, PathBuf};

/// Names the directory instead of `--root` and the configuration's `root`.
pub(crate) const VARIABLE: &str = "SEDGE_ROOT";

/// Names the directory of installed runtimes for the processes of services.
pub(crate) const RUNTIMES_VARIABLE: &str = "SEDGE_RUNTIMES";

/// The directory: as the command line says, else the configuration, the environment, or where it is
/// by custom.
pub(crate) fn choose(flag: Option<&Path>, config: Option<&Path>) -> PathBuf {
    let named = flag.or(config).map(Path::to_owned);
    named.or_else(|| variable(VARIABLE).map(Into::into)).unwrap_or_else(by_custom)
}

/// The directory when nobody names one: the system's for root, else the user's.
pub(crate) fn by_custom() -> PathBuf {
    // What systemd made for the service.
    if let Some(directory) = variable("STATE_DIRECTORY") {
        return directory.into();
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/sedge".into();
    }
    match (variable("XDG_DATA_HOME"), variable("HOME")) {
        (Some(data), _) => Path::new(&data).join("sedge"),
        (None, Some(home)) => Path::new(&home).join(".local/share/sedge"),
        (None, None) => "/var/lib/sedge".into(),
    }
}

/// Where runtimes lie that `sedge runtime install` brought.
pub(crate) fn runtimes(root: &Path) -> PathBuf {
    root.join("runtime")
}

/// Where waits what is to leave the device.
pub(crate) fn spool(root: &Path) -> PathBuf {
    root.join("spool")
}

/// The socket at which a running server is told what to do.
pub(crate) fn control_socket(root: &Path) -> PathBuf {
    root.join("run/control.sock")
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
