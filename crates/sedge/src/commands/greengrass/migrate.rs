use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueHint};
use sedge_greengrass::group::{
    Connector, Group, Inference, Parameters, Reading, ResourceData, Severity,
};
use sedge_greengrass::models;
use toml::Value;

use crate::commands::OUTPUT;
use crate::config::{self, Preset, ServiceConfig};
use crate::greengrass::{self, Definitions};

const EXAMPLES: &str = "\
Examples:
  sedge greengrass migrate group.json -o sedge.toml
  sedge greengrass migrate definitions/ | less

Exit codes:
  0  written
  1  something is wrong in the group, or the file is there already
  2  the command line was not understood";

/// Columns of a comment.
const COLUMNS: usize = 100;

/// Write the configuration that serves a group's connectors without Greengrass
///
/// Each inference connector becomes a service; comments say what changes, and what is left out.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Migrate {
    /// Files with definitions, or directories of them
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    definitions: Definitions,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

impl Migrate {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Reading { group, report } = self.definitions.read(&self.file);
        greengrass::refuse(&report, &self.file, &self.definitions)?;
        for problem in report.of(Severity::Warning) {
            crate::say("warning", &problem.to_string());
        }
        let text = written(&group, &self.file)?;
        let Some(path) = &self.output else {
            std::io::stdout().write_all(text.as_bytes()).context(OUTPUT)?;
            return Ok(ExitCode::SUCCESS);
        };
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::AlreadyExists => " Hint: give another name, or move it away",
                _ => "",
            };
            anyhow!(error).context(format!("cannot write {}.{hint}", path.display()))
        })?;
        let shown = path.display();
        crate::say("note", &format!("{shown} is written. Hint: `sedge config check {shown}`"));
        Ok(ExitCode::SUCCESS)
    }
}

/// The configuration, which is one.
fn written(group: &Group, files: &[PathBuf]) -> Result<String> {
    let mut text = String::new();
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    comment(&mut text, &format!("Made by `sedge greengrass migrate {}`.", names.join(" ")));
    comment(
        &mut text,
        "It serves the models of the group's connectors over HTTP, for clients of SageMaker Runtime \
         and of the Open Inference Protocol. Functions written for the machine-learning SDK of \
         Greengrass need `sedge serve --group` instead, which reads the definitions as they are.",
    );
    let served = models::services(group);
    for (section, service) in greengrass::sections(group).iter().zip(served.services) {
        let connector = group.connectors.iter().find(|known| known.id == service.connector);
        text.push('\n');
        if let Some(connector) = connector {
            service_of(&mut text, connector, section, group);
        }
    }
    for unserved in &served.unserved {
        text.push('\n');
        comment(&mut text, &format!("Left out: {}", unserved.error));
    }
    text.push('\n');
    left_out(&mut text, group);
    if let Err(problems) = config::parse(&text, Path::new("")) {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        return Err(anyhow!("the group makes no configuration: {first}"));
    }
    Ok(text)
}

fn service_of(text: &mut String, connector: &Connector, section: &ServiceConfig, group: &Group) {
    let Parameters::Inference(inference) = &connector.parameters else { return };
    comment(
        text,
        &format!(
            "The connector '{}', {} version {}.",
            connector.id, connector.arn.name, connector.arn.version
        ),
    );
    let name = section.name();
    let call = format!(
        "POST /endpoints/{name}/invocations answers as the connector did, for clients over HTTP."
    );
    comment(text, &call);
    text.push_str("[[service]]\n");
    key(text, "name", name.as_str());
    key(text, "model", section.model.display().to_string());
    comment(
        text,
        "It is looked at when Sedge starts or is told to, as at a deployment; 0 is never.",
    );
    key(text, "update_every_s", 0);
    if let Some(ms) = section.timeout_ms {
        key(text, "timeout_ms", i64::try_from(ms).unwrap_or(i64::MAX));
    }
    if let Some(mib) = section.memory_mib {
        let kb = inference.memory_bytes / 1024;
        comment(text, &format!("Changed: mebibytes, rounded up; the connector had {kb} KB."));
        key(text, "memory_mib", i64::try_from(mib).unwrap_or(i64::MAX));
    }
    let prepared = section.customs.iter();
    let prepared = prepared.filter_map(|(path, value, _)| {
        Some(format!("{} = {value}", path.strip_prefix("input.0.")?))
    });
    let prepared = prepared.collect::<Vec<_>>().join(", ");
    comment(
        text,
        &format!(
            "Pictures are prepared as the connector did where neither the model's files nor a \
             model.toml beside them say otherwise: {prepared}. What a [service.input] says goes \
             before all of that."
        ),
    );
    key(text, "preset", Preset::of(inference.algorithm).0);
    for (note, told) in notes(inference, group) {
        if told {
            comment(text, note);
        }
    }
}

/// What is lost of a connector, and whether it had it.
fn notes(inference: &Inference, group: &Group) -> [(&'static str, bool); 2] {
    let owned = group.resources.iter().any(|resource| {
        resource.id == inference.resource
            && matches!(resource.data, ResourceData::Model { owner: Some(_), .. })
    });
    [
        (
            "Left out: samples for the connector MLFeedback. They need `sedge serve --group`.",
            inference.feedback.is_some(),
        ),
        ("Left out: OwnerSetting of the model's resource; only functions see its files.", owned),
    ]
}

/// What a configuration of services has no place for.
fn left_out(text: &mut String, group: &Group) {
    let others: Vec<String> = group
        .connectors
        .iter()
        .filter(|connector| !matches!(connector.parameters, Parameters::Inference(_)))
        .map(|connector| format!("connector {} ({})", connector.id, connector.arn.name))
        .collect();
    let functions = group.functions.iter().map(|function| format!("function {}", function.id));
    let used = |id: &str| {
        group.connectors.iter().any(|connector| match &connector.parameters {
            Parameters::Inference(inference) => inference.resource == id,
            _ => false,
        })
    };
    let resources = group.resources.iter().filter(|resource| !used(&resource.id));
    let resources = resources.map(|resource| format!("resource {}", resource.id));
    let mut all: Vec<String> = others.into_iter().chain(functions).chain(resources).collect();
    for (count, kind) in
        [(group.subscriptions.len(), "subscriptions"), (group.loggers.len(), "loggers")]
    {
        if count > 0 {
            all.push(format!("{count} {kind}"));
        }
    }
    if all.is_empty() {
        return comment(text, "Nothing of the group is left out.");
    }
    comment(
        text,
        &format!(
            "Left out, as `sedge serve --group` alone has a place for it: {}.",
            all.join(", ")
        ),
    );
}

fn key(text: &mut String, name: &str, value: impl Into<Value>) {
    let _ = writeln!(text, "{name} = {}", value.into());
}

/// Words in lines of a comment. What comes from outside stays on its line.
fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.extend(word.chars().filter(|c| !c.is_control()));
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use sedge_greengrass::group::{Options, read_files};

    /// What was a comment once did not hold: detection without a size answered nothing.
    #[test]
    fn what_is_written_prepares_pictures_as_the_connector_does() {
        for name in ["classification", "detection"] {
            let file =
                format!("{}/../../testdata/greengrass/{name}.json", env!("CARGO_MANIFEST_DIR"));
            let group = read_files(&[file.into()], &Options::default()).group;
            let written = config::parse(&written(&group, &[]).unwrap(), Path::new("")).unwrap();
            let said = |service: &ServiceConfig| {
                let all = service.overrides().into_iter();
                // Whose they are decides what goes before them.
                all.map(|(key, value, origin)| {
                    (key, value, matches!(origin, sedge_package::Origin::Custom(_)))
                })
                .collect::<Vec<_>>()
            };
            let connector = greengrass::sections(&group);
            assert_eq!(connector.len(), 1);
            assert_eq!(said(&written.service[0]), said(&connector[0]), "{name}");
            assert!(said(&connector[0]).iter().all(|(.., custom)| *custom));
        }
    }
}
