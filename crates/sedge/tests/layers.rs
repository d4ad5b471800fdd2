//! The crates depend on each other as ARCHITECTURE.md says: only downwards in its table, and only
//! on what the row names.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Table;

/// Crates that bring an async runtime or sockets.
const ASYNC: [&str; 5] = ["axum", "hyper", "reqwest", "tokio", "tonic"];
/// The only crates that may use them.
const MAY_BE_ASYNC: [&str; 8] = [
    "sedge",
    "sedge-web",
    "sedge-greengrass",
    "sedge-api",
    "sedge-host",
    "sedge-cloud",
    "sedge-worker",
    "sedge-service",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rows of the crate table in their order: crate, and what it may depend on.
fn documented() -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let names = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    text.lines()
        .filter(|line| line.starts_with("| `sedge"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            let [name, _, may] = cells.as_slice() else { panic!("not three columns: {line}") };
            (names(name).remove(0), names(may))
        })
        .collect()
}

/// What each crate's manifest names, in every table of dependencies.
fn actual() -> BTreeMap<String, Vec<String>> {
    let mut crates = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let Ok(text) = std::fs::read_to_string(entry.unwrap().path().join("Cargo.toml")) else {
            continue;
        };
        let manifest: Table = text.parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let mut found = Vec::new();
        dependencies(&manifest, &mut found);
        crates.insert(name, found);
    }
    crates
}

fn dependencies(table: &Table, found: &mut Vec<String>) {
    for (key, value) in table {
        let Some(inner) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            found.extend(inner.keys().cloned());
        } else if key != "features" {
            dependencies(inner, found);
        }
    }
}

#[test]
fn dependencies_point_downwards() {
    let documented = documented();
    let actual = actual();
    let mut wrong = Vec::new();
    for (at, (name, may)) in documented.iter().enumerate() {
        let below: Vec<&str> = documented[at + 1..].iter().map(|(name, _)| name.as_str()).collect();
        for other in may.iter().filter(|other| !below.contains(&other.as_str())) {
            wrong.push(format!("the table lets {name} depend on {other}, which is not below it"));
        }
        let Some(dependencies) = actual.get(name) else {
            wrong.push(format!("the table has {name}, which is no crate"));
            continue;
        };
        for other in dependencies.iter().filter(|other| other.starts_with("sedge")) {
            if !may.contains(other) {
                wrong.push(format!("{name} depends on {other}, which its row does not name"));
            }
        }
    }
    for name in actual.keys().filter(|name| !documented.iter().any(|(known, _)| known == *name)) {
        wrong.push(format!("{name} has no row in the table"));
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md and the manifests differ:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_edges_are_async() {
    let actual = actual();
    assert!(actual.len() > 5, "only {} crates were found", actual.len());
    for (name, dependencies) in actual {
        let found = dependencies.iter().find(|other| ASYNC.contains(&other.as_str()));
        let allowed = found.is_none() || MAY_BE_ASYNC.contains(&name.as_str());
        assert!(allowed, "{name} depends on {}", found.unwrap());
    }
}
