mod check;
mod migrate;
mod status;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Check a Greengrass V1 group, rewrite it for Sedge, see its functions run
#[derive(Debug, Subcommand)]
pub(crate) enum Greengrass {
    Check(check::Check),
    Migrate(migrate::Migrate),
    Status(status::Status),
}

impl Greengrass {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Greengrass::Check(command) => command.run(),
            Greengrass::Migrate(command) => command.run(),
            Greengrass::Status(command) => command.run(),
        }
    }
}
