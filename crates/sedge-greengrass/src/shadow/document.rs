use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Most bytes of a request, and of a shadow's state (AWS IoT's limit of a shadow document).
pub(super) const MOST_BYTES: usize = 8 << 10;
/// Levels of objects below `desired` or `reported` (the same source).
const MOST_LEVELS: usize = 8;
const SECTIONS: [&str; 2] = ["desired", "reported"];

type Object = Map<String, Value>;

/// Why an operation was rejected, in the words of AWS IoT where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ShadowError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error("No shadow exists with name: '{0}'")]
    NotFound(String),
    #[error("Version conflict")]
    Conflict,
    #[error("The payload exceeds the maximum size allowed")]
    TooLarge,
    #[error("Internal service failure: {0}")]
    Store(String),
}

impl ShadowError {
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::NotFound(_) => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Store(_) => 500,
        }
    }
}

/// A shadow: `desired` and `reported` of its state, and when each value was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Document {
    state: Object,
    metadata: Object,
    /// Counts updates; goes on after the shadow was deleted.
    pub(super) version: u64,
    #[serde(default)]
    is_deleted: bool,
}

impl Document {
    /// Whether it is a shadow, and not only what is left of one.
    pub(super) fn is_there(&self) -> bool {
        self.version > 0 && !self.is_deleted
    }

    /// What is left of it.
    pub(super) fn deleted(&self) -> Self {
        Self { version: self.version, is_deleted: true, ..Self::default() }
    }

    pub(super) fn check_version(&self, request: &Value) -> Result<(), ShadowError> {
        match &request["version"] {
            Value::Null => Ok(()),
            version => match version.as_u64() {
                None => Err(ShadowError::Invalid("Invalid version")),
                Some(version) if version == self.version => Ok(()),
                Some(_) => Err(ShadowError::Conflict),
            },
        }
    }

    /// The shadow after an update, and what the update is answered with.
    pub(super) fn updated(&self, request: &Value, now: u64) -> Result<(Self, Value), ShadowError> {
        let state =
            request.get("state").ok_or(ShadowError::Invalid("Missing required node: state"))?;
        self.check_version(request)?;
        if !matches!(request["clientToken"], Value::Null | Value::String(_)) {
            return Err(ShadowError::Invalid("Invalid clientToken"));
        }
        let mut after = if self.is_deleted { self.deleted() } else { self.clone() };
        after.is_deleted = false;
        after.version += 1;
        let mut said = Object::new();
        match state {
            // Everything is taken back.
            Value::Null => (after.state, after.metadata) = Default::default(),
            Value::Object(sections) => {
                for (name, section) in sections {
                    after.update_section(name, section, now)?;
                    if section.is_object() {
                        said.insert(name.clone(), metadata_of(section, now));
                    }
                }
            }
            _ => return Err(ShadowError::Invalid("State node must be an object")),
        }
        let bytes = serde_json::to_vec(&after.state).map_or(usize::MAX, |text| text.len());
        if bytes > MOST_BYTES {
            return Err(ShadowError::TooLarge);
        }
        let version = after.version;
        let answer =
            json!({ "state": state, "metadata": said, "version": version, "timestamp": now });
        Ok((after, answer))
    }

    fn update_section(&mut self, name: &str, section: &Value, now: u64) -> Result<(), ShadowError> {
        if !SECTIONS.contains(&name) {
            return Err(ShadowError::Invalid("State contains an invalid node"));
        }
        match section {
            Value::Null => {
                self.state.remove(name);
                self.metadata.remove(name);
            }
            Value::Object(patch) => {
                if depth(section) > MOST_LEVELS {
                    let text = "JSON contains too many levels of nesting; maximum is 8";
                    return Err(ShadowError::Invalid(text));
                }
                let state = object(&mut self.state, name);
                let metadata = object(&mut self.metadata, name);
                merge(state, metadata, patch, now);
                if state.is_empty() {
                    self.state.remove(name);
                    self.metadata.remove(name);
                }
            }
            _ if name == "desired" => {
                return Err(ShadowError::Invalid("Desired node must be an object"));
            }
            _ => return Err(ShadowError::Invalid("Reported node must be an object")),
        }
        Ok(())
    }

    /// What is desired and not reported, and when it was said.
    fn delta(&self) -> Option<(Value, Value)> {
        let empty = json!({});
        let desired = self.state.get("desired")?;
        let reported = self.state.get("reported").unwrap_or(&empty);
        let metadata = self.metadata.get("desired").unwrap_or(&empty);
        difference(desired, reported, metadata)
    }

    /// The message on `.../update/delta`, where there is a difference.
    pub(super) fn delta_message(&self, now: u64) -> Option<Value> {
        let (state, metadata) = self.delta()?;
        let version = self.version;
        Some(json!({ "state": state, "metadata": metadata, "version": version, "timestamp": now }))
    }

    /// The answer to a get.
    pub(super) fn shown(&self, now: u64) -> Value {
        let mut state = self.state.clone();
        if let Some((delta, _)) = self.delta() {
            state.insert("delta".into(), delta);
        }
        json!({
            "state": state, "metadata": self.metadata, "version": self.version, "timestamp": now,
        })
    }

    /// One half of the message on `.../update/documents`.
    pub(super) fn plain(&self) -> Value {
        json!({ "state": self.state, "metadata": self.metadata, "version": self.version })
    }
}

/// The object of that name, in place of whatever else has it.
fn object<'a>(parent: &'a mut Object, name: &str) -> &'a mut Object {
    let value = parent.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("it was made one"),
    }
}

/// Lays a patch over a state: objects are merged, null takes away, all else replaces.
fn merge(state: &mut Object, metadata: &mut Object, patch: &Object, now: u64) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                state.remove(name);
                metadata.remove(name);
            }
            Value::Object(patch) => {
                if !state.get(name).is_some_and(Value::is_object) {
                    metadata.remove(name);
                }
                merge(object(state, name), object(metadata, name), patch, now);
            }
            _ => {
                state.insert(name.clone(), value.clone());
                metadata.insert(name.clone(), metadata_of(value, now));
            }
        }
    }
}

/// The form of a value with the time in place of everything that is said.
fn metadata_of(value: &Value, now: u64) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| (name.clone(), metadata_of(value, now))).collect()
        }
        Value::Array(items) => items.iter().map(|item| metadata_of(item, now)).collect(),
        _ => json!({ "timestamp": now }),
    }
}

/// What of `desired` differs from `reported`, with its metadata; `None` when nothing does.
fn difference(desired: &Value, reported: &Value, metadata: &Value) -> Option<(Value, Value)> {
    let (Value::Object(desired_fields), Value::Object(reported_fields)) = (desired, reported)
    else {
        return (desired != reported).then(|| (desired.clone(), metadata.clone()));
    };
    let (mut state, mut said) = (Object::new(), Object::new());
    for (name, value) in desired_fields {
        let when = metadata.get(name).unwrap_or(&Value::Null);
        let found = match reported_fields.get(name) {
            Some(other) => difference(value, other, when),
            None => Some((value.clone(), when.clone())),
        };
        if let Some((value, when)) = found {
            state.insert(name.clone(), value);
            said.insert(name.clone(), when);
        }
    }
    (!state.is_empty()).then(|| (state.into(), said.into()))
}

/// Levels of objects and lists; parsing has bounded them.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(document: &Document, request: &Value) -> Document {
        document.updated(request, 7).unwrap().0
    }

    #[test]
    fn updates_merge_and_null_takes_away() {
        let first = json!({ "state": { "desired": { "a": { "b": 1, "c": [1, 2] }, "d": true } } });
        let one = update(&Document::default(), &first);
        let second = json!({ "state": { "desired": { "a": { "b": null, "e": "x" }, "d": { "f": 1 } },
            "reported": { "a": { "c": [1, 2] } } } });
        let two = update(&one, &second);
        let desired = json!({ "a": { "c": [1, 2], "e": "x" }, "d": { "f": 1 } });
        let reported = json!({ "a": { "c": [1, 2] } });
        let when = json!({ "timestamp": 7 });
        assert_eq!(
            two.shown(9),
            json!({
                "state": { "desired": desired, "reported": reported,
                    "delta": { "a": { "e": "x" }, "d": { "f": 1 } } },
                "metadata": {
                    "desired": { "a": { "c": [when, when], "e": when }, "d": { "f": when } },
                    "reported": { "a": { "c": [when, when] } },
                },
                "version": 2, "timestamp": 9,
            })
        );
        let gone = update(&two, &json!({ "state": { "desired": null } }));
        assert!(gone.delta().is_none());
        assert_eq!(gone.plain()["state"], json!({ "reported": { "a": { "c": [1, 2] } } }));
        assert_eq!(update(&gone, &json!({ "state": null })).plain()["state"], json!({}));
    }

    #[test]
    fn versions_go_on() {
        let one = update(&Document::default(), &json!({ "state": { "reported": { "a": 1 } } }));
        let request =
            |version: u64| json!({ "state": { "reported": { "a": 2 } }, "version": version });
        assert_eq!(one.updated(&request(0), 7).unwrap_err(), ShadowError::Conflict);
        assert_eq!(update(&one, &request(1)).version, 2);
        let deleted = one.deleted();
        assert!(!deleted.is_there());
        let again = update(&deleted, &json!({ "state": { "desired": { "b": 1 } } }));
        assert_eq!((again.version, again.is_there()), (2, true));
        assert_eq!(again.plain()["state"], json!({ "desired": { "b": 1 } }));
    }

    #[test]
    fn what_is_no_update_is_rejected() {
        let mut deep = json!(1);
        for _ in 0..=MOST_LEVELS {
            deep = json!({ "a": deep });
        }
        for (request, wanted) in [
            (json!({}), "Missing required node: state"),
            (json!([1]), "Missing required node: state"),
            (json!({ "state": 1 }), "State node must be an object"),
            (json!({ "state": { "desired": 1 } }), "Desired node must be an object"),
            (json!({ "state": { "reported": [] } }), "Reported node must be an object"),
            (json!({ "state": { "other": {} } }), "State contains an invalid node"),
            (json!({ "state": {}, "version": "1" }), "Invalid version"),
            (json!({ "state": {}, "clientToken": 1 }), "Invalid clientToken"),
            (
                json!({ "state": { "desired": deep } }),
                "JSON contains too many levels of nesting; maximum is 8",
            ),
            (
                json!({ "state": { "desired": { "a": "x".repeat(MOST_BYTES) } } }),
                "The payload exceeds the maximum size allowed",
            ),
        ] {
            let error = Document::default().updated(&request, 7).unwrap_err();
            assert_eq!(error.to_string(), wanted);
        }
    }
}
