//! Every way in which a package or its runtime goes wrong is an error of its service alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::program::{self, Server, text};

/// The runtime of `libdlr.c`.
fn double() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // Tests may run in processes of their own, and the others load it while it is made again.
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let draft = tempfile::tempdir_in(place).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/neo/libdlr.c");
        let made = draft.path().join("libdlr.so");
        let flags = ["-shared", "-fPIC", "-w", "-o"];
        let cc = Command::new("cc").args(flags).arg(&made).arg(source).status().unwrap();
        assert!(cc.success(), "cc");
        let library = place.join("libdlr.so");
        std::fs::rename(made, &library).unwrap();
        library
    })
}

/// A package whose path says how it behaves.
fn package(conduct: &str, to: &Path) -> PathBuf {
    let copy = to.join(conduct);
    std::fs::create_dir(&copy).unwrap();
    let library = program::root().join("testdata/neo/xgboost_binary/compiled.so");
    std::fs::copy(library, copy.join("compiled.so")).unwrap();
    copy
}

/// What a service that cannot be started says.
fn refusal(package: &Path) -> String {
    let path = package.to_str().unwrap();
    let serve = ["serve", path, "--listen", "127.0.0.1:0"];
    let output = program::command(&serve).env("SEDGE_DLR", double()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{path}: {}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn what_dies_while_it_is_loaded_is_an_error_of_the_start() {
    let directory = tempfile::tempdir().unwrap();
    for (conduct, words) in [
        ("create-abort", &["SIGABRT", "while it loaded the model"][..]),
        ("create-bus", &["SIGBUS"]),
        ("create-refuse", &["are no model"]),
        ("first-ill", &["SIGILL", "compiled for another processor"]),
        ("two-outputs", &["of 1 inputs and 1 outputs, the runtime of 1 and 2"]),
    ] {
        let said = refusal(&package(conduct, directory.path()));
        for word in words {
            assert!(said.contains(word), "{conduct}: {said}");
        }
        assert!(!said.contains("Stack trace") && !said.contains("dlr.cc"), "{said}");
    }
}

const ROW: &str = r#"{"inputs":[{"name":"data","shape":[1,12],"datatype":"FP32",
    "data":[1,2,3,4,5,6,7,8,9,10,11,12]}]}"#;

#[test]
#[cfg(target_arch = "x86_64")]
fn what_dies_in_a_request_takes_nobody_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let conducts = [
        ("run-segv", "SIGSEGV"),
        ("run-ill", "SIGILL"),
        ("run-exit", "exit code 3"),
        ("run-fail", "another number of rows"),
        ("many-dims", "4000 dimensions"),
        ("vast", "too large"),
        ("odd-type", "complex64"),
    ];
    let paths: Vec<PathBuf> =
        conducts.iter().map(|(conduct, _)| package(conduct, directory.path())).collect();
    let mut arguments: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    arguments.push("testdata/models/vww96");
    let server = Server::start_with(&arguments, &[("SEDGE_DLR", double().to_str().unwrap())]);
    let picture = std::fs::read(program::root().join("testdata/images/face.jpg")).unwrap();
    for (conduct, word) in conducts {
        let answer = server.ask(&format!("POST /v2/models/{conduct}/infer"), ROW.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 5") && answer.contains(word), "{conduct}: {answer}");
        assert!(!answer.contains("Stack trace"), "{answer}");
        let beside = server.ask("POST /endpoints/vww96/invocations", &picture);
        assert!(beside.starts_with("HTTP/1.1 200"), "{conduct}: {beside}");
    }
}

#[test]
fn packages_that_no_runtime_survives_are_refused_before_it_sees_them() {
    let directory = tempfile::tempdir().unwrap();
    let copy = |name: &str, from: &str| {
        let to = directory.path().join(name);
        let from = program::root().join("testdata/neo").join(from);
        assert!(Command::new("cp").arg("-r").arg(from).arg(&to).status().unwrap().success());
        to
    };
    let cut = copy("cut", "three_inputs");
    let library = std::fs::read(cut.join("compiled.so")).unwrap();
    std::fs::write(cut.join("compiled.so"), &library[..library.len() / 4]).unwrap();
    let bare = copy("bare", "three_inputs");
    std::fs::remove_file(bare.join("compiled.params")).unwrap();
    let twice = copy("twice", "three_inputs");
    std::fs::copy(twice.join("compiled.so"), twice.join("model.so")).unwrap();
    let null = copy("null", "dynamic_batch");
    let meta = std::fs::read_to_string(null.join("compiled.meta")).unwrap();
    std::fs::write(null.join("compiled.meta"), meta.replace("\"cpu\"", "null")).unwrap();
    let gpu = copy("gpu", "three_inputs");
    let meta = std::fs::read_to_string(gpu.join("compiled.meta")).unwrap();
    std::fs::write(gpu.join("compiled.meta"), meta.replace("\"cpu\"", "\"gpu\"")).unwrap();
    let arm = copy("arm", "three_inputs");
    let mut code = library.clone();
    code[18] = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    std::fs::write(arm.join("compiled.so"), code).unwrap();
    for (package, word) in [
        (&cut, "compiled.so is cut off"),
        (&bare, "it has no weights"),
        (&twice, "more than one library: compiled.so, model.so"),
        (&null, "Requirements.TargetDeviceType of its metadata is no text"),
        (&gpu, "compiled for a gpu"),
        (&arm, "it was compiled for"),
    ] {
        let said = refusal(package);
        assert!(said.contains(word) && said.contains("Hint: bring the model"), "{word}: {said}");
        program::says(&["model", "inspect", package.to_str().unwrap()], 0, &["runs here", "no: "]);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_missing_runtime_is_told_with_what_brings_it() {
    let directory = tempfile::tempdir().unwrap();
    let serve = ["serve", "testdata/neo/three_inputs", "--listen", "127.0.0.1:0"];
    let mut command = program::command(&serve);
    command.env("SEDGE_ROOT", directory.path()).env_remove("SEDGE_DLR");
    let said = text(&command.output().unwrap().stderr);
    assert!(said.contains("Hint: `sedge runtime install dlr`"), "{said}");
    command.env("SEDGE_DLR", "/nowhere/libdlr.so");
    let said = text(&command.output().unwrap().stderr);
    assert!(said.contains("there is no /nowhere/libdlr.so"), "{said}");
}
