use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use sedge_greengrass::code;
use sedge_greengrass::group::{Group, Parameters, Problem, Reading, Report, Severity};
use sedge_greengrass::local;
use serde_json::{Value, json};

use crate::commands::{Format, OUTPUT};
use crate::greengrass::Definitions;
use crate::root;
use crate::table::{self, Align};

const EXAMPLES: &str = "\
Examples:
  sedge greengrass check group.json
  sedge greengrass check connectors.json functions.json resources.json
  sedge greengrass check definitions/ --lambda-dir /greengrass/ggc/deployment/lambda
  sedge greengrass check template.json --parameter AWS::Region=eu-west-1
  sedge greengrass check group.json --format json | jq '.problems[].hint'

Exit codes:
  0  the group can be used; what is odd in it is told
  1  something is wrong in it
  2  the command line was not understood";

/// Tell all that is wrong or odd in a group's definitions, each with path, rule and hint
///
/// Reads bundles, single definitions as the AWS CLI takes and prints them, CloudFormation templates
/// in JSON or YAML, and group.json of a core. Also looks for the code of functions, and for the devices and
/// directories that they use.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Check {
    /// Files with definitions, or directories of them
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    definitions: Definitions,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Reading { mut group, mut report } = self.definitions.read(&self.file);
        self.code(&mut group, &mut report)?;
        local::missing(&group).into_iter().for_each(|problem| report.push(problem));
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Table => write!(out, "{}{}", problems(&report), summary(&group, &report)),
            Format::Json => writeln!(out, "{:#}", as_json(&group, &report)),
            Format::Jsonl => writeln!(out, "{}", as_json(&group, &report)),
        }
        .context(OUTPUT)?;
        Ok(if report.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Looks for the code of functions, in a directory that is named or there.
    fn code(&self, group: &mut Group, report: &mut Report) -> Result<()> {
        let by_custom = root::choose(None, None).join("lambda");
        let named = self.definitions.lambda_dir.as_deref();
        let Some(directory) = named.or_else(|| by_custom.is_dir().then_some(&by_custom)) else {
            return Ok(());
        };
        let unpacked = tempfile::tempdir().context("cannot make a directory for archives")?;
        let (_, problems) = code::find_all(group, directory, unpacked.path());
        problems.into_iter().for_each(|problem| report.push(problem));
        Ok(())
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Two lines for each: what and where, and what to do.
fn problems(report: &Report) -> String {
    let mut text = String::new();
    let mut all: Vec<&Problem> = report.problems.iter().collect();
    all.sort_by_key(|problem| problem.severity);
    for problem in all {
        let Problem { severity, file, path, value, rule, hint } = problem;
        let mut place = file.clone();
        if !path.is_empty() {
            place = format!("{place}: {path}");
        }
        let value = if value.is_empty() { String::new() } else { format!(" = {value}") };
        let first = format!("{}: {place}{value}", word(*severity));
        for (indent, line) in [("", first.as_str()), ("  ", rule), ("  Hint: ", hint)] {
            if !line.is_empty() {
                text.push_str(&format!("{indent}{}\n", table::printable(line)));
            }
        }
    }
    if report.left_out > 0 {
        text.push_str(&format!("and {} more\n", report.left_out));
    }
    text
}

/// What the group consists of, in a table, and how it stands.
fn summary(group: &Group, report: &Report) -> String {
    let mut rows = vec![["kind", "id", "what it is"].map(String::from).to_vec()];
    let mut row = |kind: &str, id: &str, what: String| {
        rows.push(vec![kind.to_owned(), id.to_owned(), what]);
    };
    for connector in &group.connectors {
        let what = match &connector.parameters {
            Parameters::Inference(inference) => format!(
                "{} {}, service {}",
                connector.arn.name, connector.arn.version, inference.service
            ),
            _ => format!("{} {}", connector.arn.name, connector.arn.version),
        };
        row("connector", &connector.id, what);
    }
    for function in &group.functions {
        let kind = if function.pinned { "long-lived" } else { "on demand" };
        let handler = function.handler.as_deref().unwrap_or("handler not said");
        row("function", &function.id, format!("{}, {kind}, {handler}", function.arn.name));
    }
    for resource in &group.resources {
        row("resource", &resource.id, resource.data.type_name().to_owned());
    }
    let (subscriptions, loggers) = (group.subscriptions.len(), group.loggers.len());
    let table = match rows.len() {
        1 => String::new(),
        _ => table::lines(&rows, &[Align::Left; 3], ""),
    };
    let count = |severity| report.of(severity).count();
    format!(
        "{table}{subscriptions} subscriptions, {loggers} loggers: {} errors, {} warnings\n",
        count(Severity::Error) + report.left_out,
        count(Severity::Warning)
    )
}

fn as_json(group: &Group, report: &Report) -> Value {
    let connectors = group
        .connectors
        .iter()
        .map(|connector| json!({"id": connector.id, "arn": connector.arn.to_string()}));
    let functions = group.functions.iter().map(|function| {
        json!({
            "id": function.id,
            "arn": function.arn.to_string(),
            "handler": function.handler,
            "pinned": function.pinned,
        })
    });
    let resources = group
        .resources
        .iter()
        .map(|resource| json!({"id": resource.id, "type": resource.data.type_name()}));
    json!({
        "right": !report.has_errors(),
        "problems": report.problems,
        "left_out": report.left_out,
        "group": {
            "id": group.id,
            "name": group.name,
            "core_thing": group.core_thing,
            "connectors": connectors.collect::<Vec<_>>(),
            "functions": functions.collect::<Vec<_>>(),
            "resources": resources.collect::<Vec<_>>(),
            "subscriptions": group.subscriptions.len(),
            "loggers": group.loggers.len(),
        },
    })
}
