use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use sedge_package::{Policy, SignatureError, TrustList, Verified, verify_package};
use serde_json::{Value, json};

use crate::commands::{Format, OUTPUT};
use crate::config::Config;
use crate::table::{self, Align};

const EXAMPLES: &str = "\
Examples:
  sedge package verify detector.tar.gz --key release.pub
  sedge package verify detector.tar.gz --config /etc/sedge/sedge.toml    what that device says

Exit codes:
  0  accepted
  1  refused, or it could not be read
  2  the command line was not understood";

/// Tell who signed a package, and whether it is as they signed it
///
/// With --key, a signature by one of the keys is required; with --config, what its trust section says.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Verify {
    /// Package directory or archive
    package: PathBuf,
    /// Public keys (PEM) that are trusted, or ed25519:BASE64
    #[arg(long, value_name = "KEY", num_args = 1.., value_hint = ValueHint::FilePath, required_unless_present = "config")]
    key: Vec<String>,
    /// Configuration file whose trust section is taken
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "key")]
    config: Option<PathBuf>,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (trusted, policy) = match &self.config {
            Some(path) => Config::read(path)?.trust.read()?,
            None => {
                let trusted = TrustList::read(&self.key, Path::new(""))?;
                (trusted, Policy { require_signature: true })
            }
        };
        let found = verify_package(&self.package, &trusted, policy);
        let document = self.document(&found);
        let mut out = std::io::stdout().lock();
        match (self.format, found) {
            (Format::Json, _) => writeln!(out, "{document:#}"),
            (Format::Jsonl, _) => writeln!(out, "{document}"),
            (Format::Table, Ok(verified)) => write!(out, "{}", as_table(&verified)),
            (Format::Table, Err(error)) => {
                return Err(error)
                    .with_context(|| format!("{} is refused", self.package.display()));
            }
        }
        .context(OUTPUT)?;
        let accepted = document["accepted"] == true;
        Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What `--format json` prints.
    fn document(&self, found: &Result<Verified, SignatureError>) -> Value {
        let package = self.package.display().to_string();
        match found {
            Ok(Verified { signers, unknown, files, bytes, .. }) => {
                let signer = |s: &sedge_package::Signer| json!({"key": s.key, "name": s.name});
                let signers: Vec<Value> = signers.iter().map(signer).collect();
                json!({
                    "package": package,
                    "accepted": true,
                    "signers": signers,
                    "unknown": unknown,
                    "files": files,
                    "bytes": bytes,
                    "error": null,
                })
            }
            Err(error) => {
                json!({"package": package, "accepted": false, "error": error.to_string()})
            }
        }
    }
}

fn as_table(verified: &Verified) -> String {
    let Verified { signers, unknown, files, bytes, .. } = verified;
    if !verified.is_signed() {
        return "accepted, though nobody signed it: no signature is required\n".into();
    }
    let mut rows = vec![["key", "signed by"].map(String::from).to_vec()];
    rows.extend(signers.iter().map(|signer| vec![signer.key.clone(), signer.name.clone()]));
    rows.extend(unknown.iter().map(|key| vec![key.clone(), "(not trusted)".into()]));
    let held =
        format!("accepted: {files} files, {}, all as they were signed\n", table::bytes(*bytes));
    table::lines(&rows, &[Align::Left, Align::Left], "") + &held
}
