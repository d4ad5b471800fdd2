use std::path::Path;

/// Why a service name is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "'{0}' is no service name. Hint: 2 to 63 letters, digits and hyphens, beginning with a letter \
     or digit"
)]
pub struct NameError(pub String);

/// File names that say what a file is, not which model.
const HABITS: [&str; 12] = [
    "model",
    "frozen",
    "image-classification",
    "saved-model",
    "frozen-inference-graph",
    "compiled",
    "model-algo-1",
    "deploy-model-algo-1",
    "best",
    "last",
    "weights",
    "network",
];

/// Checks a service name against the rule of the Greengrass machine-learning SDK:
/// `[a-zA-Z0-9][a-zA-Z0-9-]{1,62}`.
pub fn validate_service_name(name: &str) -> Result<(), NameError> {
    let fits = (2..=63).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits { Ok(()) } else { Err(NameError(name.to_owned())) }
}

/// A service name for a model file, directory or archive: its name with other characters replaced
/// by hyphens; a name that is only a format's habit takes its parent directory's. Where that leaves
/// less than a service's name has, `model` stands before it.
pub fn service_name(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let own = stem(&path);
    let habit = HABITS.contains(&own.to_ascii_lowercase().as_str());
    let name = match path.parent() {
        Some(parent) if habit && parent.file_name().is_some() => cleaned(&file_name(parent)),
        _ => own,
    };
    match name.len() {
        0 => "model".to_owned(),
        1 => format!("model-{name}"),
        _ => name.chars().take(63).collect(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    let name = file_name(path);
    let known =
        [".tflite", ".onnx", ".pb", "-symbol.json", ".params", ".tar.gz", ".tgz", ".tar", ".zip"];
    let name = known.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    cleaned(name)
}

fn cleaned(name: &str) -> String {
    let replaced: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    replaced.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files_and_directories() {
        for (path, name) in [
            ("/m/mobilenet_v1_0.25_224.tflite", "mobilenet-v1-0-25-224"),
            ("/m/vww96/model.onnx", "vww96"),
            ("/m/FastestDet.onnx", "FastestDet"),
            ("/m/pets/", "pets"),
            ("/m/x.onnx", "model-x"),
            ("/m/模型.onnx", "model"),
            ("/m/shapes/image-classification.tar.gz", "shapes"),
        ] {
            assert_eq!(service_name(Path::new(path)), name, "{path}");
            assert_eq!(validate_service_name(name), Ok(()));
        }
    }

    #[test]
    fn the_rule_is_the_sdks() {
        for (name, fits) in
            [("ab", true), ("a", false), ("-ab", false), ("a_b", false), ("A1-", true)]
        {
            assert_eq!(validate_service_name(name).is_ok(), fits, "{name}");
        }
        assert!(validate_service_name(&"a".repeat(64)).is_err());
    }
}
