//! The feedback connector's parameters.

use std::collections::BTreeSet;
use std::fmt;

use sedge_feedback::{Configuration, Strategy};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Parameters;
use super::node::Node;
use super::pattern::{FEEDBACK_BUCKET, NAME, REQUEST_LIMIT};

const KEYS: [&str; 5] =
    ["s3-bucket-name", "content-type", "s3-prefix", "file-ext", "sampling-strategy"];

/// How samples are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Random,
    LeastConfidence,
    Margin,
    Entropy,
}

const KINDS: [(&str, Kind); 4] = [
    ("RANDOM_SAMPLING", Kind::Random),
    ("LEAST_CONFIDENCE", Kind::LeastConfidence),
    ("MARGIN", Kind::Margin),
    ("ENTROPY", Kind::Entropy),
];

/// Parameters of the connector that takes samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feedback {
    /// Where samples go and which; by their ids in `FeedbackConfigurationMap`, in its order.
    pub configurations: Vec<Configuration>,
    /// Most requests at a time.
    pub request_limit: Option<usize>,
    /// Ids of all configurations, of those too that cannot be read; none where the map cannot be.
    pub(crate) ids: Option<BTreeSet<String>>,
}

/// Checks the parameters and keeps what is right of them.
pub(super) fn read(node: &Node<'_>) -> Option<Parameters> {
    if !node.is_object() {
        return None;
    }
    node.knows(&["FeedbackConfigurationMap", "RequestLimit"]);
    let mut feedback = Feedback::default();
    if let Some(node) = node.get("RequestLimit") {
        let text = node.loose_text()?;
        let limit = super::node::digits(&text);
        if !(REQUEST_LIMIT.fits)(&text) {
            let rule = format!("it must match {}", REQUEST_LIMIT.text);
            node.error(rule, "write \"10\" or the like, or \"\" for no limit");
        } else if limit == Some(0) {
            node.warn("nobody says what 0 means", "write \"\" for no limit; so it is read");
        }
        feedback.request_limit =
            limit.filter(|limit| *limit > 0).and_then(|limit| limit.try_into().ok());
    }
    let example = r#""{\"my-config\": {\"s3-bucket-name\": ..., \"content-type\": ...}}""#;
    let Some(map) = node.required("FeedbackConfigurationMap", example) else {
        return Some(Parameters::Feedback(feedback));
    };
    match map.value {
        Value::String(text) => configurations(&map, text, &mut feedback),
        Value::Object(_) => {
            map.warn("it should be a text of JSON", "put it in quotes; it is read as it is");
            configurations(&map, &map.value.to_string(), &mut feedback);
        }
        _ => map.error("it must be a text of JSON", format!("write {example}")),
    }
    Some(Parameters::Feedback(feedback))
}

fn configurations(map: &Node<'_>, text: &str, feedback: &mut Feedback) {
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
    feedback.ids = Some(entries.iter().map(|(id, _)| (*id).to_owned()).collect());
    for (id, node) in entries {
        if !(NAME.fits)(id) {
            let rule = format!("the id of a configuration must match {}", NAME.text);
            node.error(rule, "use letters, digits and hyphens");
        }
        feedback.configurations.extend(configuration(id, &node));
    }
}

fn configuration(id: &str, node: &Node<'_>) -> Option<Configuration> {
    if !node.is_object() {
        return None;
    }
    node.knows(&KEYS);
    let bucket = node.required("s3-bucket-name", "\"my-bucket\"");
    if let Some(bucket) = &bucket
        && bucket.text().is_some_and(|text| !(FEEDBACK_BUCKET.fits)(text))
    {
        let rule = format!("it must match {}", FEEDBACK_BUCKET.text);
        bucket.error(rule, "write the bucket's name, without s3:// and path");
    }
    let kind = node.required("content-type", "\"image/jpeg\"");
    if let Some(kind) = &kind {
        match kind.text() {
            Some("") => kind.error("it must not be empty", "write \"image/jpeg\" or the like"),
            Some(text) if text.contains(',') => {
                kind.warn("it should be one type", "one configuration for each type; it is kept");
            }
            _ => {}
        }
    }
    let text = |node: Option<Node<'_>>| Some(node?.text()?.to_owned());
    let prefix = text(node.get("s3-prefix"));
    let extension = node.get("file-ext");
    if let Some(extension) = &extension {
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
    let strategy = match node.get("sampling-strategy") {
        Some(node) => strategy(&node)?,
        None => Strategy::Everything,
    };
    Some(Configuration {
        prefix,
        extension: text(extension),
        strategy,
        ..Configuration::new(id, &text(bucket)?, &text(kind)?)
    })
}

/// It should be an object, and the documentation says a text of JSON.
fn strategy(node: &Node<'_>) -> Option<Strategy> {
    let Value::String(text) = node.value else { return sampling(node) };
    match serde_json::from_str::<Value>(text) {
        Ok(value) => sampling(&node.with(&value)),
        Err(error) => {
            node.error(format!("it is no JSON: {error}"), "write it as an object");
            None
        }
    }
}

fn sampling(node: &Node<'_>) -> Option<Strategy> {
    if !node.is_object() {
        return None;
    }
    node.knows(&["strategy-name", "rate", "threshold"]);
    let kind = node.required("strategy-name", "\"RANDOM_SAMPLING\"")?.choice(&KINDS)?;
    let (key, most, rule) = match kind {
        Kind::Random => ("rate", 1.0, "it must be a number from 0.0 to 1.0"),
        Kind::Entropy => ("threshold", f64::MAX, "it must be a number of at least 0.0"),
        Kind::LeastConfidence | Kind::Margin => {
            ("threshold", 1.0, "it must be a number from 0.0 to 1.0")
        }
    };
    let number = node.required(key, "0.5")?;
    let value = number.value.as_f64().filter(|value| (0.0..=most).contains(value));
    let Some(value) = value else {
        number.error(rule, "write 0.5 or the like, without quotes");
        return None;
    };
    Some(match kind {
        Kind::Random => Strategy::Random { rate: value },
        Kind::LeastConfidence => Strategy::LeastConfidence { threshold: value },
        Kind::Margin => Strategy::Margin { threshold: value },
        Kind::Entropy => Strategy::Entropy { threshold: value },
    })
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
