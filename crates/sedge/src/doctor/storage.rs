//! Where Sedge keeps and unpacks things: whether it may write there, and how much fits.

use std::path::Path;

use serde_json::json;

use super::{Context, Finding, State};
use crate::{root, table};

const AREA: &str = "storage";

/// Archives of models are unpacked into the directory for temporary files.
const TEMPORARY_BYTES: u64 = 256 << 20;
/// A few models fit.
const DATA_BYTES: u64 = 64 << 20;

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let (directory, named) = match &context.root {
        Some(root) => (root.clone(), true),
        None => (root::choose(None, None), false),
    };
    vec![data(&directory, named), temporary(&std::env::temp_dir())]
}

fn data(directory: &Path, named: bool) -> Finding {
    let bad = if named { State::Problem } else { State::Warning };
    let shown = directory.display();
    let Some(existing) = directory.ancestors().find(|path| path.exists()) else {
        let hint = "name a directory that is there with --root";
        return Finding::bad(bad, AREA, "data", format!("{shown}: no such directory"), hint);
    };
    let missing = existing != directory;
    // A relative name has the working directory as its last ancestor, written as nothing.
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    if let Err(error) = writable(existing) {
        let value = format!("{shown}: cannot write: {error}");
        let hint = format!(
            "sudo mkdir -p {shown} && sudo chown $(id -u) {shown}, or name another with --root"
        );
        return Finding::bad(bad, AREA, "data", value, hint)
            .with(json!({"path": directory, "writable": false}));
    }
    let free = free_bytes(existing);
    let mut value = format!("{shown}: writable");
    if missing {
        value = format!("{shown}: not there yet, can be made");
    }
    value.extend(free.map(|bytes| format!(", {} free", table::bytes(bytes))));
    let data = json!({"path": directory, "writable": true, "exists": !missing, "free_bytes": free});
    if free.is_some_and(|bytes| bytes < DATA_BYTES) {
        let hint = "free some space, or name another directory with --root";
        return Finding::bad(State::Warning, AREA, "data", value, hint).with(data);
    }
    Finding::ok(AREA, "data", value).with(data)
}

fn temporary(directory: &Path) -> Finding {
    const NAME: &str = "temporary files";
    let shown = directory.display();
    if let Err(error) = writable(directory) {
        let value = format!("{shown}: cannot write: {error}");
        let hint = "packages that are archives are unpacked there: name a directory that can be \
                    written with TMPDIR=";
        return Finding::bad(State::Warning, AREA, NAME, value, hint);
    }
    let free = free_bytes(directory);
    let mut value = shown.to_string();
    value.extend(free.map(|bytes| format!(": {} free", table::bytes(bytes))));
    let data = json!({"path": directory, "free_bytes": free});
    if free.is_some_and(|bytes| bytes < TEMPORARY_BYTES) {
        let hint = "packages that are archives are unpacked there: free some space, or name a \
                    larger directory with TMPDIR=";
        return Finding::bad(State::Warning, AREA, NAME, value, hint).with(data);
    }
    Finding::ok(AREA, NAME, value).with(data)
}

/// Tries it, with a file that has no name or is removed at once: permissions alone do not tell
/// about read-only mounts, quotas and security modules.
fn writable(directory: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(directory).map(drop)
}

fn free_bytes(directory: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(directory).ok()?;
    space.f_bavail.checked_mul(space.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_tried_where_it_is_or_would_be() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(data(directory.path(), true).state, State::Ok);
        let below = data(&directory.path().join("a/b"), true);
        assert_eq!(below.state, State::Ok);
        assert!(below.value.contains("not there yet, can be made"), "{below:?}");
        // Not even root writes into /proc.
        for (named, state) in [(true, State::Problem), (false, State::Warning)] {
            let found = data(Path::new("/proc/sedge"), named);
            assert_eq!(found.state, state);
            assert!(found.hint.unwrap().contains("--root"));
        }
        assert_eq!(temporary(Path::new("/proc")).state, State::Warning);
        assert_eq!(temporary(directory.path()).state, State::Ok);
    }
}
