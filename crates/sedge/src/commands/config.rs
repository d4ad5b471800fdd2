mod check;
mod explain;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Check a configuration file, and explain its keys
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    Check(check::Check),
    Explain(explain::Explain),
}

impl Config {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Config::Check(command) => command.run(),
            Config::Explain(command) => command.run(),
        }
    }
}
