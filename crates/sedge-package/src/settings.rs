use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Who said what a setting's value is. Later variants override earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// Nobody; the documented default.
    Default,
    /// Who serves it, where neither its files nor anybody else says otherwise: a connector of
    /// Greengrass, which always prepared pictures in one way.
    Custom(String),
    /// The model file itself: its metadata or a rule on its graph.
    File(String),
    /// `model.toml`.
    Manifest,
    /// The service's section of the configuration file.
    Configuration(String),
    /// A flag on the command line, such as `--mean`.
    Flag(String),
}

impl Origin {
    /// Its place in the order of layers.
    pub(crate) fn layer(&self) -> u8 {
        match self {
            Origin::Default => 0,
            Origin::Custom(_) => 1,
            Origin::File(_) => 2,
            Origin::Manifest => 3,
            Origin::Configuration(_) => 4,
            Origin::Flag(_) => 5,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Custom(who) | Origin::File(who) => f.write_str(who),
            Origin::Manifest => f.write_str("model.toml"),
            Origin::Configuration(path) => write!(f, "configuration, {path}"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One value with who said it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The value as it stands in `model.toml`.
    pub value: Value,
    /// Who said so.
    pub origin: Origin,
}

/// Everything known about a model's use: values of `model.toml` by dotted key
/// (`input.0.mean`, `decoder.nms.iou_threshold`), each with its origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    by_key: BTreeMap<String, Setting>,
}

/// Keys whose value is a list of tables, addressed by index.
const LISTS: [&str; 2] = ["input", "golden"];

impl Settings {
    /// Sets a key, overriding what is there.
    ///
    /// Another `decoder.kind` drops the parameters of the decoder that was there.
    pub fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let changes_decoder =
            key == "decoder.kind" && self.get(key).is_some_and(|setting| setting.value != value);
        if changes_decoder {
            self.by_key.retain(|key, _| !key.starts_with("decoder."));
        }
        // A table replaces scalars below it and the other way round.
        let below = format!("{key}.");
        self.by_key.retain(|other, _| {
            !other.starts_with(&below) && !key.starts_with(&format!("{other}."))
        });
        self.by_key.insert(key.to_owned(), Setting { value, origin });
    }

    /// Sets every leaf of a table laid out like `model.toml`.
    pub fn set_table(&mut self, table: &Table, origin: &Origin) {
        // The decoder's kind goes first: it clears what another decoder left.
        if let Some(kind) = table.get("decoder").and_then(|decoder| decoder.get("kind")) {
            self.set("decoder.kind", kind.clone(), origin.clone());
        }
        for (key, value) in table {
            self.set_tree(key, value, origin);
        }
    }

    /// Sets every leaf of a value that stands under a key.
    pub(crate) fn set_tree(&mut self, key: &str, value: &Value, origin: &Origin) {
        match value {
            Value::Table(table) => {
                for (name, value) in table {
                    self.set_tree(&format!("{key}.{name}"), value, origin);
                }
            }
            Value::Array(items) if LISTS.contains(&key) => {
                for (index, item) in items.iter().enumerate() {
                    self.set_tree(&format!("{key}.{index}"), item, origin);
                }
            }
            leaf => self.set(key, leaf.clone(), origin.clone()),
        }
    }

    /// A setting by dotted key.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.by_key.get(key)
    }

    /// Every setting in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.by_key.iter().map(|(key, setting)| (key.as_str(), setting))
    }

    /// The table below a dotted prefix, nested again.
    pub fn table(&self, prefix: &str) -> Table {
        let mut root = Table::new();
        let start = format!("{prefix}.");
        for (key, setting) in &self.by_key {
            if let Some(rest) = key.strip_prefix(&start) {
                insert(&mut root, rest, setting.value.clone());
            }
        }
        root
    }

    /// The entries of a list of tables; `None` when it has none.
    pub(crate) fn list(&self, list: &str) -> Option<Vec<Value>> {
        let entry = |index| Value::Table(self.table(&format!("{list}.{index}")));
        let entries: Vec<_> = (0..self.count(list)).map(entry).collect();
        (!entries.is_empty()).then_some(entries)
    }

    /// How many entries a list of tables has.
    pub fn count(&self, list: &str) -> usize {
        let index = |key: &String| {
            let rest = key.strip_prefix(list)?.strip_prefix('.')?;
            rest.split('.').next()?.parse::<usize>().ok()
        };
        self.by_key.keys().filter_map(index).max().map_or(0, |index| index + 1)
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((head, rest)) => {
            let inner = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let mut settings = Settings::default();
        settings.set_table(&text.parse().unwrap(), &Origin::Manifest);
        settings
    }

    #[test]
    fn tables_are_flattened_and_nested_again() {
        let settings = settings(
            "[model]\nname = 'x'\n[[input]]\nmean = [1.0, 2.0]\n[[input]]\nkind = 'tensor'\n\
             [decoder]\nkind = 'grid'\nnms = { iou_threshold = 0.5 }",
        );
        assert_eq!(settings.count("input"), 2);
        assert_eq!(settings.get("decoder.nms.iou_threshold").unwrap().value.as_float(), Some(0.5));
        let nms = &settings.table("decoder")["nms"];
        assert_eq!(nms["iou_threshold"].as_float(), Some(0.5));
    }

    #[test]
    fn another_decoder_takes_nothing_over() {
        let mut settings = settings("[decoder]\nkind = 'grid'\nlayout = 'rows'");
        let other: Table = "[decoder]\nactivation = 'none'\nkind = 'classes'".parse().unwrap();
        settings.set_table(&other, &Origin::Flag("--decoder".into()));
        let keys: Vec<_> = settings.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["decoder.activation", "decoder.kind"]);
    }
}
