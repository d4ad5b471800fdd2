//! The runtime: fetched by the program itself, once for all tests.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::program;

/// The library of a version; `None`, with the reason printed, where this machine cannot have it.
pub(crate) fn library(version: &str) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("neo");
    let library = root.join("runtime/dlr").join(version).join("libdlr.so");
    if library.is_file() {
        return Some(library);
    }
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: DLR and the packages of the test data are for x86_64");
        return None;
    }
    let root = root.to_str().unwrap();
    let install = ["runtime", "install", "dlr", "--version", version, "--root", root];
    let output = program::sedge(&install);
    let said = program::text(&output.stderr);
    if output.status.success() {
        assert!(program::text(&output.stdout).contains(&format!("installed dlr {version}")));
        program::says(&["runtime", "list", "--root", root], 0, &["dlr", version, "libdlr.so"]);
        return Some(library);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "dlr {version} has to be there: {said}");
    println!("skipped: dlr {version} could not be fetched: {said}");
    None
}

#[test]
fn what_is_no_runtime_is_not_installed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let text = directory.path().join("libdlr.so");
    std::fs::write(&text, "no library").unwrap();
    let cases = [
        (text.to_str().unwrap(), &["libdlr.so"][..]),
        ("/lib/x86_64-linux-gnu/libm.so.6", &["is not DLR: it has no"]),
        ("/nowhere/libdlr.so", &["there is no file /nowhere/libdlr.so"]),
        ("testdata/tflite_tables.zip", &["holds no libdlr.so"]),
    ];
    for (path, words) in cases {
        let is_here = path.starts_with("/nowhere") || program::root().join(path).exists();
        if is_here {
            let root = root.to_str().unwrap();
            program::says(&["runtime", "install", "dlr", path, "--root", root], 1, words);
        }
    }
    assert!(!root.join("runtime").exists(), "nothing is left behind");
}
