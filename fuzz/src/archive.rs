//! Archives of packages: unpacked, opened and described.

use sedge_package::Package;

use crate::{Target, model};

/// See the module.
pub const TARGET: Target = Target { name: "archive", max_peak_bytes: model::MAX_PEAK_BYTES, body };

fn body(bytes: &[u8]) {
    let Ok(directory) = tempfile::tempdir() else { return };
    let path = directory.path().join("package.zip");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    match Package::open(&path, &[]) {
        Ok(package) => model::describe(package),
        Err(error) => drop(error.to_string()),
    }
}
