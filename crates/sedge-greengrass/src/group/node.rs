//! A value of a definition together with its place, so that whatever is wrong can be told.

use sedge_package::nearest_key;
use serde_json::Value;

use super::report::{Problem, Recorder, Severity, shown};

/// A value, where it stands, and where problems are told.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) file: &'a str,
    pub(crate) path: String,
    pub(crate) value: &'a Value,
    recorder: &'a Recorder,
}

impl<'a> Node<'a> {
    pub(crate) fn new(
        file: &'a str,
        path: impl Into<String>,
        value: &'a Value,
        recorder: &'a Recorder,
    ) -> Self {
        Self { file, path: path.into(), value, recorder }
    }

    /// Another value at the same place: what its text holds.
    pub(crate) fn with<'b>(&self, value: &'b Value) -> Node<'b>
    where
        'a: 'b,
    {
        Node { file: self.file, path: self.path.clone(), value, recorder: self.recorder }
    }

    /// What stands under a key; null is nothing.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'a>> {
        let node = self.below(key);
        (!node.value.is_null()).then_some(node)
    }

    /// What stands under a key; null where nothing does.
    pub(crate) fn below(&self, key: &str) -> Node<'a> {
        const NOTHING: &Value = &Value::Null;
        let path = join(&self.path, key);
        let value = self.value.get(key).unwrap_or(NOTHING);
        Node { file: self.file, path, value, recorder: self.recorder }
    }

    /// What stands under a key that must be there.
    pub(crate) fn required(&self, key: &str, example: &str) -> Option<Node<'a>> {
        let node = self.get(key);
        if node.is_none() {
            self.below(key).error("it is missing", format!("add \"{key}\": {example}"));
        }
        node
    }

    /// The parts of a list.
    pub(crate) fn items(&self) -> Vec<Node<'a>> {
        let Value::Array(items) = self.value else {
            self.error("it must be a list", "put it in [ and ]");
            return Vec::new();
        };
        let item = |(index, value)| Node {
            file: self.file,
            path: format!("{}[{index}]", self.path),
            value,
            recorder: self.recorder,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The entries of an object.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Node<'a>)> {
        let Value::Object(map) = self.value else {
            self.error("it must be an object", "put it in { and }");
            return Vec::new();
        };
        map.keys().map(|key| (key.as_str(), self.below(key))).collect()
    }

    /// Whether it is an object, which is told when it is not.
    pub(crate) fn is_object(&self) -> bool {
        if !self.value.is_object() {
            self.error("it must be an object", "put it in { and }");
        }
        self.value.is_object()
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        if !self.value.is_string() {
            self.error("it must be a text", "put it in quotes");
        }
        self.value.as_str()
    }

    /// A text, as which templates in use have bare numbers and truth values, too.
    pub(crate) fn loose_text(&self) -> Option<String> {
        match self.value {
            Value::Number(_) | Value::Bool(_) => {
                self.warn("it should be a text", "put it in quotes; it is read as if it were");
                Some(self.value.to_string())
            }
            _ => self.text().map(str::to_owned),
        }
    }

    /// A whole number between two, which CloudFormation writes as a text.
    pub(crate) fn whole(&self, least: u64, most: u64) -> Option<u64> {
        let number = match self.value {
            Value::String(text) => digits(text),
            value => value.as_u64(),
        };
        let fits = number.filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let rule = format!("it must be a whole number from {least} to {most}");
            self.error(rule, "write the number without a unit");
        }
        fits
    }

    /// True or false, which CloudFormation writes as a text.
    pub(crate) fn truth(&self) -> Option<bool> {
        let truth = match self.value {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        if truth.is_none() {
            self.error("it must be true or false", "write true or false");
        }
        truth
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = match nearest_key(text, all.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write \"{}\"", all.first().unwrap_or(&"")),
            };
            self.error(format!("it must be one of {}", all.join(", ")), hint);
        }
        found
    }

    /// Warns of keys that nobody reads.
    pub(crate) fn knows(&self, keys: &[&str]) {
        let Value::Object(map) = self.value else { return };
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            let hint = match nearest_key(key, keys.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => "take it out; it is ignored".to_owned(),
            };
            self.below(key).warn("there is no such key", hint);
        }
    }

    pub(crate) fn error(&self, rule: impl Into<String>, hint: impl Into<String>) {
        self.tell(Severity::Error, rule.into(), hint.into());
    }

    pub(crate) fn warn(&self, rule: impl Into<String>, hint: impl Into<String>) {
        self.tell(Severity::Warning, rule.into(), hint.into());
    }

    fn tell(&self, severity: Severity, rule: String, hint: String) {
        let (file, path) = (self.file.to_owned(), self.path.clone());
        self.recorder.tell(Problem { severity, file, path, value: shown(self.value), rule, hint });
    }
}

/// The number that decimal digits and nothing else spell.
pub(crate) fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A path with one more key.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
