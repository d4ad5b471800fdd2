//! A disk that is too small: a real one, which only root can make.

use std::process::{Command, Output};

/// Where the test on the small disk finds it.
pub(crate) const ROOT: &str = "FULL_ROOT";

/// Runs the ignored test `small` of this program in a mount namespace of its own, with a disk of so
/// many MiB.
pub(crate) fn run_on(mib: u32) {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let script = format!(
        r#"mount -t tmpfs -o size={mib}m sedge "$1" && exec "$0" --exact small --ignored --nocapture"#
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(&root)
        .env(ROOT, &root)
        .output();
    let shown = |output: &Output| {
        let (out, error) = (&output.stdout, &output.stderr);
        format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
    };
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) if shown(&output).contains("running 1 test") => panic!("{}", shown(&output)),
        other => {
            let reason = format!("no disk of {mib} MiB can be mounted here; that takes root");
            let detail = other.map_or_else(|error| error.to_string(), |output| shown(&output));
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}: {detail}");
            #[allow(clippy::print_stderr)]
            {
                eprintln!("skipped: {reason}");
            }
        }
    }
}
