use sedge_package::Settings;
use serde::{Deserialize, Serialize};

/// What was done to one picture, and who said so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The steps from the picture's bytes to the model's input, in words.
    pub steps: Vec<String>,
    /// The settings that decided them, in the order of their keys.
    pub settings: Vec<ExplainedSetting>,
}

/// One setting of the model and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedSetting {
    /// Key as in `model.toml`: `input.mean`.
    pub key: String,
    /// Its value; a long list is told by its length.
    pub value: serde_json::Value,
    /// Manifest, metadata of the file, known graph head, flag, default.
    pub origin: String,
}

/// Lists of more entries than this (labels, anchors) are told by their length.
const LONGEST_LIST: usize = 12;
/// What decides an answer; the rest of a manifest describes the model to people.
const DECISIVE: [&str; 5] =
    ["input.", "decoder.", "model.labels", "model.label_offset", "model.task"];

/// The settings that decide what is done to pictures and outputs.
pub(crate) fn decisive(settings: &Settings) -> Vec<ExplainedSetting> {
    let decisive = |key: &str| DECISIVE.iter().any(|start| key.starts_with(start));
    settings
        .iter()
        .filter(|(key, _)| decisive(key))
        .map(|(key, setting)| ExplainedSetting {
            key: key.replace(".0.", "."),
            value: match &setting.value {
                toml::Value::Array(items) if items.len() > LONGEST_LIST => {
                    format!("{} entries", items.len()).into()
                }
                value => serde_json::to_value(value).unwrap_or_default(),
            },
            origin: setting.origin.to_string(),
        })
        .collect()
}
