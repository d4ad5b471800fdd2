//! What a key of the configuration file is: what it takes, and what holds without it.

use toml::Value;

use super::keys::KEYS;
use crate::ranges::Range;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `[name]`.
    Section,
    /// `[[name]]`, any number of times.
    Sections,
    Whole(Range),
    /// A whole number, negative ones too.
    Integer,
    /// A number, both ends included.
    Number(f64, f64),
    Truth,
    Choice(&'static [&'static str]),
    Text,
    Texts,
    /// Host or address, and port.
    Address,
    /// A path; a relative one starts at the directory of the configuration file.
    Path,
    /// 64 hex digits.
    Sha256,
    /// `http://` or `https://`.
    Url,
    /// Keys of `model.toml`.
    Settings,
}

/// What holds where a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unset {
    /// This value, as TOML.
    Value(&'static str),
    /// What these words say; then an example, as TOML.
    Words(&'static str, &'static str),
    /// Nothing: it must be given. An example, as TOML.
    Error(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Key {
    /// Dotted, without the index of a `[[section]]`.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unset: Unset,
    /// What it means, in one line, with its unit.
    pub(crate) help: &'static str,
    /// What else there is to know.
    pub(crate) more: &'static str,
}

impl Key {
    /// The key of a path, if there is one.
    pub(crate) fn of(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }

    /// The path of its section, `""` above all sections, and its own name.
    pub(crate) fn split(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }

    /// What it takes, for people.
    pub(crate) fn takes(&self) -> String {
        match self.kind {
            Kind::Section => "a section".into(),
            Kind::Sections => "sections".into(),
            Kind::Whole(range) => range.takes(),
            Kind::Integer => "a whole number".into(),
            Kind::Number(least, most) => format!("a number from {least} to {most}"),
            Kind::Truth => "true or false".into(),
            Kind::Choice([only]) => format!("\"{only}\""),
            Kind::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
            Kind::Text => "a text".into(),
            Kind::Address => "an address and a port".into(),
            Kind::Texts => "a list of texts".into(),
            Kind::Path => "a path".into(),
            Kind::Sha256 => "64 hex digits".into(),
            Kind::Url => "an http:// or https:// address".into(),
            Kind::Settings => "a table of settings".into(),
        }
    }

    /// Whether it takes a value. What a section takes is its keys' to say.
    pub(crate) fn fits(&self, value: &Value) -> bool {
        let text = |fits: fn(&str) -> bool| value.as_str().is_some_and(fits);
        let whole = || value.as_integer().and_then(|number| u64::try_from(number).ok());
        let number = || value.as_float().or(value.as_integer().map(|number| number as f64));
        match self.kind {
            Kind::Section | Kind::Settings => value.is_table(),
            Kind::Sections => value.as_array().is_some_and(|all| all.iter().all(Value::is_table)),
            Kind::Whole(range) => whole().is_some_and(|number| range.contains(number)),
            Kind::Integer => value.is_integer(),
            Kind::Number(least, most) => {
                number().is_some_and(|number| number >= least && number <= most)
            }
            Kind::Truth => value.is_bool(),
            Kind::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Kind::Text | Kind::Path => text(|text| !text.is_empty()),
            Kind::Address => text(|text| {
                let parts = text.rsplit_once(':');
                parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            }),
            Kind::Texts => value.as_array().is_some_and(|all| all.iter().all(Value::is_str)),
            Kind::Sha256 => {
                text(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            }
            Kind::Url => text(|text| text.starts_with("http://") || text.starts_with("https://")),
        }
    }

    /// What holds where it is not given, for people.
    pub(crate) fn default(&self) -> &'static str {
        match self.unset {
            Unset::Value(value) => value,
            Unset::Words(words, _) => words,
            Unset::Error(_) => "must be given",
        }
    }

    /// A value as TOML, the default where it is one.
    pub(crate) fn example(&self) -> &'static str {
        match self.unset {
            Unset::Value(value) | Unset::Words(_, value) | Unset::Error(value) => value,
        }
    }
}
