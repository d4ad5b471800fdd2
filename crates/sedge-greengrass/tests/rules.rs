//! Every rule of the definitions: a group that is right, changed in one place, and the one thing
//! that is told of it. `rules.jsonl` has a line for each rule, or for each way to break it.
#![allow(clippy::unwrap_used)]

use sedge_greengrass::group::{Options, Problem, read_texts};
use serde_json::{Map, Value, json};

const RULES: &str = include_str!("rules.jsonl");
const CLASSIFICATION: &str = include_str!("../../../testdata/greengrass/classification.json");
const DETECTION: &str = include_str!("../../../testdata/greengrass/detection.json");
const FUNCTIONS: &str =
    include_str!("../../../testdata/greengrass/neo/function-definition-version.json");
const RESOURCES: &str =
    include_str!("../../../testdata/greengrass/neo/resource-definition-version.json");

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The group that a rule is tried on.
fn base(name: &str) -> Value {
    match name {
        "classification" => parsed(CLASSIFICATION),
        "detection" => parsed(DETECTION),
        "neo" => {
            json!({"FunctionDefinition": parsed(FUNCTIONS), "ResourceDefinition": parsed(RESOURCES)})
        }
        "neo/resource-definition-version" => parsed(RESOURCES),
        "metrics" => json!({"Connectors": [{
            "Id": "m",
            "ConnectorArn": "arn:aws:greengrass:eu-west-1::/connectors/CloudWatchMetrics/versions/4",
            "Parameters": {
                "PublishInterval": "600", "PublishRegion": "eu-west-1", "MemorySize": "16",
                "MaxMetricsToRetain": "2500", "IsolationMode": "GreengrassContainer",
            },
        }]}),
        other => panic!("no {other}"),
    }
}

/// Sets what a JSON pointer names; null takes it out. `-` adds to a list and `+` several; what
/// follows a `#` is a pointer into the JSON that a text holds.
fn set(document: &mut Value, pointer: &str, value: Value) {
    if let Some((outer, inner)) = pointer.split_once('#') {
        let text = document.pointer_mut(outer).unwrap();
        let mut held = parsed(text.as_str().unwrap());
        set(&mut held, inner, value);
        *text = held.to_string().into();
        return;
    }
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) if key == "+" => items.extend(value.as_array().unwrap().clone()),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Value::Object(map) if value.is_null() => {
            map.remove(key).unwrap_or_else(|| panic!("no {pointer}"));
        }
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        _ => panic!("{pointer} is in nothing"),
    }
}

fn problems(document: &Value) -> Vec<Problem> {
    let options = Options { architecture: "x86_64", ..Options::default() };
    read_texts(&[("group.json".into(), document.to_string())], &options).report.problems
}

/// What is wrong with how a rule is told; nothing when it is as its line says.
fn mismatch(line: &str) -> Option<String> {
    let rule: Map<String, Value> = serde_json::from_str(line).unwrap();
    let word = |key: &str| rule.get(key).map(|value| value.as_str().unwrap());
    let mut document = base(word("base").unwrap());
    let before = problems(&document);
    for (pointer, value) in rule["set"].as_object().unwrap() {
        set(&mut document, pointer, value.clone());
    }
    let all = problems(&document);
    let new: Vec<&Problem> = all.iter().filter(|problem| !before.contains(problem)).collect();
    let [problem] = new.as_slice() else { return Some(format!("{line}\n  tells {new:#?}")) };
    let severity = format!("{:?}", problem.severity).to_lowercase();
    let right = word(&severity) == Some(problem.path.as_str())
        && problem.rule.contains(word("rule").unwrap())
        && problem.hint.contains(word("hint").unwrap())
        && !problem.hint.is_empty();
    (!right).then(|| format!("{line}\n  tells {severity} {problem}"))
}

#[test]
fn every_rule_is_told_with_path_and_hint() {
    let wrong: Vec<String> = RULES.lines().filter_map(mismatch).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        RULES.lines().count(),
        wrong.join("\n")
    );
    assert!(RULES.lines().count() > 150);
}

#[test]
fn what_rules_are_tried_on_is_right() {
    for name in ["classification", "neo", "metrics"] {
        let errors: Vec<String> = problems(&base(name))
            .iter()
            .filter(|problem| problem.severity == sedge_greengrass::group::Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}
