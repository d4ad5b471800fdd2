//! Models as they load here: the one that is named, and those of a configuration.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use sedge_package::{Incomplete, Package};
use sedge_service::{LoadOptions, replay};
use serde_json::{Value, json};

use super::{Context, Finding, State};
use crate::apart;
use crate::config::{Config, ServiceConfig};
use crate::overrides::Override;

/// What to do about an error without a hint of its own.
const INSPECT: &str = "sedge model inspect MODEL shows what the file says about itself";
const NAME_ANOTHER: &str = "check the path, or name another file";
const CORRECT: &str = "`sedge config check FILE` tells everything that is wrong in it";

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    const AREA: &str = "model";
    let Some(path) = &context.model else { return Vec::new() };
    let mut findings = Vec::new();
    match load(path, &[], "auto") {
        Ok(loaded) => loaded.tell(AREA, "", &mut findings),
        Err(error) => findings.push(failed(AREA, "loads", &error, INSPECT)),
    }
    findings
}

pub(super) fn probe_config(context: &Context) -> Vec<Finding> {
    const AREA: &str = "configuration";
    let Some(path) = &context.config else { return Vec::new() };
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(error) => return vec![failed(AREA, "file", &error, CORRECT)],
    };
    let (services, shown) = (config.service.len(), path.display());
    let plural = if services == 1 { "" } else { "s" };
    let value = format!("{shown}: {services} service{plural}");
    let mut findings = vec![Finding::ok(AREA, "file", value).with(json!({"services": services}))];
    for section in &config.service {
        let name = section.name();
        match load_section(section) {
            Ok(loaded) => loaded.tell(AREA, &format!("{name}: "), &mut findings),
            Err(error) => findings.push(failed(AREA, name, &error, INSPECT)),
        }
    }
    findings
}

fn load_section(section: &ServiceConfig) -> Result<Loaded> {
    let engine = section.engine.as_deref().unwrap_or("auto");
    load(&section.model, &section.overrides(), engine)
}

/// What was loaded, for people and for programs.
struct Loaded {
    value: String,
    data: Value,
    incomplete: Option<Incomplete>,
    golden: Option<(usize, Vec<String>)>,
}

fn load(path: &Path, overrides: &[Override], engine: &str) -> Result<Loaded> {
    let package = Package::open(path, overrides)?;
    let incomplete = package.pipeline().err();
    let identity = package.short_identity().to_owned();
    let (name, format, task) = (package.name.clone(), package.format.name(), package.task());
    let (root, golden) = (package.root.clone(), package.golden.clone());
    let options = LoadOptions { engine: engine.to_owned(), ..LoadOptions::default() };
    let started = Instant::now();
    // A package with golden cases stays open: an unpacked archive lives as long as it does.
    let (runner, _package) = if golden.is_empty() {
        (apart::load(path, package, overrides, &options)?, None)
    } else {
        let again = Package::open(&root, overrides)?;
        (apart::load(&root, again, overrides, &options)?, Some(package))
    };
    let load_ms = started.elapsed().as_millis();
    let engine = runner.info().engine.clone();
    let failures = |case| match replay(runner.as_ref(), &root, case) {
        Ok(compared) => compared.into_iter().find_map(|compared| compared.problem),
        Err(error) => Some(error.to_string()),
    };
    let replayed = (!golden.is_empty())
        .then(|| (golden.len(), golden.iter().filter_map(failures).collect::<Vec<_>>()));
    Ok(Loaded {
        value: format!("{name}@{identity}, {format}, {task}, loaded in {load_ms} ms by {engine}"),
        data: json!({
            "name": name,
            "identity": identity,
            "format": format,
            "task": task.to_string(),
            "engine": engine,
            "load_ms": load_ms as u64,
        }),
        incomplete,
        golden: replayed,
    })
}

impl Loaded {
    fn tell(self, area: &'static str, name: &str, findings: &mut Vec<Finding>) {
        findings.push(Finding::ok(area, format!("{name}loads"), self.value).with(self.data));
        if let Some(incomplete) = self.incomplete {
            let keys: Vec<_> = incomplete.missing.iter().map(|missing| &*missing.key).collect();
            let value = format!("takes raw tensors only: nobody says {}", keys.join(", "));
            let name = format!("{name}settings");
            let hint = incomplete.hint.trim_start_matches("Hint: ");
            findings.push(Finding::bad(State::Warning, area, name, value, hint));
        }
        let Some((cases, failures)) = self.golden else { return };
        let name = format!("{name}golden cases");
        let value = format!("{} of {cases} hold", cases - failures.len());
        findings.push(match failures.first() {
            None => Finding::ok(area, name, value),
            Some(failure) => {
                let hint = "the model gives other answers here than where it was made: try \
                            --engine onnxruntime, and report it";
                let value = format!("{value}: {}", one_line(failure));
                Finding::bad(State::Problem, area, name, value, hint)
            }
        });
    }
}

fn failed(
    area: &'static str,
    name: impl Into<String>,
    error: &anyhow::Error,
    hint: &str,
) -> Finding {
    let is_missing = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::NotFound;
    let missing = error.chain().any(|cause| cause.downcast_ref().is_some_and(is_missing));
    let hint = if missing { NAME_ANOTHER } else { hint };
    Finding::of_error(State::Problem, area, name, &one_line(&crate::text_of(error)), hint)
}

/// A message in one line, without the lines of source that TOML's errors quote: they may hold what
/// is nobody else's business.
fn one_line(message: &str) -> String {
    let quoted = |line: &str| {
        let line = line.trim_start();
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        digits.trim_start().starts_with('|')
    };
    let lines: Vec<_> = message.lines().filter(|line| !quoted(line)).map(str::trim).collect();
    lines.join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_do_not_quote_the_file() {
        let error = toml::from_str::<toml::Table>("a = 1\npassword = \"hunter2\n").unwrap_err();
        let message = error.to_string();
        assert!(message.contains("hunter2"), "{message}");
        let line = one_line(&message);
        assert!(!line.contains("hunter2"), "{line}");
        assert!(line.contains("line 2"), "{line}");
    }
}
