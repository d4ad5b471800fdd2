mod create;
mod keygen;
mod sign;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Make packages of models, sign them, and tell who signed one
#[derive(Debug, Subcommand)]
pub(crate) enum Package {
    Create(Box<create::Create>),
    Keygen(keygen::Keygen),
    Sign(sign::Sign),
    Verify(verify::Verify),
}

impl Package {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Package::Create(command) => command.run(),
            Package::Keygen(command) => command.run(),
            Package::Sign(command) => command.run(),
            Package::Verify(command) => command.run(),
        }
    }
}
