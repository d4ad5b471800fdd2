use std::fmt::Write as _;

use toml::Value;

use crate::pipeline::{known_table, other_decoder_keys};
use crate::{Package, known_key};

/// A `model.toml` for a package: what is known with who said it, what is not as comments to fill
/// in. `labels_file` is the name under which the caller stores labels that the model file carries.
pub fn manifest_template(package: &Package, labels_file: Option<&str>) -> String {
    let mut text = String::from(
        "# What Sedge knows about this model. Lines to fill in begin with `# FILL IN`.\n",
    );
    let missing: Vec<String> = match package.pipeline() {
        Ok(_) => Vec::new(),
        Err(incomplete) => incomplete.missing.into_iter().map(|missing| missing.key).collect(),
    };
    let mut section = "";
    for (path, known) in known_table(&package.settings) {
        let (head, name) = path.split_once('.').unwrap_or(("", path));
        if head == "golden" {
            continue;
        }
        if head != section {
            section = head;
            let header = if head == "input" { "[[input]]".to_owned() } else { format!("[{head}]") };
            let _ = write!(text, "\n{header}\n");
        }
        let key = known_key(path);
        let (help, example) = key.map_or(("", ""), |key| (key.help, key.example));
        let (example, help) = package.stored_element(path).unwrap_or((example, help));
        let file_name = package.file.file_name().unwrap_or_default().to_string_lossy();
        let line = match (path, known) {
            ("schema", _) => "schema = 1".to_owned(),
            ("model.name", None) => format!("name = {}", Value::from(package.name.clone())),
            ("model.files", _) => format!("files = [{}]", Value::from(file_name.into_owned())),
            ("model.labels", Some(_)) if labels_file.is_some() => {
                format!("labels = {}", Value::from(labels_file.unwrap_or_default()))
            }
            (_, Some((value, origin))) => format!("{name} = {value}  # {origin}"),
            (path, None) if missing.iter().any(|missing| missing == path) => {
                format!("# FILL IN: {help}\n# {name} = {example}")
            }
            (_, None) => format!("# {name} = {example}  # {help}"),
        };
        let _ = writeln!(text, "{line}");
    }
    for (name, value) in other_decoder_keys(&package.settings) {
        let _ = writeln!(text, "{name} = {value}");
    }
    text.push_str(
        "\n# Cases with known answers, replayed by `sedge model validate` and at install:\n\
         # [[golden]]\n# image = \"golden/cat.jpg\"\n# expected = \"golden/cat.json\"\n\
         # tolerance = { relative = 1e-4, absolute = 1e-5 }\n",
    );
    text
}
