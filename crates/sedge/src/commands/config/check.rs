use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use sedge_greengrass::group::{Reading, Severity};
use sedge_package::TrustList;
use serde_json::{Value, json};

use crate::commands::{Format, OUTPUT};
use crate::config::{Config, Isolation, Problem, ServiceConfig, Start};
use crate::greengrass::{self, GroupFlags};
use crate::table::{self, Align};

const EXAMPLES: &str = "\
Examples:
  sedge config check /etc/sedge/sedge.toml
  sedge config check sedge.toml --format json | jq '.problems[].hint'

Exit codes:
  0  it is right; files that it names and that are not here are told, and no error
  1  something is wrong in it, or it cannot be read
  2  the command line was not understood";

/// Tell what is wrong in a configuration file, each with line, key and hint
///
/// Loads no model: `sedge doctor --config FILE` does.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Check {
    /// Configuration file (TOML)
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let file = self.file.display().to_string();
        let mut is_right = true;
        let (problems, found) = match Config::checked(&self.file)? {
            Ok(mut config) => {
                is_right = take_group(&mut config);
                let names = config.service.iter().map(ServiceConfig::name).collect::<Vec<_>>();
                (Vec::new(), Some((config, names)))
            }
            Err(problems) => (problems, None),
        };
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Table => match &found {
                None => {
                    let lines = problems.iter().map(|problem| in_lines(&file, problem));
                    write!(out, "{}", lines.collect::<String>())
                }
                Some((config, names)) => write!(out, "{}", summary(config, names)),
            },
            format => {
                let services = found.iter().flat_map(|(config, names)| {
                    names.iter().zip(&config.service).map(|(name, service)| as_json(name, service))
                });
                let services: Vec<Value> = services.collect();
                let problem = |p: &Problem| {
                    json!({"line": p.line, "key": p.key, "problem": p.problem, "hint": p.hint})
                };
                let problems: Vec<Value> = problems.iter().map(problem).collect();
                let document = json!({
                    "file": file,
                    "right": found.is_some() && is_right,
                    "problems": problems,
                    "services": services,
                });
                match format {
                    Format::Json => writeln!(out, "{document:#}"),
                    _ => writeln!(out, "{document}"),
                }
            }
        }
        .context(OUTPUT)?;
        if let Some((config, _)) = &found {
            missing(config).for_each(|path| {
                crate::say("warning", &format!("{} is not here", path.display()));
            });
        }
        Ok(if found.is_some() && is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Adds the services of the group that the configuration names, and tells what is wrong or odd in
/// it; false when it could not be served. Files that are not here may be on the device.
fn take_group(config: &mut Config) -> bool {
    let files = &config.greengrass.group;
    if files.is_empty() || files.iter().any(|file| !file.exists()) {
        return true;
    }
    let group = GroupFlags::default().or(&config.greengrass);
    let Reading { group, report } = group.definitions.read(&group.files);
    for problem in &report.problems {
        let word = if problem.severity == Severity::Error { "error" } else { "warning" };
        crate::say(word, &problem.to_string());
    }
    config.service.extend(greengrass::sections(&group));
    !report.has_errors()
}

/// `FILE:LINE: KEY: PROBLEM`, and the hint on a line of its own.
fn in_lines(file: &str, problem: &Problem) -> String {
    let Problem { line, key, problem, hint } = problem;
    let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
    let first = format!("{file}:{line}: {key}{problem}");
    let hint = hint.as_ref().map(|hint| format!("  Hint: {}\n", table::printable(hint)));
    format!("{}\n{}", table::printable(&first), hint.unwrap_or_default())
}

/// Files that the configuration names and that are not here.
fn missing(config: &Config) -> impl Iterator<Item = &Path> {
    let keys = config.trust.keys.iter().filter(|key| !TrustList::is_inline(key)).map(Path::new);
    let services = config.service.iter().flat_map(|service| {
        let model = service.address().is_none().then_some(service.model.as_path());
        model.into_iter().chain(service.labels.as_deref())
    });
    let files = [&config.download.ca_file, &config.s3.secret_access_key_file];
    let files = files.into_iter().flatten().chain(&config.greengrass.group).map(PathBuf::as_path);
    keys.chain(files).chain(services).filter(|path| !path.exists())
}

fn isolation(service: &ServiceConfig) -> &'static str {
    match service.isolation {
        Isolation::Process => "process",
        Isolation::Thread => "thread",
    }
}

fn as_json(name: &str, service: &ServiceConfig) -> Value {
    json!({
        "name": name,
        "model": service.model,
        "isolation": isolation(service),
        "start": if service.start == Start::Now { "now" } else { "first-use" },
        "threads": service.threads,
        "instances": service.instances,
        "queue": service.queue,
        "timeout_ms": service.timeout_ms,
        "memory_mib": service.memory_mib,
        "update_every_s": service.update_every_s,
    })
}

/// What will be served, and within which limits.
fn summary(config: &Config, names: &[String]) -> String {
    if names.is_empty() {
        let group = if config.greengrass.group.is_empty() {
            "no [[service]] yet, so that nothing is served"
        } else {
            "neither a [[service]] nor a connector of the group serves a model"
        };
        return format!("right; {group}\n");
    }
    let limits = sedge_service::Limits::default();
    let head = ["service", "model", "isolation", "start", "queue", "timeout ms", "memory MiB"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for (name, service) in names.iter().zip(&config.service) {
        let start = if service.start == Start::Now { "now" } else { "first-use" };
        rows.push(vec![
            name.clone(),
            service.model.display().to_string(),
            isolation(service).to_owned(),
            start.to_owned(),
            service.queue.unwrap_or(limits.queue).to_string(),
            service.timeout_ms.unwrap_or(limits.timeout_ms).to_string(),
            service.memory_mib.map_or("-".into(), |mib| mib.to_string()),
        ]);
    }
    let (left, right) = (Align::Left, Align::Right);
    let table = table::lines(&rows, &[left, left, left, left, right, right, right], "");
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{table}right: {} service{plural}\n", names.len())
}
