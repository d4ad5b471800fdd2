use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  bash  sedge completions bash > ~/.local/share/bash-completion/completions/sedge
  zsh   sedge completions zsh > ~/.zfunc/_sedge        with fpath+=~/.zfunc before compinit
  fish  sedge completions fish > ~/.config/fish/completions/sedge.fish

Exit codes:
  0  written
  2  the command line was not understood";

/// Print a script that completes sedge's commands, flags and files in a shell
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command: Command) -> Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "sedge", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
