//! The command line as its users meet it: the real binary, its output, its exit codes.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the binary from the repository's root, so that paths in messages are the same everywhere.
fn sedge(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedge"));
    command.args(arguments).current_dir(root()).env_remove("SEDGE_LOG").stdin(Stdio::null());
    command
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Everything a person sees of a run.
fn seen(arguments: &[&str]) -> String {
    let output = sedge(arguments);
    format!(
        "$ sedge {}\n{}--- stderr\n{}--- exit code {}\n",
        arguments.join(" "),
        text(&output.stdout),
        text(&output.stderr),
        output.status.code().unwrap()
    )
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)))
}

const CLASSIFIER: &str = "testdata/models/mobilenet-v2";
const DETECTOR: &str = "testdata/models/face-mask";
const BARE: &str = "testdata/models/mobilenet-v1-onnx/model.onnx";
const CAT: &str = "testdata/images/cat_720p.jpg";
const FACES: &str = "testdata/images/face.jpg";

#[test]
fn tables_are_for_people() {
    insta::assert_snapshot!("classes", seen(&["infer", CLASSIFIER, CAT, "--format", "table"]));
    insta::assert_snapshot!("objects", seen(&["infer", DETECTOR, FACES, "--format", "table"]));
    insta::assert_snapshot!(
        "nothing",
        seen(&["infer", DETECTOR, "testdata/images/coffee.png", "--format", "table"])
    );
}

#[test]
fn what_was_done_is_explained() {
    let picture = "testdata/images/chelsea_exif6.jpg";
    insta::assert_snapshot!(seen(&["infer", DETECTOR, picture, "--format", "table", "--explain"]));
}

#[test]
fn what_nobody_says_is_asked_for() {
    insta::assert_snapshot!("bare", seen(&["infer", BARE, CAT]));
    // With the flags it works.
    let flags = ["--color", "rgb", "--mean", "127.5", "--std", "127.5", "--format", "json"];
    let output = sedge(&[&["infer", BARE, CAT][..], &flags[..]].concat());
    assert_eq!(json(&output)[0]["classes"][0]["index"], 286);
}

#[test]
fn one_bad_picture_does_not_stop_the_rest() {
    let bad = "testdata/images/malformed/truncated_half.jpg";
    let output = sedge(&["infer", CLASSIFIER, CAT, bad, "no/such.jpg", CAT, "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 2);
    let errors = text(&output.stderr);
    assert!(errors.contains(bad) && errors.contains("no/such.jpg"), "{errors}");
}

#[test]
fn pictures_come_from_directories_and_standard_input() {
    let output =
        sedge(&["infer", "testdata/models/vww96", "testdata/images/shapes", "--format", "json"]);
    assert_eq!(json(&output).as_array().unwrap().len(), 7);

    let mut child = command(&["infer", CLASSIFIER, "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(root().join(CAT)).unwrap()).unwrap();
    assert_eq!(json(&child.wait_with_output().unwrap())[0]["image"], "-");
}

#[test]
fn selections_and_overrides_reach_the_model() {
    let top = |arguments: &[&str]| {
        let output =
            sedge(&[&["infer", CLASSIFIER, CAT, "--format", "json"][..], arguments].concat());
        json(&output)[0]["classes"].as_array().unwrap().clone()
    };
    assert_eq!(top(&[]).len(), 5);
    assert_eq!(top(&["--top-k", "2"]).len(), 2);
    assert_eq!(top(&["--threshold", "0.5"]).len(), 1);
    assert_eq!(top(&["--label-offset", "1"])[0]["label"], "Siamese cat, Siamese");
    assert!(top(&["--color", "bgr"])[0]["score"].as_f64() < Some(0.7));
    // Another decoder drops the parameters of the first.
    let tensor = sedge(&["infer", CLASSIFIER, CAT, "--decoder", "tensor", "--format", "json"]);
    assert_eq!(json(&tensor)[0]["outputs"][0]["shape"], serde_json::json!([1, 1001]));
}

#[test]
fn mistakes_name_the_key_and_what_to_do() {
    for (arguments, code, words) in [
        (vec!["infer", CLASSIFIER], 2, vec!["IMAGE", "Usage"]),
        (vec!["infer", "no/model", CAT], 1, vec!["no/model"]),
        (vec!["infer", CAT, CAT], 1, vec!["TensorFlow Lite", "ONNX"]),
        (vec!["infer", CLASSIFIER, CAT, "--color", "cmyk"], 2, vec!["cmyk", "bgr"]),
        (vec!["infer", CLASSIFIER, CAT, "--set", "input.colour=bgr"], 1, vec!["input.color"]),
        (vec!["infer", CLASSIFIER, CAT, "--width", "100"], 1, vec!["input.0.width", "224"]),
        (vec!["infer", CLASSIFIER, CAT, "--engine", "warp"], 2, vec!["warp", "onnxruntime"]),
        (vec!["infer", "testdata/models", CAT], 1, vec!["several packages", "Hint"]),
        (vec!["infer", CLASSIFIER, "testdata/licences"], 1, vec!["no .jpg", "Hint"]),
    ] {
        let output = sedge(&arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        for word in words {
            assert!(error.contains(word), "{arguments:?}: {error}");
        }
    }
}

#[test]
fn drawings_have_the_size_of_the_upright_picture() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().to_str().unwrap();
    let output =
        sedge(&["infer", DETECTOR, FACES, "testdata/images/chelsea_exif6.jpg", "--draw", to]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (name, size) in [("face.png", (512, 355)), ("chelsea_exif6.png", (451, 300))] {
        let png = std::fs::read(directory.path().join(name)).unwrap();
        let at = |i: usize| u32::from_be_bytes(png[i..i + 4].try_into().unwrap());
        assert_eq!((at(16), at(20)), size, "{name}");
    }
}

#[test]
fn a_manifest_is_written_filled_in_and_used() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("model.onnx");
    std::fs::copy(root().join(BARE), &model).unwrap();
    let model = model.to_str().unwrap();
    let output = sedge(&["model", "init", model]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("to fill in: input.color, input.mean, input.std"));
    assert_eq!(sedge(&["model", "init", model]).status.code(), Some(1), "it must not overwrite");

    let manifest = directory.path().join("model.toml");
    let written = std::fs::read_to_string(&manifest).unwrap();
    let filled = written
        .replace("# color = \"rgb\"", "color = \"rgb\"")
        .replace("# mean = [0.0]", "mean = [127.5]")
        .replace("# std = [255.0]", "std = [127.5]");
    assert_ne!(written, filled);
    std::fs::write(&manifest, filled).unwrap();
    let package = directory.path().to_str().unwrap();
    assert_eq!(
        json(&sedge(&["infer", package, CAT, "--format", "json"]))[0]["classes"][0]["index"],
        286
    );
}

#[test]
fn a_package_may_be_an_archive() {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("vww.tar.gz");
    let packed = Command::new("tar")
        .args(["-czf", archive.to_str().unwrap(), "-C", "testdata/models", "vww96"])
        .current_dir(root())
        .status();
    assert!(packed.unwrap().success());
    let output = sedge(&["infer", archive.to_str().unwrap(), CAT, "--format", "json"]);
    let unpacked = sedge(&["infer", "testdata/models/vww96", CAT, "--format", "json"]);
    assert_eq!(json(&output)[0]["model"], json(&unpacked)[0]["model"]);
}

#[test]
fn models_are_inspected() {
    let model = "testdata/models/mobilenet-v1-0-25-224/mobilenet_v1_0.25_224_float.tflite";
    insta::assert_snapshot!("inspect", seen(&["model", "inspect", model]));
    let value = json(&sedge(&["model", "inspect", CLASSIFIER, "--format", "json"]));
    assert_eq!(value["inputs"][0]["shape"], serde_json::json!([1, 224, 224, 3]));
    assert_eq!(value["missing"], serde_json::json!([]));
}

#[test]
fn golden_cases_are_replayed() {
    let output = sedge(&["model", "validate", DETECTOR]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let none = sedge(&["model", "validate", "testdata/models/mnist"]);
    assert_eq!(none.status.code(), Some(1));

    // A package whose expectation is another model's does not hold.
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let copied = Command::new("cp").arg("-r").arg(root().join(DETECTOR)).arg(&copy).status();
    assert!(copied.unwrap().success());
    let expected = copy.join("golden/face.json");
    let moved = std::fs::read_to_string(&expected).unwrap().replacen("0.99", "0.89", 1);
    std::fs::write(&expected, moved).unwrap();
    let wrong = sedge(&["model", "validate", copy.to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stdout).contains("0 of 1"), "{}", text(&wrong.stdout));
}
