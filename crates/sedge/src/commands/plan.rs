use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use hyper::Method;
use serde_json::{Value, json};

use super::{Format, OUTPUT};
use crate::config::Config;
use crate::hosting::{self, Flags, Sources};
use crate::table::{self, Align};
use crate::{control, root};

const EXAMPLES: &str = "\
Examples:
  sedge plan --config sedge.toml                 what starting with it would fetch and keep
  sedge plan --config new.toml --format json     the same of a changed file, for a script

Exit codes:
  0  it could be done
  1  the configuration is not valid, or a source does not give its model";

/// Say what a configuration would change, and change nothing
///
/// Sources are asked what they have; nothing is fetched. Where a server runs, it is asked what
/// would become of its services.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Plan {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: PathBuf,
    /// Directory of the server [default: as for `sedge serve`]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    root: Option<PathBuf>,
    /// Form of the output
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Plan {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let config = Config::read(&self.config)?;
        let sources = Sources { config: Some(self.config.clone()), ..Sources::default() };
        let root = root::choose(self.root.as_deref(), config.root.as_deref());
        let answer = if control::is_running(&root) {
            let path = std::path::absolute(&self.config)?;
            let body = json!({ "config": path });
            control::ask(&root, Method::POST, "/api/v1/plan", Some(&body))?
        } else {
            let specs = hosting::specs(&sources.read()?.0, &Flags::default())?;
            let host = hosting::host(&config, hosting::store(&root)?, Arc::default())?;
            json!({ "services": host.plan(&specs) })
        };
        let services = answer["services"].as_array().map_or(&[][..], Vec::as_slice);
        let text = match self.format {
            Format::Table => shown(services),
            Format::Json => serde_json::to_string_pretty(&answer)? + "\n",
            Format::Jsonl => services.iter().map(|service| format!("{service}\n")).collect(),
        };
        std::io::stdout().write_all(text.as_bytes()).context(OUTPUT)?;
        let fails = services.iter().any(|service| !service["error"].is_null());
        Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn shown(services: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let bytes = |value: &Value| {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
        value.as_u64().map_or_else(|| "-".to_owned(), mib)
    };
    let head = ["service", "change", "model", "download", "disk", "memory"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for service in services {
        let model = match (&service["error"], &service["new_model"]) {
            (Value::String(_), _) => "not to be had",
            (_, Value::Bool(true)) => "new",
            _ => "as installed",
        };
        rows.push(vec![
            text(&service["service"]),
            text(&service["change"]),
            model.to_owned(),
            bytes(&service["download_bytes"]),
            bytes(&service["disk_bytes"]),
            bytes(&service["memory_bytes"]),
        ]);
    }
    use Align::{Left, Right};
    let mut out = table::lines(&rows, &[Left, Left, Left, Right, Right, Right], "");
    for service in services.iter().filter(|service| service["error"].is_string()) {
        let told = text(&service["error"]).replace(" Hint: ", "\n  Hint: ");
        out += &format!("\n{}: {told}\n", text(&service["service"]));
    }
    out
}
