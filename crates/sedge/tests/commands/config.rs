use std::fs;

use super::{program, seen};

/// What `sedge config check` says of a text, with `FILE` for its name.
fn checked(text: &str, format: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sedge.toml");
    fs::write(&path, text).unwrap();
    let seen = seen(&["config", "check", path.to_str().unwrap(), "--format", format]);
    seen.replace(path.to_str().unwrap(), "FILE").replace(directory.path().to_str().unwrap(), "DIR")
}

const WRONG: &str = "\
listen = \"127.0.0.1:8080\"
lsiten = \"again\"
[store]
keep_versions = 0
[trust]
require_signature = true
[[service]]
modle = \"m\"
isolation = \"container\"
[service.rollback]
max_error_rate = 2
";

const RIGHT: &str = "\
[[service]]
model = \"m.tflite\"
memory_mib = 256
[[service]]
name = \"detector\"
model = \"s3://models/detector.tar.gz\"
start = \"first-use\"
isolation = \"thread\"
";

#[test]
fn configurations_are_checked() {
    let all = [
        checked(WRONG, "table"),
        checked(WRONG, "json"),
        checked(RIGHT, "table"),
        checked(RIGHT, "json"),
        checked("", "table"),
        checked("[[service]]\nmodel = 'm'\n[[service]]\nmodel = 'm'", "table"),
        checked("listen = 'nowhere'", "table"),
        checked("[store", "table"),
        checked("[trust]\nkeys = ['sedge.toml']", "table"),
        seen(&["config", "check", "no/such.toml"]),
        seen(&["config", "check", "packaging/sedge.toml"]),
    ];
    // The directory's name has another length elsewhere.
    insta::with_settings!({filters => vec![(r"(\S) {2,}", "$1  ")]}, {
        insta::assert_snapshot!("config_check", all.join("\n"));
    });
}

#[test]
fn keys_are_explained() {
    let all = [
        seen(&["config", "explain", "service.queue"]),
        seen(&["config", "explain", "credentials"]),
        seen(&["config", "explain", "[store]"]),
        seen(&["config", "explain", "max_mib"]),
        seen(&["config", "explain", "service.model", "--format", "json"]),
        seen(&["config", "explain", "isolatoin"]),
        seen(&["config", "explain", "colour"]),
    ];
    insta::assert_snapshot!("config_explain", all.join("\n"));
    let all = seen(&["config", "explain", "--format", "jsonl"]);
    let page = fs::read_to_string(program::root().join("docs/configuration.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    let explained = all.lines().filter(|line| line.contains("\"default\":\""));
    assert_eq!(explained.count(), rows);
}
