use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use sedge_spool::{Options, Record, Settled, Spool, Sync};
use serde_json::json;

use super::Found;
use crate::table;

#[derive(Debug, Args)]
pub(super) struct Drain {
    /// Name of the destination
    destination: String,
    /// Directory for what is taken out, two files for each record
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    to: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Drain {
    pub(super) fn run(&self, directory: &Path) -> Result<Found> {
        // Nothing is appended, and what is taken out is to stay out.
        let options = Options { max_bytes: u64::MAX, sync: Sync::Always, ..Options::default() };
        let spool = Spool::open(directory, options)?;
        let lanes: Vec<_> = (spool.status().lanes.into_iter())
            .filter(|lane| lane.destination == self.destination)
            .collect();
        if lanes.is_empty() {
            bail!(
                "there is no destination '{}'. Hint: `sedge spool list` names those there are",
                self.destination
            );
        }
        let waiting: u64 = lanes.iter().map(|lane| lane.records).sum();
        let bytes: u64 = lanes.iter().map(|lane| lane.bytes).sum();
        let what = format!("{waiting} records ({}) for {}", table::bytes(bytes), self.destination);
        if waiting > 0 && !self.yes && !self.agreed(&what)? {
            bail!("nothing was done. Hint: `--yes` answers in advance");
        }
        if let Some(to) = &self.to {
            let make = std::fs::create_dir_all(to);
            make.with_context(|| format!("cannot make {}", to.display()))?;
        }
        let consumer = spool.consumer(&self.destination)?;
        let mut taken = 0;
        while let Some(record) = consumer.try_next()? {
            if let Some(to) = &self.to {
                export(to, &self.destination, &record)?;
            }
            consumer.settle(record.id, Settled::Discarded)?;
            taken += 1;
        }
        spool.sync()?;
        let table = match &self.to {
            Some(to) => format!("moved {taken} records to {}\n", to.display()),
            None => format!("threw away {taken} records\n"),
        };
        let whole = json!({ "destination": self.destination, "records": taken, "to": self.to });
        Ok(Found { table, rows: vec![whole.clone()], whole, code: ExitCode::SUCCESS })
    }

    fn agreed(&self, what: &str) -> Result<bool> {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Ok(false);
        }
        let act = if self.to.is_some() { "take out" } else { "throw away" };
        let mut errors = std::io::stderr();
        write!(errors, "{act} {what}? [y/N] ").and_then(|()| errors.flush())?;
        let mut answer = String::new();
        input.lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

/// Writes a record to two files, and returns when they are on the disk.
fn export(to: &Path, destination: &str, record: &Record) -> Result<()> {
    let stem = format!("{}-{:012}", record.id.priority, record.id.number);
    let (headers, body) = super::parts(destination, &record.headers, &record.body);
    for (ending, bytes) in [("headers", headers), ("body", body)] {
        let path = to.join(format!("{stem}.{ending}"));
        let write = || {
            // Never over what is there: it may be all that is left of something.
            let mut file = std::fs::File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(std::fs::File::open(to)?.sync_all()?)
}
