use serde_json::Value;

use super::{command, program};

const DETECTOR: &str = "testdata/models/fastestdet";
const BARE: &str = "testdata/models/mobilenet-v1-onnx/model.onnx";

fn report(arguments: &[&str], variables: &[(&str, &str)]) -> (Value, i32) {
    let mut command = command(&[&["doctor", "--format", "json"], arguments].concat());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = program::text(&output.stdout);
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (value, output.status.code().unwrap())
}

fn findings(report: &Value) -> &Vec<Value> {
    report["findings"].as_array().unwrap()
}

/// One finding by its area and name.
#[track_caller]
fn finding<'a>(report: &'a Value, area: &str, name: &str) -> &'a Value {
    let found = findings(report).iter().find(|f| f["area"] == area && f["name"] == name);
    found.unwrap_or_else(|| panic!("no {area}, {name} in {report:#}"))
}

#[test]
fn every_finding_has_a_state_a_value_and_what_to_do() {
    let (report, code) = report(&[DETECTOR], &[]);
    assert_eq!(code, i32::from(report["state"] == "problem"), "{report:#}");
    for finding in findings(&report) {
        let state = finding["state"].as_str().unwrap();
        assert!(["ok", "note", "warning", "problem"].contains(&state), "{finding}");
        assert!(!finding["value"].as_str().unwrap().is_empty(), "{finding}");
        assert_eq!(state == "ok", finding["hint"].is_null(), "{finding}");
    }
    // A Raspberry Pi has one more: its power supply.
    let names: Vec<String> = findings(&report)
        .iter()
        .filter(|finding| finding["name"] != "power")
        .map(|f| format!("{}: {}", f["area"].as_str().unwrap(), f["name"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!("doctor_findings", names.join("\n"));
}

#[test]
fn the_table_lines_up_and_is_coloured_only_when_wanted() {
    let run = |variables: &[(&str, &str)]| {
        let output = command(&["doctor"]).envs(variables.iter().copied()).output().unwrap();
        program::text(&output.stdout)
    };
    let table = run(&[]);
    assert!(!table.contains('\u{1b}'), "{table}");
    let rows = table.lines().filter(|line| {
        ["  ok ", "  note ", "  warning ", "  problem "].iter().any(|state| line.starts_with(state))
    });
    let columns = |row: &str| (row.as_bytes()[10] != b' ', row.find("  ").unwrap());
    let seen: Vec<_> = rows.map(columns).collect();
    assert!(seen.len() > 15 && seen.iter().all(|&found| found == (false, 0) || found == (true, 0)));
    let hints = table.lines().filter(|line| line.trim_start().starts_with("Hint: "));
    let indents: Vec<_> = hints.map(|line| line.len() - line.trim_start().len()).collect();
    assert!(indents.windows(2).all(|pair| pair[0] == pair[1]), "{table}");

    assert!(run(&[("CLICOLOR_FORCE", "1")]).contains("\u{1b}[32mok"));
    assert!(!run(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
}

#[test]
fn a_model_is_loaded_and_its_golden_cases_replayed() {
    let (good, _) = report(&[DETECTOR], &[]);
    assert_eq!(finding(&good, "model", "loads")["data"]["name"], "fastestdet");
    assert_eq!(finding(&good, "model", "golden cases")["value"], "1 of 1 hold");

    let (bare, _) = report(&[BARE], &[]);
    let settings = finding(&bare, "model", "settings");
    assert_eq!(settings["state"], "warning");
    assert_eq!(
        settings["value"],
        "takes raw tensors only: nobody says input.color, input.mean, input.std"
    );

    let (bad, code) = report(&["testdata/images/face.jpg"], &[]);
    assert_eq!((&bad["state"], code), (&"problem".into(), 1));
    assert_eq!(finding(&bad, "model", "loads")["state"], "problem");
}

#[test]
fn what_the_user_names_must_be_there() {
    let (named, code) = report(&[], &[("SEDGE_ONNXRUNTIME", "/no/such/libonnxruntime.so")]);
    let library = finding(&named, "engines", "onnxruntime");
    assert_eq!((&library["state"], code), (&"problem".into(), 1));
    assert!(library["value"].as_str().unwrap().contains("/no/such/libonnxruntime.so"));

    let (root, code) = report(&["--root", "/proc/sedge"], &[]);
    assert_eq!((&finding(&root, "storage", "data")["state"], code), (&"problem".into(), 1));

    let (config, code) = report(&["--config", "no/such.toml"], &[]);
    assert_eq!((&finding(&config, "configuration", "file")["state"], code), (&"problem".into(), 1));
}

#[test]
fn the_models_of_a_configuration_are_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sedge.toml");
    let model = program::root().join("testdata/models/vww96");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[[service]]\nname = \"people\"\nmodel = {model:?}\n\
         [[service]]\nname = \"lost\"\nmodel = \"lost.tflite\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let (report, code) = report(&["--config", path.to_str().unwrap()], &[]);
    assert_eq!(code, 1);
    assert_eq!(finding(&report, "network", "listen")["data"]["address"], "127.0.0.1:0");
    assert_eq!(finding(&report, "configuration", "people: loads")["state"], "ok");
    assert_eq!(finding(&report, "configuration", "lost")["state"], "problem");
}
