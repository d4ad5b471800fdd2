//! Groups of Greengrass V1: what the command line says of them, and what is served of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueHint};
use sedge_greengrass::group::{Group, Options, Reading, Report, Severity, read_files};
use sedge_greengrass::models;

use crate::config::{Greengrass, ServiceConfig};

mod bringing;
mod running;

pub(crate) use running::Running;

/// What is said about definitions beside their files.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Definitions {
    /// Value of a template's parameter, of AWS::Region and its like, or of Resource.Attribute;
    /// repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    parameter: Vec<(String, String)>,
    /// Directory with the code of the group's functions [default: lambda in the root]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) lambda_dir: Option<PathBuf>,
}

/// A name and its value.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("there is no '='; write NAME=VALUE".to_owned()),
    }
}

impl Definitions {
    /// Reads a group and tells what is wrong or odd.
    pub(crate) fn read(&self, files: &[PathBuf]) -> Reading {
        let mut parameters: BTreeMap<String, String> = self.parameter.iter().cloned().collect();
        // Where the device already knows its region, a template need not be told.
        let known =
            ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
        if let Some(region) = known {
            parameters.entry("AWS::Region".to_owned()).or_insert(region);
        }
        read_files(files, &Options { parameters, ..Options::default() })
    }

    /// The flags that say the same once more, each after a blank.
    fn flags(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "=:./_-".contains(c);
        let parameters = self.parameter.iter().map(|(name, value)| {
            let text = format!("{name}={value}");
            match text.chars().all(plain) {
                true => format!(" --parameter {text}"),
                // As a shell reads it.
                false => format!(" --parameter '{}'", text.replace('\'', r"'\''")),
            }
        });
        parameters.collect()
    }
}

/// A group as the command line names it.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupFlags {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) definitions: Definitions,
}

impl GroupFlags {
    /// Reads the group, if one is named. What is odd in it is logged.
    pub(crate) fn read(&self) -> Result<Option<Group>> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let Reading { group, report } = self.definitions.read(&self.files);
        refuse(&report, &self.files, &self.definitions)?;
        for problem in report.of(Severity::Warning) {
            tracing::warn!("{problem}");
        }
        Ok(Some(group))
    }

    /// The same, or what a configuration says where the command line says nothing.
    pub(crate) fn or(mut self, settings: &Greengrass) -> Self {
        if self.files.is_empty() {
            self.files.clone_from(&settings.group);
        }
        let given = &mut self.definitions.parameter;
        // What stands there was checked when the configuration was read.
        for (name, value) in settings.parameters.iter().filter_map(|text| parameter(text).ok()) {
            if !given.iter().any(|(known, _)| *known == name) {
                given.push((name, value));
            }
        }
        self
    }

    /// The same for whoever stands elsewhere.
    pub(crate) fn absolute(mut self) -> Result<Self> {
        for path in self.files.iter_mut().chain(&mut self.definitions.lambda_dir) {
            *path = std::path::absolute(&*path)?;
        }
        Ok(self)
    }
}

/// Fails when a group has errors, with the first of them.
pub(crate) fn refuse(report: &Report, files: &[PathBuf], definitions: &Definitions) -> Result<()> {
    let errors: Vec<_> = report.of(Severity::Error).collect();
    match errors.as_slice() {
        [] => Ok(()),
        [one] => bail!("{one}"),
        [first, rest @ ..] => {
            let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            bail!(
                "the group has {} errors, the first: {first} Hint: `sedge greengrass check {}{}` \
                 tells them all",
                rest.len() + 1 + report.left_out,
                names.join(" "),
                definitions.flags()
            )
        }
    }
}

/// The services of a group's connectors, as sections of a configuration.
pub(crate) fn sections(group: &Group) -> Vec<ServiceConfig> {
    let services = models::services(group).services.into_iter();
    let section = |service: models::ConnectorService| ServiceConfig {
        name: Some(service.name),
        model: service.source.to_string().into(),
        timeout_ms: Some(u64::try_from(service.timeout.as_millis()).unwrap_or(u64::MAX)),
        memory_mib: Some(service.memory_bytes.div_ceil(1 << 20)),
        customs: service.settings,
        ..ServiceConfig::default()
    };
    services.map(section).collect()
}
