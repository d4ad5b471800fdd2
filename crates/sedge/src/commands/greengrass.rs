mod check;
mod migrate;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Check the definitions of a Greengrass V1 group, and rewrite them for Sedge
#[derive(Debug, Subcommand)]
pub(crate) enum Greengrass {
    Check(check::Check),
    Migrate(migrate::Migrate),
}

impl Greengrass {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Greengrass::Check(command) => command.run(),
            Greengrass::Migrate(command) => command.run(),
        }
    }
}
