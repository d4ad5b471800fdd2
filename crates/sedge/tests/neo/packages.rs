//! The ten packages against what the runtime of their time answered.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::program::{self, text};
use crate::runtime::library;

/// Relative and absolute difference that is allowed: the same code on the same kind of processor.
const TOLERANCE: &str = "tolerance = { relative = 1e-6, absolute = 1e-6 }\n";

fn testdata(name: &str) -> PathBuf {
    program::root().join("testdata/neo").join(name)
}

/// Runs the program with a library for the runtime.
fn with(library: &Path, arguments: &[&str]) -> Output {
    program::command(arguments).env("SEDGE_DLR", library).output().unwrap()
}

/// Cases of a package by name, with the suffix of the expected answers.
fn cases(package: &str, suffix: &str) -> Vec<String> {
    let files = std::fs::read_dir(testdata("golden")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let case = |name: String| {
        let rest = name.strip_prefix(package)?.strip_prefix('.')?;
        rest.strip_suffix(suffix).map(str::to_owned)
    };
    let mut cases: Vec<String> = names.filter_map(case).collect();
    cases.sort();
    cases
}

/// A copy of a package with golden cases and these lines besides.
fn with_cases(package: &str, suffix: &str, to: &Path) -> (PathBuf, usize) {
    let copy = to.join(package);
    let cp = Command::new("cp").arg("-r").arg(testdata(package)).arg(&copy).status().unwrap();
    assert!(cp.success());
    let mut manifest =
        "schema = 1\n[model]\ntask = \"tensor\"\n[decoder]\nkind = \"tensor\"\n".to_owned();
    std::fs::create_dir(copy.join("golden")).unwrap();
    let cases = cases(package, suffix);
    for case in &cases {
        for end in [".in.npz", suffix] {
            let from = testdata("golden").join(format!("{package}.{case}{end}"));
            std::fs::copy(from, copy.join(format!("golden/{case}{end}"))).unwrap();
        }
        manifest.push_str(&format!(
            "[[golden]]\ntensors = \"golden/{case}.in.npz\"\nexpected = \"golden/{case}{suffix}\"\n{TOLERANCE}"
        ));
    }
    std::fs::write(copy.join("model.toml"), manifest).unwrap();
    (copy, cases.len())
}

#[track_caller]
fn validate(library: &Path, package: &str, suffix: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (copy, count) = with_cases(package, suffix, directory.path());
    assert!(count > 0, "{package} has no cases");
    let output = with(library, &["model", "validate", copy.to_str().unwrap(), "--format", "json"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{package}: {said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["engine"], "dlr", "{package}");
    assert_eq!(report["cases"].as_array().unwrap().len(), count, "{package}: {said}");
}

const ALL: [&str; 10] = [
    "dynamic_batch",
    "mobilenet",
    "mobilenet_quant",
    "resnet8",
    "resnet8_avx2",
    "resnet8_dynamic",
    "ssd",
    "three_inputs",
    "xgboost_binary",
    "xgboost_multiclass",
];

/// Whether this processor runs what was compiled for it.
fn runs(package: &str) -> bool {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let runs = package != "resnet8_avx2" || (has("avx2") && has("fma"));
    if !runs {
        println!("skipped: {package}: this processor lacks AVX2");
    }
    runs
}

#[test]
fn all_packages_give_their_references() {
    let Some(library) = library("1.6.0") else { return };
    for package in ALL.into_iter().filter(|package| runs(package)) {
        validate(&library, package, ".out.npz");
    }
}

#[test]
fn an_older_runtime_runs_what_it_can_read() {
    let Some(library) = library("1.3.0") else { return };
    for package in ["three_inputs", "mobilenet", "resnet8", "ssd"] {
        validate(&library, package, ".out.npz");
    }
    // It takes zeros for numbers, as the trees were trained; 1.6.0 does not.
    for package in ["xgboost_binary", "xgboost_multiclass"] {
        validate(&library, package, ".out-1.3.0.npz");
    }
    let output = with(&library, &["bench", "testdata/neo/dynamic_batch", "--rounds", "1"]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("Invalid VM file format"), "{said}");
}

#[test]
fn a_wrong_answer_is_found_by_golden_cases() {
    let Some(library) = library("1.6.0") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (copy, _) = with_cases("resnet8", ".out.npz", directory.path());
    // Another package's code with this one's cases: trained alike, compiled otherwise.
    std::fs::copy(
        testdata("golden/resnet8_dynamic.batch_1.out.npz"),
        copy.join("golden/bird.out.npz"),
    )
    .unwrap();
    let output = with(&library, &["model", "validate", copy.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}

fn infer(library: &Path, arguments: &[&str]) -> Value {
    let output = with(library, &[&["infer"], arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    let predictions: Value = serde_json::from_slice(&output.stdout).unwrap();
    predictions[0].clone()
}

#[test]
fn a_detector_of_gluoncv_takes_pictures_without_being_told_how() {
    let Some(library) = library("1.6.0") else { return };
    let arguments = ["testdata/neo/ssd", "testdata/images/shapes/scene_0.png", "-t", "0.4"];
    let prediction = infer(&library, &arguments);
    let objects = prediction["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 2, "{prediction}");
    // References of libdlr 1.6.0, of scene 0.
    for (object, (class, score, left)) in
        objects.iter().zip([(1, 0.972_026_35, 86.454_056), (3, 0.440_366_5, 68.932_915)])
    {
        let near =
            |value: &Value, wanted: f64, by: f64| (value.as_f64().unwrap() - wanted).abs() < by;
        assert_eq!(object["index"].as_i64(), Some(class), "{object}");
        assert!(near(&object["score"], score, 1e-5), "{object}");
        let corner = object["box"].as_array().map_or(&object["box"]["xmin"], |sides| &sides[0]);
        assert!(near(corner, left, 1e-3), "{object}");
    }
}

#[test]
fn a_classifier_takes_pictures_when_it_is_told_how() {
    let Some(library) = library("1.6.0") else { return };
    let picture = "testdata/images/chelsea.png";
    let flags =
        ["--color", "rgb", "--mean", "127.5", "--std", "127.5", "--filter", "pillow-bilinear"];
    let arguments = [&["testdata/neo/mobilenet", picture][..], &flags].concat();
    let prediction = infer(&library, &arguments);
    assert_eq!(prediction["classes"][0]["index"], 286, "{prediction}");
    // Without them it says what is missing, before anything is loaded.
    program::says(&["infer", "testdata/neo/mobilenet", picture], 1, &["--mean", "--color"]);
}
