use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use sedge_spool::{Inspection, Peek};
use serde_json::{Value, json};

use super::Found;
use crate::commands::OUTPUT;
use crate::table;

/// Most characters that are shown of headers and body.
const SHOWN: usize = 40;

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// Name of the destination
    destination: String,
    /// Most records that are shown
    #[arg(long, value_name = "N", default_value = "20")]
    limit: usize,
    /// Write the body of this record alone: its number, or PRIORITY/NUMBER
    #[arg(long, value_name = "RECORD")]
    body: Option<String>,
    /// File to write the body to [default: standard output]
    #[arg(short, long, value_name = "FILE", requires = "body", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

impl Inspect {
    /// What is to be printed; nothing when a body was written.
    pub(super) fn found(&self, inspection: &Inspection) -> Result<Option<Found>> {
        let lanes = inspection.lanes();
        if !lanes.iter().any(|lane| lane.destination == self.destination) {
            bail!(
                "there is no destination '{}'. Hint: `sedge spool list` names those there are",
                self.destination
            );
        }
        if let Some(record) = &self.body {
            self.write_body(inspection, record)?;
            return Ok(None);
        }
        let mut peeks = Vec::new();
        inspection.records(&self.destination, |peek| {
            let room = peeks.len() < self.limit;
            peeks.extend(
                room.then(|| (cells(&self.destination, &peek), row(&self.destination, &peek))),
            );
            room
        })?;
        let waiting: u64 = (lanes.iter())
            .filter(|lane| lane.destination == self.destination)
            .map(|lane| lane.records)
            .sum();
        let (cells, rows): (Vec<_>, Vec<_>) = peeks.into_iter().unzip();
        let head = ["record", "age", "size", "headers", "body"];
        let mut table = match cells.is_empty() {
            true => "nothing waits\n".to_owned(),
            false => table::under(&head, cells.into_iter(), head.len()),
        };
        if waiting > rows.len() as u64 {
            table += &format!("\n{} of {waiting} records; `--limit` shows more\n", rows.len());
        }
        let whole = json!({ "destination": self.destination, "records": rows });
        Ok(Some(Found { table, rows, whole, code: ExitCode::SUCCESS }))
    }

    fn write_body(&self, inspection: &Inspection, record: &str) -> Result<()> {
        let mut matching = Vec::new();
        inspection.records(&self.destination, |peek| {
            let named = peek.id.to_string() == record || peek.id.number.to_string() == record;
            if named && matching.len() < 2 {
                matching.push(peek);
            }
            true
        })?;
        let peek = match matching.as_slice() {
            [peek] => peek,
            [one, other, ..] => bail!(
                "there are several records {record}. Hint: say `{}` or `{}`",
                one.id,
                other.id
            ),
            [] => bail!(
                "no record {record} waits for '{}'. Hint: `sedge spool inspect {}` lists them",
                self.destination,
                self.destination
            ),
        };
        let Some((headers, body)) = &peek.content else {
            bail!("the record {} is damaged. Hint: `sedge spool verify` says what else is", peek.id)
        };
        let (_, body) = super::parts(&self.destination, headers, body);
        match &self.output {
            Some(path) => std::fs::write(path, body)
                .with_context(|| format!("cannot write {}", path.display())),
            None => std::io::stdout().write_all(body).context(OUTPUT),
        }
    }
}

/// Headers and body as they are shown, of a record that is not damaged.
fn content(destination: &str, peek: &Peek) -> Option<(String, String)> {
    let (headers, body) = peek.content.as_ref()?;
    let (headers, body) = super::parts(destination, headers, body);
    Some((shown(headers), shown(body)))
}

fn cells(destination: &str, peek: &Peek) -> Vec<String> {
    let damaged = || ("damaged".to_owned(), "damaged".to_owned());
    let (headers, body) = content(destination, peek).unwrap_or_else(damaged);
    let size = table::bytes(peek.body_bytes);
    vec![peek.id.to_string(), super::age(peek.age), size, headers, body]
}

fn row(destination: &str, peek: &Peek) -> Value {
    let (headers, body) = content(destination, peek).unzip();
    json!({
        "priority": peek.id.priority.name(),
        "number": peek.id.number,
        "appended": humantime::format_rfc3339_millis(peek.appended).to_string(),
        "age_seconds": peek.age.as_secs(),
        "body_bytes": peek.body_bytes,
        "damaged": peek.content.is_none(),
        "headers": headers,
        "body": body,
    })
}

/// The beginning of a text, else of the bytes in hexadecimal.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().count() <= SHOWN => text.to_owned(),
        Ok(text) => text.chars().take(SHOWN - 1).chain(['…']).collect(),
        Err(_) => {
            let start = bytes.iter().take(SHOWN / 4);
            let text: Vec<String> = start.map(|byte| format!("{byte:02x}")).collect();
            text.join(" ") + " …"
        }
    }
}
