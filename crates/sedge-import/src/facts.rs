/// Something a model file states about its own use, as a key of `model.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Dotted path of the key; list entries by index, such as `input.0.mean`.
    pub key: String,
    /// The value as it would stand in the manifest.
    pub value: toml::Value,
    /// Who says so, such as `TensorFlow Lite metadata, NormalizationOptions`.
    pub origin: String,
}

impl Fact {
    /// States one fact.
    pub fn new(key: impl Into<String>, value: impl Into<toml::Value>, origin: &str) -> Self {
        Self { key: key.into(), value: value.into(), origin: origin.to_owned() }
    }
}
