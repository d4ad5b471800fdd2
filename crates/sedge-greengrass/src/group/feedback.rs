//! The feedback connector's parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Parameters;
use super::node::Node;
use super::pattern::{FEEDBACK_BUCKET, NAME, REQUEST_LIMIT};

/// How samples are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Random,
    /// With a threshold that is a part of 1.
    Share,
    Entropy,
}

const STRATEGIES: [(&str, Strategy); 4] = [
    ("RANDOM_SAMPLING", Strategy::Random),
    ("LEAST_CONFIDENCE", Strategy::Share),
    ("MARGIN", Strategy::Share),
    ("ENTROPY", Strategy::Entropy),
];

/// Checks the parameters and keeps them as texts.
pub(super) fn read(node: &Node<'_>) -> Option<Parameters> {
    if !node.is_object() {
        return None;
    }
    node.knows(&["FeedbackConfigurationMap", "RequestLimit"]);
    let mut kept = BTreeMap::new();
    if let Some(node) = node.get("RequestLimit") {
        let text = node.loose_text()?;
        if !(REQUEST_LIMIT.fits)(&text) {
            let rule = format!("it must match {}", REQUEST_LIMIT.text);
            node.error(rule, "write \"10\" or the like, or \"\" for no limit");
        } else if super::node::digits(&text) == Some(0) {
            node.warn("nobody says what 0 means", "write \"\" for no limit; so it is read");
        }
        kept.insert("RequestLimit".to_owned(), text);
    }
    let example = r#""{\"my-config\": {\"s3-bucket-name\": ..., \"content-type\": ...}}""#;
    let Some(map) = node.required("FeedbackConfigurationMap", example) else {
        return Some(Parameters::Feedback(kept));
    };
    let text = match map.value {
        Value::String(text) => text.clone(),
        Value::Object(_) => {
            map.warn("it should be a text of JSON", "put it in quotes; it is read as it is");
            map.value.to_string()
        }
        _ => {
            map.error("it must be a text of JSON", format!("write {example}"));
            return Some(Parameters::Feedback(kept));
        }
    };
    configurations(&map, &text);
    kept.insert("FeedbackConfigurationMap".to_owned(), text);
    Some(Parameters::Feedback(kept))
}

/// The ids in the map's text; nothing where it is no map, which was told.
pub(super) fn ids(parameters: &BTreeMap<String, String>) -> Option<BTreeSet<String>> {
    let text = parameters.get("FeedbackConfigurationMap")?;
    let value: Value = serde_json::from_str(text).ok()?;
    Some(value.as_object()?.keys().cloned().collect())
}

fn configurations(map: &Node<'_>, text: &str) {
    let value: Value = match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => return map.error("it must hold an object", "write {\"my-config\": {...}}"),
        Err(error) => {
            return map.error(format!("it is no JSON: {error}"), "check it with `jq .`");
        }
    };
    // From here on the value is that of the text, at the same place.
    let inner = map.with(&value);
    let entries = inner.entries();
    if entries.is_empty() {
        map.error("it must have at least one configuration", "write {\"my-config\": {...}}");
    }
    for id in repeated(text) {
        map.error(format!("the id '{id}' is there twice"), "give each configuration its own id");
    }
    for (id, node) in entries {
        if !(NAME.fits)(id) {
            let rule = format!("the id of a configuration must match {}", NAME.text);
            node.error(rule, "use letters, digits and hyphens");
        }
        configuration(&node);
    }
}

fn configuration(node: &Node<'_>) {
    if !node.is_object() {
        return;
    }
    node.knows(&["s3-bucket-name", "content-type", "s3-prefix", "file-ext", "sampling-strategy"]);
    if let Some(bucket) = node.required("s3-bucket-name", "\"my-bucket\"")
        && bucket.text().is_some_and(|text| !(FEEDBACK_BUCKET.fits)(text))
    {
        let rule = format!("it must match {}", FEEDBACK_BUCKET.text);
        bucket.error(rule, "write the bucket's name, without s3:// and path");
    }
    if let Some(kind) = node.required("content-type", "\"image/jpeg\"") {
        match kind.text() {
            Some("") => kind.error("it must not be empty", "write \"image/jpeg\" or the like"),
            Some(text) if text.contains(',') => {
                kind.warn("it should be one type", "one configuration for each type; it is kept");
            }
            _ => {}
        }
    }
    if let Some(prefix) = node.get("s3-prefix") {
        prefix.text();
    }
    if let Some(extension) = node.get("file-ext") {
        match extension.text() {
            Some(text) if text.starts_with('.') => {
                extension.warn("it should have no dot", "take the dot out");
            }
            Some(text) if text.contains(',') => extension.warn(
                "it should be one extension",
                "the one that fits the sample is taken; write one, or leave it out",
            ),
            _ => {}
        }
    }
    let Some(strategy) = node.get("sampling-strategy") else { return };
    match strategy.value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(value) => sampling(&strategy.with(&value)),
            Err(error) => {
                strategy.error(format!("it is no JSON: {error}"), "write it as an object");
            }
        },
        _ => sampling(&strategy),
    }
}

fn sampling(node: &Node<'_>) {
    if !node.is_object() {
        return;
    }
    node.knows(&["strategy-name", "rate", "threshold"]);
    let name = node.required("strategy-name", "\"RANDOM_SAMPLING\"");
    let Some(strategy) = name.and_then(|name| name.choice(&STRATEGIES)) else { return };
    let (key, most, rule) = match strategy {
        Strategy::Random => ("rate", 1.0, "it must be a number from 0.0 to 1.0"),
        Strategy::Share => ("threshold", 1.0, "it must be a number from 0.0 to 1.0"),
        Strategy::Entropy => ("threshold", f64::MAX, "it must be a number of at least 0.0"),
    };
    if let Some(node) = node.required(key, "0.5")
        && !node.value.as_f64().is_some_and(|number| (0.0..=most).contains(&number))
    {
        node.error(rule, "write 0.5 or the like, without quotes");
    }
}

/// The keys of a JSON object that are there more than once, which a map no longer shows.
fn repeated(text: &str) -> Vec<String> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let (mut seen, mut repeated) = (BTreeSet::new(), Vec::new());
            while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                if !seen.insert(key.clone()) {
                    repeated.push(key);
                }
            }
            Ok(repeated)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(Keys).unwrap_or_default()
}
