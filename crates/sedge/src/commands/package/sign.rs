use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use sedge_package::{SecretKey, Signed, sign_package};

use crate::commands::OUTPUT;
use crate::table;

const EXAMPLES: &str = "\
Examples:
  sedge package sign detector.tar.gz --key release.pem
  sedge package sign package/ --key release.pem

Exit codes:
  0  signed
  1  it is no package, or could not be written
  2  the command line was not understood";

/// Sign every byte of a package
///
/// Writes model.sig into it. Signatures that others made over the same files stay; those over other
/// files are dropped. An archive is written anew as a whole.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Sign {
    /// Package directory or archive
    package: PathBuf,
    /// Secret key (PEM), as `sedge package keygen` or openssl makes it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: PathBuf,
}

impl Sign {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let key = SecretKey::read(&self.key)?;
        let signed = sign_package(&self.package, &key)
            .with_context(|| format!("cannot sign {}", self.package.display()))?;
        report(&signed, &self.package.to_string_lossy())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what was signed.
pub(super) fn report(signed: &Signed, package: &str) -> Result<()> {
    let Signed { key, files, bytes, kept, dropped } = signed;
    if !dropped.is_empty() {
        let dropped = dropped.join(", ");
        crate::say("warning", &format!("other files were signed by {dropped}: no longer signed"));
    }
    let beside =
        if kept.is_empty() { String::new() } else { format!(" beside {}", kept.join(", ")) };
    let size = table::bytes(*bytes);
    let line = format!("signed {package} ({files} files, {size}) with key {key}{beside}");
    writeln!(std::io::stdout().lock(), "{}", table::printable(&line)).context(OUTPUT)
}
