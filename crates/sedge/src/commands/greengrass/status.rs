use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use hyper::Method;
use serde_json::Value;

use crate::commands::{Format, OUTPUT};
use crate::table;
use crate::{control, root};

const EXAMPLES: &str = "\
Examples:
  sedge greengrass status                  each function: what it does, its calls, its ends
  sedge greengrass status --format json | jq '.functions[].last_error'

Exit codes:
  0  printed
  1  no server answers, or it runs no group";

/// See how a running group's functions do
///
/// What they print is in ggc/var/log/user below the root's directory greengrass, as on a core.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Status {
    /// Directory of the server [default: /var/lib/sedge, or the user's data directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    root: Option<PathBuf>,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Status {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let root = root::choose(self.root.as_deref(), None);
        let answer = control::ask(&root, Method::GET, "/api/v1/greengrass", None)?;
        if answer.is_null() {
            bail!("the server runs no group. Hint: start it with sedge serve --group FILE");
        }
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Table => write!(out, "{}", table(&answer)),
            Format::Json => writeln!(out, "{answer:#}"),
            Format::Jsonl => writeln!(out, "{answer}"),
        }
        .context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(answer: &Value) -> String {
    let functions = answer["functions"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |function: &Value| {
        let arn = function["arn"].as_str().unwrap_or_default();
        arn.split_once(":function:").map_or(arn, |(_, name)| name).to_owned()
    };
    let head = ["function", "kind", "state", "processes", "answered", "failed", "ended"];
    let row = |function: &Value| {
        let kind = if function["pinned"] == true { "long-lived" } else { "on demand" };
        let state = function["state"].as_str().unwrap_or_default();
        let counts = ["processes", "answered", "failed", "ended"];
        let counts = counts.map(|key| function[key].to_string());
        [vec![name(function), kind.to_owned(), state.to_owned()], counts.to_vec()].concat()
    };
    let mut told = match functions {
        [] => "no functions\n".to_owned(),
        _ => table::under(&head, functions.iter().map(row), 3),
    };
    for function in functions {
        if let Some(error) = function["last_error"].as_str() {
            let at = function["last_error_at"].as_str().unwrap_or("-");
            // What passed is no trouble now.
            let before = if function["state"] == "ready" { "before, " } else { "" };
            let _ = writeln!(told, "{}: {before}{at}: {}", name(function), table::printable(error));
        }
    }
    let count = |key: &str| answer[key].to_string();
    let _ = writeln!(
        told,
        "messages: {} delivered, {} without a subscription, {} not taken",
        count("delivered"),
        count("unroutable"),
        count("refused")
    );
    told
}
