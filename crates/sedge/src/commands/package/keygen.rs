use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use sedge_package::SecretKey;

use crate::commands::OUTPUT;
use crate::table;

const EXAMPLES: &str = "\
Examples:
  sedge package keygen -o release     writes release.pem and release.pub
  openssl genpkey -algorithm ed25519 -out release.pem
  openssl pkey -in release.pem -pubout -out release.pub    the same with openssl

Exit codes:
  0  written
  1  a file is there already, or cannot be written
  2  the command line was not understood";

/// Make a key to sign packages with
///
/// NAME.pem is the secret half, which only its owner may read: it stays where packages are signed.
/// NAME.pub is what devices trust. Both have openssl's formats (ed25519, PKCS#8 and
/// SubjectPublicKeyInfo in PEM).
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Keygen {
    /// Path of the two files without their endings
    #[arg(long, short, value_name = "NAME", value_hint = ValueHint::FilePath)]
    output: PathBuf,
}

impl Keygen {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (key, [secret, public]) = SecretKey::generate(&self.output)?;
        let key = key.public();
        let lines = format!(
            "wrote {} (secret) and {}\nkey {}, in a trust list: \"{}\"",
            table::printable(&secret.to_string_lossy()),
            table::printable(&public.to_string_lossy()),
            key.id(),
            key.inline()
        );
        writeln!(std::io::stdout().lock(), "{lines}").context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }
}
