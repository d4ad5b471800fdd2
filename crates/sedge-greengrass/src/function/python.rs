use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::LaunchError;

/// The Python side of the protocol, as `python/` has it.
const FILES: [(&str, &str); 9] = [
    ("lambda_runtime.py", include_str!("../../../../python/lambda_runtime.py")),
    (
        "greengrass_common/__init__.py",
        include_str!("../../../../python/greengrass_common/__init__.py"),
    ),
    (
        "greengrass_common/env_vars.py",
        include_str!("../../../../python/greengrass_common/env_vars.py"),
    ),
    (
        "greengrass_common/function_arn_fields.py",
        include_str!("../../../../python/greengrass_common/function_arn_fields.py"),
    ),
    (
        "greengrass_common/parse_version.py",
        include_str!("../../../../python/greengrass_common/parse_version.py"),
    ),
    (
        "greengrass_ipc_python_sdk/__init__.py",
        include_str!("../../../../python/greengrass_ipc_python_sdk/__init__.py"),
    ),
    (
        "greengrass_ipc_python_sdk/connection.py",
        include_str!("../../../../python/greengrass_ipc_python_sdk/connection.py"),
    ),
    (
        "greengrass_ipc_python_sdk/ipc_client.py",
        include_str!("../../../../python/greengrass_ipc_python_sdk/ipc_client.py"),
    ),
    (
        "greengrass_ipc_python_sdk/ipc_facade.py",
        include_str!("../../../../python/greengrass_ipc_python_sdk/ipc_facade.py"),
    ),
];

/// Names of interpreters, in the order in which they are looked for after the one that is asked
/// for.
const INTERPRETERS: [&str; 9] = [
    "python3",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python3.9",
    "python3.8",
    "python3.7",
    "python",
];

/// Writes the Python files below `directory`, each whole or not at all.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn install(directory: &Path) -> io::Result<()> {
    for (name, text) in FILES {
        let path = directory.join(name);
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            continue;
        }
        let parent = path.parent().unwrap_or(directory);
        fs::create_dir_all(parent)?;
        // Functions may run as another user.
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(&path)?;
    }
    Ok(())
}

/// The interpreter for a runtime: the one that is said, else one of the runtime's version, else
/// whichever Python 3.7 or later there is. Runs those that it finds, to see whether they are.
pub(super) fn interpreter(
    said: Option<&Path>,
    runtime: Option<&str>,
) -> Result<PathBuf, LaunchError> {
    let runtime = match runtime.unwrap_or("python3") {
        // Much of what says Python 2 was written for both, and there is no other way to run it.
        runtime if runtime.starts_with("python2") => "python3",
        runtime if runtime.starts_with("python") => runtime,
        other => return Err(LaunchError::Runtime(other.to_owned())),
    };
    if let Some(said) = said {
        return Ok(said.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::iter::once(runtime)
        .chain(INTERPRETERS)
        .flat_map(|name| std::env::split_paths(&path).map(move |directory| directory.join(name)))
        .filter(|candidate| is_program(candidate))
        .find_map(|candidate| executable(&candidate))
        .ok_or(LaunchError::NoPython)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The interpreter itself behind a name: version managers put a script of that name before it,
/// also for versions that they do not have.
fn executable(candidate: &Path) -> Option<PathBuf> {
    let code = "import sys; sys.version_info >= (3, 7) and sys.stdout.write(sys.executable)";
    let output = Command::new(candidate).args(["-I", "-c", code]).output().ok()?;
    let path = PathBuf::from(OsString::from_vec(output.stdout));
    (output.status.success() && is_program(&path)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_mended() {
        let directory = tempfile::tempdir().unwrap();
        install(directory.path()).unwrap();
        let runtime = directory.path().join("lambda_runtime.py");
        fs::write(&runtime, "half").unwrap();
        install(directory.path()).unwrap();
        assert!(fs::read_to_string(&runtime).unwrap().contains("def main()"));
    }

    #[test]
    fn other_runtimes_are_refused() {
        for runtime in ["nodejs12.x", "java8", "executable", "provided"] {
            let error = interpreter(None, Some(runtime)).unwrap_err();
            assert!(error.to_string().contains(runtime), "{error}");
        }
        let said = Path::new("/opt/python");
        for runtime in ["python3.7", "python2.7"] {
            assert_eq!(interpreter(Some(said), Some(runtime)).unwrap(), said);
        }
    }
}
