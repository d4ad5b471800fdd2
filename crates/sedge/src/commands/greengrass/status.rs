use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use hyper::Method;
use serde_json::Value;

use crate::commands::{Format, OUTPUT};
use crate::table::{self, Align};
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
    let head = ["function", "kind", "state", "processes", "answered", "failed", "ended"];
    let row = |function: &Value| {
        let text = |key: &str| function[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| function[key].to_string();
        let arn = text("arn");
        let name = arn.split_once(":function:").map_or(arn.as_str(), |(_, name)| name);
        let kind = if function["pinned"] == true { "long-lived" } else { "on demand" };
        let counts = ["processes", "answered", "failed", "ended"].map(number);
        [vec![name.to_owned(), kind.to_owned(), text("state")], counts.to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = std::iter::once(head.map(str::to_owned).to_vec())
        .chain(functions.iter().map(row))
        .collect();
    let aligns: Vec<Align> =
        (0..head.len()).map(|at| if at < 3 { Align::Left } else { Align::Right }).collect();
    let mut told = match functions {
        [] => "no functions\n".to_owned(),
        _ => table::lines(&rows, &aligns, ""),
    };
    for (row, function) in rows.iter().skip(1).zip(functions) {
        if let Some(error) = function["last_error"].as_str() {
            let _ = writeln!(told, "{}: {}", row[0], table::printable(error));
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
