//! What waits to leave the device.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueHint};
use sedge_spool::Inspection;
use serde_json::Value;

use super::{Format, OUTPUT};
use crate::root;

mod drain;
mod inspect;
mod list;
mod verify;

const LIST: &str = "\
Examples:
  sedge spool list                         what waits, how old it is, what went and was dropped
  sedge spool list --format jsonl          the same, a line each, for a script

Exit codes:
  0  printed
  1  the spool cannot be read";

const INSPECT: &str = "\
Examples:
  sedge spool inspect mqtt                 the records that leave next
  sedge spool inspect s3.BUCKET            the samples for a bucket
  sedge spool inspect s3.BUCKET --body 17 -o 17.jpg

Exit codes:
  0  printed or written
  1  the spool cannot be read, or there is no such destination or record";

const DRAIN: &str = "\
Examples:
  sedge spool drain mqtt                   throw away what waits, after asking
  sedge spool drain s3.BUCKET --to kept --yes
                                           move it to files in a directory

Exit codes:
  0  nothing of the destination waits any more
  1  a server has the spool, or it cannot be read, or nobody said yes";

const VERIFY: &str = "\
Examples:
  sedge spool verify                       also beside a running server

Exit codes:
  0  everything is as it was written
  1  something is damaged, or the spool cannot be read";

/// See, check and empty what waits to leave the device
///
/// All but `drain` read beside a running server and change nothing.
#[derive(Debug, Args)]
pub(crate) struct Spool {
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
    /// What waits for each destination, and what came and went
    #[command(after_long_help = LIST)]
    List,
    /// The records that wait for a destination
    #[command(after_long_help = INSPECT)]
    Inspect(inspect::Inspect),
    /// Throw away what waits for a destination, or move it to files
    #[command(after_long_help = DRAIN)]
    Drain(drain::Drain),
    /// Check every checksum
    #[command(after_long_help = VERIFY)]
    Verify,
}

/// What a command found: for people, and for programs as one or as lines.
struct Found {
    table: String,
    rows: Vec<Value>,
    whole: Value,
    code: ExitCode,
}

impl Spool {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let directory = root::spool(&root::choose(self.root.as_deref(), None));
        if !directory.is_dir() {
            bail!(
                "there is no spool at {}. Hint: name the server's directory with `--root`; a server \
                 makes its spool when something is to leave the device",
                directory.display()
            );
        }
        let found = match self.action {
            Action::List => list::list(&Inspection::open(&directory)?),
            Action::Inspect(inspect) => {
                let inspection = Inspection::open(&directory)?;
                match inspect.found(&inspection)? {
                    Some(found) => found,
                    None => return Ok(ExitCode::SUCCESS),
                }
            }
            Action::Drain(drain) => drain.run(&directory)?,
            Action::Verify => verify::verify(&Inspection::open(&directory)?)?,
        };
        let text = match self.format {
            Format::Table => found.table,
            Format::Json => serde_json::to_string_pretty(&found.whole)? + "\n",
            Format::Jsonl => found.rows.iter().map(|row| format!("{row}\n")).collect(),
        };
        std::io::stdout().write_all(text.as_bytes()).context(OUTPUT)?;
        Ok(found.code)
    }
}

/// An age for people: `2h 5m`.
fn age(age: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(age.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Headers and body of a record as people want them: of a sample, which waits as one body, what is
/// known of it and its bytes.
fn parts<'a>(destination: &str, headers: &'a [u8], body: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let sample = sedge_feedback::bucket(destination).and_then(|_| sedge_feedback::split(body));
    sample.unwrap_or((headers, body))
}
