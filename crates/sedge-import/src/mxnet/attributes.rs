//! A node's attributes: texts that Python wrote.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Refusal;

/// Attributes by name, as text: `"(3, 3)"`, `"True"`, `"None"`, `"1e-05"`, `"2L"`.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(BTreeMap<String, String>);

impl Attributes {
    pub(super) fn extend(&mut self, values: BTreeMap<String, Value>) {
        let text = |value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        self.0.extend(values.into_iter().map(|(key, value)| (key, text(value))));
    }

    /// The text, unless it is missing or `None`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty() && *text != "None")
    }

    /// True when it is there, if only as `None`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn parse<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let refusal =
            || Refusal(format!("its attribute {name} is {text:?}, which is not understood"));
        parse(text).map(Some).ok_or_else(refusal)
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        let parsed = self.parse(name, |text| match text {
            "True" | "true" | "1" => Some(true),
            "False" | "false" | "0" => Some(false),
            _ => None,
        })?;
        Ok(parsed.unwrap_or(default))
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.parse(name, int)
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, Refusal> {
        self.parse(name, float)
    }

    /// A list of integers; one alone is a list of one.
    pub(super) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        self.parse(name, |text| items(text).map(int).collect())
    }

    /// A list of integers some of which may be `None`.
    pub(super) fn open_ints(&self, name: &str) -> Result<Vec<Option<i64>>, Refusal> {
        let item = |text: &str| if text == "None" { Some(None) } else { int(text).map(Some) };
        Ok(self.parse(name, |text| items(text).map(item).collect())?.unwrap_or_default())
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, Refusal> {
        self.parse(name, |text| items(text).map(float).collect())
    }

    /// One of a few words; the first is the default.
    pub(super) fn word(&self, name: &str, words: &[&'static str]) -> Result<&'static str, Refusal> {
        let parsed = self.parse(name, |text| words.iter().copied().find(|word| *word == text))?;
        Ok(parsed.or(words.first().copied()).unwrap_or_default())
    }
}

/// The items of a Python tuple or list.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.trim_start_matches(['(', '[']).trim_end_matches([')', ']']);
    inner.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn int(text: &str) -> Option<i64> {
    // Python 2 marked long integers.
    let text = text.trim_end_matches('L');
    let whole = |x: &f64| x.fract() == 0.0 && x.abs() < 9e15;
    text.parse().ok().or_else(|| text.parse::<f64>().ok().filter(whole).map(|x| x as i64))
}

fn float(text: &str) -> Option<f32> {
    text.trim_end_matches('L').parse::<f64>().ok().map(|x| x as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Attributes {
        Attributes(BTreeMap::from([("a".to_owned(), text.to_owned())]))
    }

    #[test]
    fn values_are_read_in_every_spelling() {
        for (text, want) in [
            ("(3, 3)", vec![3, 3]),
            ("[1,2L]", vec![1, 2]),
            ("(0,)", vec![0]),
            ("7", vec![7]),
            ("()", vec![]),
            ("2.0", vec![2]),
        ] {
            assert_eq!(one(text).ints("a").unwrap(), Some(want), "{text}");
        }
        assert_eq!(one("(None, 1)").open_ints("a").unwrap(), [None, Some(1)]);
        assert_eq!(one("1e-05").float("a").unwrap(), Some(1e-5));
        assert_eq!(one("None").int("a").unwrap(), None);
        assert!(one("False").flag("a", true).is_ok_and(|flag| !flag));
        let message = one("many").int("a").unwrap_err().to_string();
        assert_eq!(message, "its attribute a is \"many\", which is not understood");
    }
}
