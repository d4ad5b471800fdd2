use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anstyle::Style;
use anyhow::Result;
use clap::{Args, ValueEnum, ValueHint};
use serde_json::{Value, json};

use crate::colour;
use crate::doctor::{self, Context, Finding, Host, State, bundle};
use crate::table;

const EXAMPLES: &str = "\
Examples:
  sedge doctor                                 look at this device
  sedge doctor detector/                       also load a model and replay its golden cases
  sedge doctor --config sedge.toml             also load what sedge serve would
  sedge doctor --format json | jq -r .state    the worst state of all
  sedge doctor --bundle sedge.tar.gz           collect what somebody who helps needs to know

Exit codes:
  0  no problem; there may be notes and warnings
  1  a problem, or the bundle could not be written
  2  the command line was not understood";

/// Look at this device: what Sedge finds, what is missing and what to do about it
///
/// Each finding is ok, a note (works, could be better), a warning (slow, or not for everything) or a
/// problem (does not work). What is not ok comes with a hint.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// Model file, package directory or archive to load, with its golden cases
    #[arg(value_hint = ValueHint::AnyPath)]
    model: Option<PathBuf>,
    /// Configuration file of sedge serve, whose models are loaded too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Data directory to look at [default: /var/lib/sedge for root, else ~/.local/share/sedge]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    root: Option<PathBuf>,
    /// How findings are printed
    #[arg(long, default_value = "table")]
    format: Format,
    /// Write a support bundle, without secrets, and list what is in it
    #[arg(long, value_name = "FILE.tar.gz", value_hint = ValueHint::FilePath)]
    bundle: Option<PathBuf>,
    /// A log whose end goes into the bundle
    #[arg(long, value_name = "FILE", requires = "bundle", value_hint = ValueHint::FilePath)]
    log: Option<PathBuf>,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if std::env::var_os(doctor::CHILD_VARIABLE).is_some() {
            doctor::unshare_and_tell(std::io::stdout().lock())?;
            return Ok(ExitCode::SUCCESS);
        }
        let findings = doctor::examine(Context {
            host: Host::this(),
            root: self.root.clone(),
            config: self.config.clone(),
            model: self.model.clone(),
        });
        let report = as_json(&findings);
        let mut out = std::io::stdout().lock();
        match (&self.bundle, self.format) {
            (Some(path), _) => self.bundle(path, &findings, &report, &mut out)?,
            (None, Format::Json) => writeln!(out, "{report:#}")?,
            (None, Format::Table) => {
                let colour = colour::shown(&std::io::stdout());
                write!(out, "{}", as_table(&findings, colour))?;
            }
        }
        Ok(if worst(&findings) == State::Problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn bundle(
        &self,
        path: &Path,
        findings: &[Finding],
        report: &Value,
        out: &mut impl Write,
    ) -> Result<()> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment: Vec<_> =
            std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
        let entries = bundle::collect(&bundle::Sources {
            host: &Host::this(),
            json: report,
            text: &as_table(findings, false),
            config: self.config.as_deref(),
            model: self.model.as_deref(),
            log: self.log.as_deref(),
            environment: &environment,
        })?;
        bundle::write(path, &entries)?;
        match self.format {
            Format::Json => {
                let file =
                    |(path, bytes): &bundle::Entry| json!({"path": path, "bytes": bytes.len()});
                let files: Vec<_> = entries.iter().map(file).collect();
                writeln!(out, "{:#}", json!({"bundle": path, "files": files, "report": report}))?;
            }
            Format::Table => {
                writeln!(out, "wrote {}, which only you may read; it holds", path.display())?;
                let row = |(path, bytes): &bundle::Entry| {
                    vec![table::bytes(bytes.len() as u64), path.clone()]
                };
                let rows: Vec<_> = entries.iter().map(row).collect();
                write!(out, "{}", table::lines(&rows, &[table::Align::Right], "  "))?;
                writeln!(out, "{}", summary(findings))?;
            }
        }
        Ok(())
    }
}

fn worst(findings: &[Finding]) -> State {
    findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
}

fn as_json(findings: &[Finding]) -> Value {
    json!({
        "schema": 1,
        "sedge": crate::version::build(),
        "time": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        "state": worst(findings),
        "findings": findings,
    })
}

fn as_table(findings: &[Finding], colour: bool) -> String {
    let style = |state: State| -> Style {
        match state {
            State::Ok => colour::GOOD,
            State::Note => colour::NOTE,
            State::Warning => colour::WARNING,
            State::Problem => colour::BAD,
        }
    };
    let state_width = State::Warning.name().len();
    let name_width = findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    let mut area = "";
    for finding in findings {
        if finding.area != area {
            let gap = if area.is_empty() { "" } else { "\n" };
            area = finding.area;
            text.push_str(&format!("{gap}{area}\n"));
        }
        let state = format!("{:state_width$}", finding.state.name());
        let state = colour::painted(&state, style(finding.state), colour);
        // Names of models and paths come from outside.
        let (name, value) = (table::printable(&finding.name), table::printable(&finding.value));
        text.push_str(&format!("  {state}  {name:name_width$}  {value}\n"));
        if let Some(hint) = &finding.hint {
            let blanks = " ".repeat(state_width + name_width + 6);
            text.push_str(&format!("{blanks}Hint: {}\n", table::printable(hint)));
        }
    }
    text.push_str(&format!("\n{}\n", summary(findings)));
    text
}

/// `1 problem, 2 warnings, 1 note`.
fn summary(findings: &[Finding]) -> String {
    let count = |state: State| findings.iter().filter(|finding| finding.state == state).count();
    let said = [State::Problem, State::Warning, State::Note].into_iter().filter_map(|state| {
        let (count, name) = (count(state), state.name());
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{count} {name}{plural}"))
    });
    let said: Vec<_> = said.collect();
    if said.is_empty() { "everything is as it should be".into() } else { said.join(", ") }
}
