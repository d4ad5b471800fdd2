//! The names of a model's classes.

use std::path::Path;

use sedge_vision::Labels;
use toml::Value;

use crate::files::{self, MAX_LIST_BYTES};
use crate::manifest::section;
use crate::{Package, PackageError, Settings};

impl Package {
    /// Names of the classes in the order in which their file or list has them.
    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        let (first, end) = self.labels.range();
        (first..end).filter_map(|index| self.labels.get(index))
    }

    /// The labels as a file has them, one per line; `None` when there are none, or when they would
    /// not be the same when they are read again.
    pub(crate) fn labels_text(&self) -> Option<String> {
        let text: String = self.label_names().map(|name| format!("{name}\n")).collect();
        (!text.is_empty() && lines(&text).iter().map(String::as_str).eq(self.label_names()))
            .then_some(text)
    }
}

/// The labels that settings name, in a list or in a file.
pub(crate) fn labels(settings: &Settings, root: &Path) -> Result<Labels, PackageError> {
    let offset = match settings.get("model.label_offset").map(|setting| &setting.value) {
        Some(Value::Integer(negative)) if *negative < 0 => {
            let problem = format!("is {negative}, which is no output index. Hint: give 0 or more");
            return Err(PackageError::Value { key: "model.label_offset".into(), problem });
        }
        Some(value) => section("model.label_offset", value.clone())?,
        None => 0,
    };
    let names = match settings.get("model.labels").map(|setting| (&setting.value, &setting.origin))
    {
        None => Vec::new(),
        Some((Value::String(file), origin)) => {
            let path = files::resolve(root, file, Some(origin))?;
            lines(&files::read_text(&path, MAX_LIST_BYTES)?)
        }
        Some((value, _)) => section("model.labels", value.clone())?,
    };
    Ok(Labels::new(names, offset))
}

/// One label per line. A byte order mark and empty lines at the end are an editor's, not labels.
fn lines(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}
