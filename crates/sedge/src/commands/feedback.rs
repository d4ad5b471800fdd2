mod trial;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// See which pictures would leave the device to train the next model
#[derive(Debug, Subcommand)]
pub(crate) enum Feedback {
    Try(trial::Try),
}

impl Feedback {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Feedback::Try(command) => command.run(),
        }
    }
}
