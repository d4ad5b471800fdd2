//! What a running server's services are doing, and what may be done with them.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueHint};
use hyper::Method;
use serde_json::Value;

use super::{Format, OUTPUT};
use crate::{control, root};

mod show;

const LIST: &str = "\
Examples:
  sedge service list                       states, memory, requests and times of all
  sedge service list --format jsonl        the same, a line each, for a script

Exit codes:
  0  printed
  1  no server answers";

const STATUS: &str = "\
Examples:
  sedge service status cats                model, process, limits, times, sandbox, versions
  sedge service status cats --format json | jq .backend

Exit codes:
  0  printed
  1  no server answers, or there is no such service";

const UPDATE: &str = "\
Examples:
  sedge service update cats                as at the next look at its source, but now
  sedge service update cats --force        although it was found bad before

Exit codes:
  0  done
  1  no server answers, or there is no such service, or it failed; what answered goes on answering";

const ROLLBACK: &str = "\
Examples:
  sedge service rollback cats              the version before answers, without a gap

Exit codes:
  0  done
  1  no server answers, or there is no such service, or it failed; what answered goes on answering";

const RESTART: &str = "\
Examples:
  sedge service restart cats               a fresh process takes over from the old one

Exit codes:
  0  done
  1  no server answers, or there is no such service, or it failed; what answered goes on answering";

const RESET: &str = "\
Examples:
  sedge service reset cats                 after what made it crash was mended

Exit codes:
  0  done
  1  no server answers, or there is no such service, or it failed; what answered goes on answering";

const LOGS: &str = "\
Examples:
  sedge service logs cats                  why it ended, and what it said before

Exit codes:
  0  printed
  1  no server answers, or there is no such service";

const RELOAD: &str = "\
Examples:
  sedge service reload                     as SIGHUP: what is the same goes on as it is

Exit codes:
  0  done
  1  no server answers, or the file is not valid; then nothing is changed";

/// See and change the services of a running `sedge serve --config`
#[derive(Debug, Args)]
pub(crate) struct Service {
    /// Directory of the server [default: as for `sedge serve`]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    root: Option<PathBuf>,
    /// Form of the output
    #[arg(long, global = true, default_value = "table")]
    format: Format,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All services in a table
    #[command(after_long_help = LIST)]
    List,
    /// Everything about one service: model, process, limits, times, versions
    #[command(after_long_help = STATUS)]
    Status {
        /// Name of the service
        name: String,
    },
    /// Look at the source of its model now, and switch to what is new there
    #[command(after_long_help = UPDATE)]
    Update {
        /// Name of the service
        name: String,
        /// Also take a version that was found bad, or another file than the pinned one
        #[arg(long)]
        force: bool,
    },
    /// Go back to the version before
    #[command(after_long_help = ROLLBACK)]
    Rollback {
        /// Name of the service
        name: String,
    },
    /// Load what answers once more, and switch to it
    #[command(after_long_help = RESTART)]
    Restart {
        /// Name of the service
        name: String,
    },
    /// Try a service again that was given up
    #[command(after_long_help = RESET)]
    Reset {
        /// Name of the service
        name: String,
    },
    /// The last lines that its processes wrote
    #[command(after_long_help = LOGS)]
    Logs {
        /// Name of the service
        name: String,
    },
    /// Read the configuration file again; what is not valid changes nothing
    #[command(after_long_help = RELOAD)]
    Reload,
}

impl Service {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let path = |name: &str, end: &str| format!("/api/v1/services/{name}{end}");
        let (method, path) = match &self.action {
            Action::List => (Method::GET, "/api/v1/services".to_owned()),
            Action::Status { name } => (Method::GET, path(name, "")),
            Action::Logs { name } => (Method::GET, path(name, "/logs")),
            Action::Update { name, force: true } => (Method::POST, path(name, "/update?force")),
            Action::Update { name, .. } => (Method::POST, path(name, "/update")),
            Action::Rollback { name } => (Method::POST, path(name, "/rollback")),
            Action::Restart { name } => (Method::POST, path(name, "/restart")),
            Action::Reset { name } => (Method::POST, path(name, "/reset")),
            Action::Reload => (Method::POST, "/api/v1/reload".to_owned()),
        };
        let root = root::choose(self.root.as_deref(), None);
        let answer = control::ask(&root, method, &path, None)?;
        let text = match self.format {
            Format::Table => self.table(&answer),
            Format::Json => serde_json::to_string_pretty(&answer)? + "\n",
            Format::Jsonl => lines(&answer)?,
        };
        std::io::stdout().write_all(text.as_bytes()).context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }

    fn table(&self, answer: &Value) -> String {
        match &self.action {
            Action::List => show::list(answer),
            Action::Status { .. } => show::status(answer),
            Action::Logs { .. } => show::logs(answer),
            Action::Reload => show::changes(answer),
            Action::Update { name, .. }
            | Action::Rollback { name }
            | Action::Restart { name }
            | Action::Reset { name } => show::update(name, answer),
        }
    }
}

/// One line for each service or log line, else one for all.
fn lines(answer: &Value) -> Result<String> {
    let all = answer.as_array().or_else(|| answer["services"].as_array());
    let one = std::slice::from_ref(answer);
    let rows: Result<Vec<String>, _> =
        all.map_or(one, Vec::as_slice).iter().map(serde_json::to_string).collect();
    Ok(rows?.join("\n") + "\n")
}
