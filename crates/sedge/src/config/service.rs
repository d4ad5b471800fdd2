//! `[[service]]`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sedge_greengrass::group::Algorithm;
use sedge_greengrass::models;
use sedge_package::{Origin, service_name};
use serde::Deserialize;
use toml::{Table, Value};

use super::Publish;
use crate::overrides::{Override, leaves};

/// One service.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceConfig {
    /// Name; by default made from the model's file name.
    pub(crate) name: Option<String>,
    /// Model file, package directory or archive, or an address: see [`ServiceConfig::address`].
    pub(crate) model: PathBuf,
    /// Checksum of the model's file or archive, 64 hex digits.
    pub(crate) sha256: Option<String>,
    /// Engine, `auto` by default.
    pub(crate) engine: Option<String>,
    /// Where it computes: `cpu`.
    pub(crate) device: String,
    /// Threads of one inference.
    pub(crate) threads: Option<usize>,
    /// Requests that run side by side.
    pub(crate) instances: Option<usize>,
    /// Requests that may wait.
    pub(crate) queue: Option<usize>,
    /// Most milliseconds between admission and answer.
    pub(crate) timeout_ms: Option<u64>,
    /// Milliseconds after that until a worker is ended.
    pub(crate) grace_ms: u64,
    /// Most memory of the worker, in MiB.
    pub(crate) memory_mib: Option<u64>,
    /// What a failure of the model ends.
    pub(crate) isolation: Isolation,
    /// When the model is loaded.
    pub(crate) start: Start,
    /// Requests that are computed at once.
    pub(crate) max_batch: usize,
    /// Most milliseconds that a request waits for others.
    pub(crate) batch_wait_ms: u64,
    /// Seconds between two looks for a new version; 0: never.
    pub(crate) update_every_s: u64,
    /// Labels file.
    pub(crate) labels: Option<PathBuf>,
    /// Output index of the first label.
    pub(crate) label_offset: Option<i64>,
    /// Who prepared pictures for models that do not say how.
    pub(crate) preset: Option<Preset>,
    /// Overrides of the first input's keys of `model.toml`.
    pub(crate) input: Table,
    /// Overrides of the decoder's keys of `model.toml`.
    pub(crate) decoder: Table,
    /// When an update is undone by itself.
    pub(crate) rollback: Option<Rollback>,
    /// Names of the configurations that take its samples.
    pub(crate) feedback: Vec<String>,
    /// What is published of its predictions.
    pub(crate) publish: Option<Publish>,
    /// How it prepares pictures where its model does not say: of a connector, no key of its own.
    #[serde(skip)]
    pub(crate) customs: Vec<Override>,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            name: None,
            model: PathBuf::new(),
            sha256: None,
            engine: None,
            device: "cpu".into(),
            threads: None,
            instances: None,
            queue: None,
            timeout_ms: None,
            grace_ms: 5000,
            memory_mib: None,
            isolation: Isolation::Process,
            start: Start::Now,
            max_batch: 1,
            batch_wait_ms: 0,
            update_every_s: 0,
            labels: None,
            label_offset: None,
            preset: None,
            input: Table::new(),
            decoder: Table::new(),
            rollback: None,
            feedback: Vec::new(),
            publish: None,
            customs: Vec::new(),
        }
    }
}

/// What a failure of a model ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    /// A process of its own.
    Process,
    /// Everything: it computes in Sedge's own.
    Thread,
}

/// How pictures are prepared where the model's own files do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Preset {
    /// As the connectors for image classification did.
    GreengrassImageClassification,
    /// As those for object detection did.
    GreengrassObjectDetection,
}

impl Preset {
    /// The value of `preset` for a connector's algorithm, and the connector's name.
    pub(crate) fn of(algorithm: Algorithm) -> (&'static str, &'static str) {
        match algorithm {
            Algorithm::ImageClassification => {
                ("greengrass-image-classification", "ImageClassification")
            }
            Algorithm::ObjectDetection => ("greengrass-object-detection", "ObjectDetection"),
        }
    }

    fn settings(self, service: &str) -> Vec<Override> {
        let algorithm = match self {
            Self::GreengrassImageClassification => Algorithm::ImageClassification,
            Self::GreengrassObjectDetection => Algorithm::ObjectDetection,
        };
        models::settings(Self::of(algorithm).1, service, algorithm)
    }
}

/// When a model is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Start {
    /// When Sedge starts.
    Now,
    /// With the first request.
    FirstUse,
}

/// `[service.rollback]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Rollback {
    /// Seconds after an update in which it is watched.
    pub(crate) window_s: u64,
    /// Fraction of requests that may fail meanwhile.
    pub(crate) max_error_rate: f64,
    /// How many times as long as before a request may take, at the median.
    pub(crate) max_latency_ratio: f64,
}

impl Default for Rollback {
    fn default() -> Self {
        Self { window_s: 600, max_error_rate: 0.1, max_latency_ratio: 2.0 }
    }
}

impl ServiceConfig {
    /// The model's address (`https://`, `s3://`, an ARN), where it is no path.
    pub(crate) fn address(&self) -> Option<&str> {
        let text = self.model.to_str()?;
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let url = scheme.is_some_and(|scheme| scheme.bytes().all(|b| b.is_ascii_alphanumeric()));
        (url || text.starts_with("arn:")).then_some(text)
    }

    /// The same with relative paths made to start at a directory.
    pub(super) fn based(mut self, base: &Path) -> Self {
        if self.address().is_none() {
            self.model = base.join(&self.model);
        }
        self.labels = self.labels.map(|labels| base.join(labels));
        self
    }

    /// What clients call it: its name, else one made from the model's.
    pub(crate) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| service_name(&self.model))
    }

    /// The settings of the model that this section overrides.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let mut all = self.customs.clone();
        all.extend(self.preset.into_iter().flat_map(|preset| preset.settings(&self.name())));
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    #[test]
    fn sections_become_overrides() {
        let text = "[[service]]\nname = 'cats'\nmodel = 'm'\ninput = { mean = [1.0] }\n\
                    [service.decoder]\nkind = 'grid'\nnms = { iou_threshold = 0.5 }";
        let config = parse(text, Path::new("")).unwrap();
        let keys: Vec<_> = config.service[0].overrides().into_iter().map(|(key, ..)| key).collect();
        assert_eq!(keys, ["input.0.mean", "decoder.kind", "decoder.nms.iou_threshold"]);
    }

    #[test]
    fn an_address_is_no_path() {
        for (model, address) in [
            ("s3://bucket/m", true),
            ("https://h/m", true),
            ("arn:aws:sagemaker:eu-west-1:123456789012:training-job/j", true),
            ("a/b", false),
            ("./c d://m", false),
        ] {
            let config = parse(&format!("[[service]]\nmodel = '{model}'"), Path::new("")).unwrap();
            assert_eq!(config.service[0].address().is_some(), address, "{model}");
        }
    }
}
