//! Which files a model consists of.

use bytes::Bytes;

use super::{Error, is_params};
use crate::Source;

/// How the name of a symbol file ends.
pub(super) const SYMBOL: &str = "-symbol.json";
const PARAMS: &str = ".params";
/// Shapes of the inputs, as SageMaker's containers write them.
const SHAPES: &str = "model-shapes.json";
/// Names of the classes, one per line, as MXNet's model zoo has them.
const LABELS: &str = "synset.txt";

/// What is read of a model.
#[derive(Debug)]
pub(super) struct Files {
    /// Name of the symbol file before `-symbol.json`; empty when it is not known.
    pub(super) prefix: String,
    pub(super) symbol: Bytes,
    /// The parameter file's name and content.
    pub(super) params: Option<(String, Bytes)>,
    /// Content of `model-shapes.json`.
    pub(super) shapes: Option<Bytes>,
    /// Content of `synset.txt`.
    pub(super) labels: Option<Bytes>,
    /// Parameter files that are there; for messages.
    pub(super) found: String,
}

impl Files {
    pub(super) fn gather(source: &Source<'_>) -> Result<Self, Error> {
        // A model's files lie beside each other, not below.
        let mut names = source.names();
        names.retain(|name| !name.contains('/'));
        let read = |name: &String| {
            source.read(name).map_err(|error| Error::Read { file: name.clone(), error })
        };
        let of_kind = |end: &str| -> Vec<&String> {
            names.iter().filter(|name| name.ends_with(end)).collect()
        };
        let (prefix, symbol, params) = if is_params(&source.bytes) {
            let wanted = format!("{}{SYMBOL}", params_prefix(source.name));
            let symbols = of_kind(SYMBOL);
            let name = symbols.iter().find(|name| ***name == wanted).or(only(&symbols));
            let name = name.ok_or_else(|| Error::NoSymbol { found: list(&symbols), wanted })?;
            let params = (source.name.to_owned(), source.bytes.clone());
            (name.trim_end_matches(SYMBOL).to_owned(), read(name)?, Some(params))
        } else {
            let prefix = source.name.strip_suffix(SYMBOL).unwrap_or_default().to_owned();
            let params = match weights_of(&prefix, &of_kind(PARAMS)) {
                Some(name) => Some((name.clone(), read(name)?)),
                None => None,
            };
            (prefix, source.bytes.clone(), params)
        };
        let beside = |wanted: &str| names.iter().find(|name| *name == wanted).map(read).transpose();
        Ok(Self {
            prefix,
            symbol,
            params,
            shapes: beside(SHAPES)?,
            labels: beside(LABELS)?,
            found: list(&of_kind(PARAMS)),
        })
    }

    /// The parameter file that would belong to the symbol.
    pub(super) fn wanted_params(&self) -> String {
        let prefix = if self.prefix.is_empty() { "PREFIX" } else { &self.prefix };
        format!("{prefix}-0000{PARAMS}")
    }
}

/// The weights of the last epoch; else those without an epoch; else the only ones there are.
fn weights_of<'a>(prefix: &str, names: &[&'a String]) -> Option<&'a String> {
    let epoch = |name: &&&String| -> Option<u64> {
        let digits = name.strip_prefix(prefix)?.strip_prefix('-')?.strip_suffix(PARAMS)?;
        digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let last = names.iter().filter(|name| epoch(name).is_some()).max_by_key(epoch);
    let plain = || names.iter().find(|name| name.strip_suffix(PARAMS) == Some(prefix));
    last.or_else(plain).or_else(|| only(names)).copied()
}

fn only<'n, 'a>(names: &'n [&'a String]) -> Option<&'n &'a String> {
    names.first().filter(|_| names.len() == 1)
}

/// `model-0003.params` belongs to `model-symbol.json`.
fn params_prefix(name: &str) -> &str {
    let stem = name.strip_suffix(PARAMS).unwrap_or(name);
    match stem.rsplit_once('-') {
        Some((prefix, epoch)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => prefix,
        _ => stem,
    }
}

fn list(names: &[&String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => {
            let names: Vec<&str> = names.iter().take(5).map(|name| name.as_str()).collect();
            format!("only {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_epoch_of_the_same_prefix_is_taken() {
        let choose = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            weights_of("m", &names.iter().collect::<Vec<_>>()).cloned()
        };
        for (names, want) in [
            (&["m-0002.params", "m-0010.params", "m-0009.params"][..], Some("m-0010.params")),
            (&["m.params", "n-0001.params"], Some("m.params")),
            (&["weights.params"], Some("weights.params")),
            (&["n-0001.params", "o-0001.params"], None),
            (&["m-best.params", "m-0000.params"], Some("m-0000.params")),
            (&[], None),
        ] {
            assert_eq!(choose(names).as_deref(), want, "{names:?}");
        }
        assert_eq!(params_prefix("a-b-0012.params"), "a-b");
        assert_eq!(params_prefix("a-b.params"), "a-b");
    }
}
