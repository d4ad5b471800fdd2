//! The configuration file of `sedge serve --config`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sedge_package::{Origin, nearest_key};
use serde::Deserialize;
use toml::{Table, Value};

use crate::overrides::{Override, leaves};
use crate::ranges;

/// `sedge.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Address of the HTTP server.
    pub(crate) listen: Option<String>,
    /// Largest request body in MiB.
    pub(crate) max_body_mib: Option<u64>,
    /// Largest picture that is decoded, in megapixels.
    pub(crate) max_megapixels: Option<u64>,
    /// Whether there is a page at `/`, and `/api/v1`; there is by default.
    pub(crate) page: Option<bool>,
    /// Public host names under which browsers may open the page.
    pub(crate) page_hosts: Vec<String>,
    /// The services.
    pub(crate) service: Vec<ServiceConfig>,
}

/// `[[service]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceConfig {
    /// Name; by default made from the model's file name.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Model file, package directory or archive; relative to the configuration file.
    pub(crate) model: PathBuf,
    /// Engine, `auto` by default.
    #[serde(default)]
    pub(crate) engine: Option<String>,
    /// Threads of one inference.
    #[serde(default)]
    pub(crate) threads: Option<usize>,
    /// Requests that run side by side.
    #[serde(default)]
    pub(crate) instances: Option<usize>,
    /// Requests that may wait.
    #[serde(default)]
    pub(crate) queue: Option<usize>,
    /// Most milliseconds between admission and answer.
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
    /// Labels file, relative to the configuration file.
    #[serde(default)]
    pub(crate) labels: Option<PathBuf>,
    /// Output index of the first label.
    #[serde(default)]
    pub(crate) label_offset: Option<i64>,
    /// Overrides of the first input's keys of `model.toml`.
    #[serde(default)]
    pub(crate) input: Table,
    /// Overrides of the decoder's keys of `model.toml`.
    #[serde(default)]
    pub(crate) decoder: Table,
}

impl Config {
    /// Reads a configuration file; paths in it are relative to it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut config = Self::parse(&text).with_context(|| path.display().to_string())?;
        let base = path.parent().unwrap_or(Path::new(""));
        for service in &mut config.service {
            service.model = base.join(&service.model);
            service.labels = service.labels.take().map(|labels| base.join(labels));
        }
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| explain(&error))?;
        config.check_ranges().map_err(anyhow::Error::msg)?;
        Ok(config)
    }

    fn check_ranges(&self) -> Result<(), String> {
        ranges::MAX_BODY_MIB.check(self.max_body_mib)?;
        ranges::MAX_MEGAPIXELS.check(self.max_megapixels)?;
        for service in &self.service {
            let count = |value: Option<usize>| value.map(|value| value as u64);
            ranges::THREADS.check(count(service.threads))?;
            ranges::INSTANCES.check(count(service.instances))?;
            ranges::QUEUE.check(count(service.queue))?;
            ranges::TIMEOUT_MS.check(service.timeout_ms)?;
        }
        Ok(())
    }
}

impl ServiceConfig {
    /// The settings of the model that this section overrides.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let mut all = Vec::new();
        let mut say = |key: String, value: Value| {
            let origin = Origin::Configuration(key.clone());
            all.push((key, value, origin));
        };
        if let Some(labels) = &self.labels {
            say("model.labels".into(), labels.display().to_string().into());
        }
        if let Some(offset) = self.label_offset {
            say("model.label_offset".into(), offset.into());
        }
        for (section, table) in [("input.0", &self.input), ("decoder", &self.decoder)] {
            leaves(section, Value::Table(table.clone()), &mut say);
        }
        all
    }
}

/// Turns "unknown field `x`, expected one of ..." into a hint with the nearest key.
fn explain(error: &toml::de::Error) -> anyhow::Error {
    let message = error.to_string();
    let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((field, known)) if error.message().starts_with("unknown field") => {
            let near = nearest_key(field, known.iter().copied());
            let hint = near.map_or_else(
                || format!("known keys: {}", known.join(", ")),
                |near| format!("did you mean '{near}'?"),
            );
            anyhow::anyhow!("{message} Hint: {hint}")
        }
        _ => anyhow::anyhow!(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_become_overrides() {
        let text = "[[service]]\nname = 'cats'\nmodel = 'm'\ninput = { mean = [1.0] }\n\
                    [service.decoder]\nkind = 'grid'\nnms = { iou_threshold = 0.5 }";
        let config = Config::parse(text).unwrap();
        let keys: Vec<_> = config.service[0].overrides().into_iter().map(|(key, ..)| key).collect();
        assert_eq!(keys, ["input.0.mean", "decoder.kind", "decoder.nms.iou_threshold"]);
    }

    #[test]
    fn mistakes_get_a_hint() {
        for (text, word) in [
            ("[[service]]\nmodel = 'm'\ntimeuot_ms = 1", "timeout_ms"),
            ("[service]\nmodel = 'm'", "service"),
            ("[[service]]\nname = 'x'", "model"),
            ("[[service]]\nmodel = 'm'\nqueue = 0", "queue takes whole numbers from 1"),
            ("max_body_mib = 0\n[[service]]\nmodel = 'm'", "max_body_mib = 0"),
        ] {
            let message = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(message.contains(word), "{message}");
        }
    }

    /// `packaging/sedge.toml` is the documentation of every key.
    #[test]
    fn the_packaged_file_is_whole_and_true() {
        let packaged = include_str!("../../../packaging/sedge.toml");
        assert!(Config::parse(packaged).unwrap().service.is_empty());

        let commented_out = |line: &str| line.starts_with('#') && !line.starts_with("# ");
        let lines = packaged.lines().map(|line| match commented_out(line) {
            true => &line[1..],
            false => line,
        });
        let all = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(Config::parse(&all).unwrap().service.len(), 1);
        for section in ["", "[[service]]\nmodel = 'm'\n"] {
            let error = toml::from_str::<Config>(&format!("{section}nobody = 1")).unwrap_err();
            let keys: Vec<_> = error.message().split('`').skip(3).step_by(2).collect();
            assert!(keys.len() > 2, "{error}");
            for key in keys {
                let named =
                    |line: &str| line == "[[service]]" || line.starts_with(&format!("{key} = "));
                assert!(all.lines().any(named), "{key} is not in packaging/sedge.toml");
            }
        }
    }
}
