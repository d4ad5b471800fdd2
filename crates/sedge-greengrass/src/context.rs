use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

/// What a caller says beside the payload: `{"custom": {"Content-Type": "image/jpeg"}}`, or nothing.
///
/// It is kept as the text that came, because what is passed on, numbers and the order of keys
/// above all, is to be what the caller wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientContext {
    text: Option<Arc<str>>,
}

impl ClientContext {
    /// A context that says `{"custom": custom}`.
    pub fn of(custom: &Value) -> Self {
        Self { text: Some(format!("{{\"custom\":{custom}}}").into()) }
    }

    /// The context that a text of JSON is; an empty one is none.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let text: &serde_json::value::RawValue = serde_json::from_slice(text)?;
        Ok(Self { text: Some(text.get().into()) })
    }

    /// What stands under a key of `custom`.
    pub fn custom(&self, key: &str) -> Option<Value> {
        let Value::Object(mut context) = self.read::<Value>()? else { return None };
        let Value::Object(custom) = context.get_mut("custom")? else { return None };
        custom.remove(key).filter(|value| !value.is_null())
    }

    /// The context as a type of one's own; `None` when it is another, or there is none.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.text.as_deref()?).ok()
    }
}

/// The text that came; nothing where there is none.
impl fmt::Display for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_as_they_are() {
        let text = r#" {"custom": {"b": [0.30000000000000004, 1e-7], "a": null}} "#;
        let context = ClientContext::parse(text.as_bytes()).unwrap();
        assert_eq!(context.to_string(), text.trim());
        assert_eq!(context.custom("b").unwrap()[1], 1e-7);
        assert_eq!((context.custom("a"), context.custom("c")), (None, None));
    }

    #[test]
    fn what_is_no_context_says_nothing() {
        for text in ["", "7", "[]", "{}", r#"{"custom": 1}"#] {
            let context = ClientContext::parse(text.as_bytes()).unwrap();
            assert_eq!(context.custom("a"), None, "{text}");
        }
        assert!(ClientContext::parse(b"{").is_err());
        let made = ClientContext::of(&serde_json::json!({"subject": "a/b"}));
        assert_eq!(made.custom("subject").unwrap(), "a/b");
    }
}
