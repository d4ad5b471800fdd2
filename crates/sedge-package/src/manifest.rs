use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{KEYS, PackageError, Settings, nearest_key};

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One answer for the whole picture.
    ImageClassification,
    /// Objects with boxes.
    ObjectDetection,
    /// Normal or not, and where not.
    AnomalyDetection,
    /// Tensors in, tensors out.
    Tensor,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Task::ImageClassification => "image-classification",
            Task::ObjectDetection => "object-detection",
            Task::AnomalyDetection => "anomaly-detection",
            Task::Tensor => "tensor",
        })
    }
}

/// `[model]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ModelSection {
    pub name: Option<String>,
    pub version: Option<String>,
    pub task: Option<Task>,
    pub files: Vec<String>,
    pub architecture: Option<String>,
    pub labels: Option<Value>,
    pub label_offset: usize,
    pub license: Option<String>,
    pub source: Option<String>,
    pub description: Option<String>,
}

/// How near a replay must come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Fraction of the expected value.
    #[serde(default)]
    pub relative: f32,
    /// Absolute difference.
    #[serde(default)]
    pub absolute: f32,
    /// Steps of the output's quantisation, instead of the two above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation_steps: Option<f32>,
}

/// `[[golden]]`: a case with a known answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Picture file, or
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// a file of tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<String>,
    /// File with the expected prediction.
    pub expected: String,
    /// How near.
    pub tolerance: Tolerance,
}

/// A parsed and checked `model.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The file as a table, for the layers of [`crate::Settings`].
    pub table: Table,
    /// `[model]`.
    pub model: ModelSection,
    /// `[[golden]]`.
    pub golden: Vec<Golden>,
}

const TOLERANCE_HINT: &str = "a case has no `tolerance`, how far from `expected` an answer may be. \
     Hint: add tolerance = { relative = 1e-4, absolute = 1e-5 }";

const SECTIONS: [&str; 5] = ["schema", "model", "input", "decoder", "golden"];

impl Manifest {
    /// Parses the text of a `model.toml`.
    ///
    /// # Errors
    /// Text that is not TOML, an unknown schema, unknown keys (with the nearest known one), values
    /// of a wrong type, and paths that lead out of the package.
    pub fn parse(text: &str) -> Result<Self, PackageError> {
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| PackageError::Syntax(error.to_string()))?;
        for key in table.keys() {
            if !SECTIONS.contains(&key.as_str()) {
                return Err(unknown("", key, &SECTIONS));
            }
        }
        match table.get("schema") {
            Some(Value::Integer(1)) => {}
            Some(other) => return Err(PackageError::Schema(other.to_string())),
            None => return Err(PackageError::Schema("none".into())),
        }
        let model = table.get("model").cloned().unwrap_or(Value::Table(Table::new()));
        let model: ModelSection = section("model", model)?;
        let golden = match table.get("golden") {
            None => Vec::new(),
            Some(value) => section("golden", value.clone())?,
        };
        let manifest = Self { table, model, golden };
        manifest.check_paths()?;
        Ok(manifest)
    }

    fn check_paths(&self) -> Result<(), PackageError> {
        let outside = self.paths().find(|path| !is_inside(path));
        outside.map_or(Ok(()), |path| Err(PackageError::OutsidePath(path.to_owned())))
    }

    /// Every file that the manifest names.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        let labels = self.model.labels.as_ref().and_then(Value::as_str);
        let golden = self.golden.iter().flat_map(|case| {
            [case.image.as_deref(), case.tensors.as_deref(), Some(case.expected.as_str())]
        });
        let files = self.model.files.iter().map(String::as_str);
        // A name with a scheme is of a network that Sedge knows; else it is a file's.
        let architecture = self.model.architecture.as_deref().filter(|name| !name.contains(':'));
        files.chain(labels).chain(architecture).chain(golden.flatten())
    }
}

/// True for a relative path that stays below where it starts.
pub(crate) fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

/// Deserialises one section, turning serde's words into ours.
pub(crate) fn section<T: serde::de::DeserializeOwned>(
    name: &str,
    value: Value,
) -> Result<T, PackageError> {
    value.try_into().map_err(|error: toml::de::Error| explain(name, error.message()))
}

fn explain(section: &str, message: &str) -> PackageError {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((field, known)) if message.starts_with("unknown field") => {
            unknown(section, field, known)
        }
        Some((word, known)) if message.starts_with("unknown variant") => PackageError::Value {
            key: section.to_owned(),
            problem: format!("'{word}' is not one of {}", known.join(", ")),
        },
        Some((field, _)) if section == "golden" && message.starts_with("missing field") => {
            let problem = match *field {
                "tolerance" => TOLERANCE_HINT.to_owned(),
                field => format!("a case has no `{field}`"),
            };
            PackageError::Value { key: section.to_owned(), problem }
        }
        _ => PackageError::Value { key: section.to_owned(), problem: message.trim().to_owned() },
    }
}

fn unknown(section: &str, key: &str, known: &[&str]) -> PackageError {
    let dotted = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    let hint = match nearest_key(key, known.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("known keys: {}", known.join(", ")),
    };
    PackageError::UnknownKey { key: dotted, hint }
}

/// The text of a manifest: sections and keys in their usual order.
pub(crate) fn manifest_text(settings: &Settings, files: &[&str], golden: &[Golden]) -> String {
    let mut model = settings.table("model");
    let files: Vec<Value> = files.iter().copied().map(Value::from).collect();
    model.insert("files".into(), files.into());
    let mut text = "schema = 1\n".to_owned();
    write_section(&mut text, "[model]", "model", &model);
    for input in settings.list("input").into_iter().flatten() {
        if let Value::Table(input) = input {
            write_section(&mut text, "[[input]]", "input", &input);
        }
    }
    let decoder = settings.table("decoder");
    if !decoder.is_empty() {
        write_section(&mut text, "[decoder]", "decoder", &decoder);
    }
    for Golden { image, tensors, expected, tolerance } in golden {
        text.push_str("\n[[golden]]\n");
        for (key, file) in
            [("image", image), ("tensors", tensors), ("expected", &Some(expected.clone()))]
        {
            text.extend(file.clone().map(|file| format!("{key} = {}\n", Value::from(file))));
        }
        let Tolerance { relative, absolute, quantisation_steps } = tolerance;
        let tolerance = match quantisation_steps {
            Some(steps) => format!("{{ quantisation_steps = {steps} }}"),
            None => format!("{{ relative = {relative:?}, absolute = {absolute:?} }}"),
        };
        text.push_str(&format!("tolerance = {tolerance}\n"));
    }
    text
}

/// The keys of the table of keys first, in its order, then those of a decoder's own.
fn write_section(text: &mut String, header: &str, section: &str, table: &Table) {
    text.push_str(&format!("\n{header}\n"));
    let known = KEYS.iter().filter_map(|key| key.path.strip_prefix(section)?.strip_prefix('.'));
    let others = table
        .keys()
        .map(String::as_str)
        .filter(|name| !KEYS.iter().any(|key| key.path == format!("{section}.{name}")));
    for name in known.chain(others) {
        text.extend(table.get(name).map(|value| format!("{name} = {value}\n")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = "schema = 1\n\n[model]\nname = \"m\"\nfiles = [\"model.onnx\"]\n\n\
            [[input]]\nkind = \"image\"\nmean = [0.5]\n\n[[input]]\nkind = \"tensor\"\n\n\
            [decoder]\nkind = \"grid\"\nlayout = \"rows\"\nnms = { iou_threshold = 0.5 }\n\n\
            [[golden]]\nimage = \"golden/a.jpg\"\nexpected = \"golden/a.json\"\n\
            tolerance = { relative = 0.0001, absolute = 1e-5 }\n\n\
            [[golden]]\ntensors = \"golden/b.npz\"\nexpected = \"golden/b.out.npz\"\n\
            tolerance = { quantisation_steps = 2 }\n";
        let manifest = Manifest::parse(text).unwrap();
        let mut settings = Settings::default();
        let mut table = manifest.table.clone();
        table.remove("golden");
        settings.set_table(&table, &crate::Origin::Manifest);
        assert_eq!(manifest_text(&settings, &["model.onnx"], &manifest.golden), text);
    }

    #[test]
    fn mistakes_are_named_with_the_nearest_key() {
        for (text, words) in [
            ("schema = 1\n[modle]\n", vec!["modle", "model"]),
            ("schema = 1\n[model]\nlable_offset = 1", vec!["model.lable_offset", "label_offset"]),
            ("schema = 2", vec!["schema", "2"]),
            ("schema = 1\n[model]\ntask = 'detect'", vec!["detect", "object-detection"]),
            ("schema = 1\n[model]\nfiles = ['../x']", vec!["../x"]),
            ("schema = 1\n[model", vec!["line 2"]),
            (
                "schema = 1\n[[golden]]\nimage = 'a'\nexpected = 'b'",
                vec!["`tolerance`", "Hint: add"],
            ),
        ] {
            let message = Manifest::parse(text).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{text:?}: {message}");
            }
        }
    }
}
