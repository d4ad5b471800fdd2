//! `sedge feedback try`: which pictures a strategy takes, by what the model says of them.

use serde_json::Value;

use super::{command, program};

const MODEL: &str = "testdata/models/mxnet-mobilenet-v1";
const PICTURES: [&str; 2] = ["testdata/images/cat_720p.jpg", "testdata/images/parrot.jpg"];

/// Standard output, standard error and the exit code.
fn tried(model: &str, arguments: &[&str]) -> (String, String, i32) {
    let whole = [&["feedback", "try", model][..], &PICTURES, arguments].concat();
    let output = command(&whole).output().unwrap();
    let code = output.status.code().unwrap();
    (program::text(&output.stdout), program::text(&output.stderr), code)
}

fn taken(model: &str, arguments: &[&str]) -> Vec<bool> {
    let (lines, error, code) = tried(model, &[arguments, &["--format", "jsonl"]].concat());
    assert_eq!((error.as_str(), code), ("", 0));
    let row = |line| serde_json::from_str::<Value>(line).unwrap()["taken"].as_bool().unwrap();
    lines.lines().map(row).collect()
}

#[test]
fn strategies_take_what_they_say() {
    // The cat is an Egyptian cat by 0.472, the parrot a macaw by 0.940.
    let least = ["--strategy", "least-confidence", "--threshold"];
    assert_eq!(taken(MODEL, &[&least[..], &["0.5"]].concat()), [true, false]);
    assert_eq!(taken(MODEL, &[&least[..], &["0.95"]].concat()), [true, true]);
    assert_eq!(taken(MODEL, &["--strategy", "entropy", "--threshold", "1.0"]), [true, false]);
    assert_eq!(taken(MODEL, &["--strategy", "margin", "--threshold", "0.3"]), [true, false]);
    assert_eq!(taken(MODEL, &["--strategy", "random", "--rate", "0"]), [false, false]);
    assert_eq!(taken(MODEL, &["--strategy", "everything"]), [true, true]);
    let classes = ["--strategy", "classes", "--class", "macaw", "--min-score"];
    assert_eq!(taken(MODEL, &[&classes[..], &["0.9"]].concat()), [false, true]);
    let detector = "testdata/models/ssd-mobilenet-v1-coco";
    assert_eq!(taken(detector, &["--strategy", "classes", "--class", "cat"]), [true, false]);
}

#[test]
fn a_section_of_a_configuration_is_tried() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("sedge.toml");
    let section = |name, threshold| {
        format!(
            "[[feedback]]\nname = '{name}'\nbucket = 'samples'\nstrategy = 'least-confidence'\n\
             threshold = {threshold}\n"
        )
    };
    std::fs::write(&file, section("unsure", 0.5) + &section("all", 1.0)).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    assert_eq!(taken(MODEL, &[&config[..], &["--feedback", "unsure"]].concat()), [true, false]);
    assert_eq!(taken(MODEL, &[&config[..], &["--feedback", "all"]].concat()), [true, true]);
    let (_, error, code) = tried(MODEL, &config);
    assert!(code == 1 && error.contains("Hint: --feedback, one of unsure, all"), "{error}");
    let (_, error, code) = tried(MODEL, &["--strategy", "margin"]);
    assert!(code == 1 && error.contains("Hint: --threshold NUMBER"), "{error}");
    let (_, error, code) = tried(MODEL, &["--threshold", "2"]);
    assert!(code == 2 && error.contains("--strategy") && error.contains("--config"), "{error}");
    let both = [&config[..], &["--strategy", "everything"]].concat();
    assert_eq!(tried(MODEL, &both).2, 2);
}
