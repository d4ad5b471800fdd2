mod compiled;
mod convert;
mod init;
mod inspect;
mod validate;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Look into models, prove them, convert them and write manifests for them
#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    Inspect(inspect::Inspect),
    Validate(validate::Validate),
    Init(init::Init),
    Convert(convert::Convert),
}

impl Model {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Model::Inspect(command) => command.run(),
            Model::Validate(command) => command.run(),
            Model::Init(command) => command.run(),
            Model::Convert(command) => command.run(),
        }
    }
}
