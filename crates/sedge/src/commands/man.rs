use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command, ValueHint};

const EXAMPLES: &str = "\
Examples:
  sedge man man1 && man man1/sedge-infer.1

Exit codes:
  0  written
  1  a page could not be written
  2  the command line was not understood";

/// Write a manual page for each command, for packages of distributions
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Man {
    /// Directory for the pages: sedge.1, sedge-infer.1, ...
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self, command: Command) -> Result<ExitCode> {
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make {}", self.dir.display()))?;
        let mut pages = Vec::new();
        collect(command.disable_help_subcommand(true), "sedge", &mut pages)?;
        let mut out = std::io::stdout().lock();
        for (name, page) in pages {
            let path = self.dir.join(format!("{name}.1"));
            std::fs::write(&path, page)
                .with_context(|| format!("cannot write {}", path.display()))?;
            writeln!(out, "wrote {}", path.display())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The page of a command, and those of the commands below it.
fn collect(command: Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let below: Vec<_> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    // A page is named for its command, and says how the command is written.
    let written = name.replace('-', " ");
    let command = command.display_name(name.to_owned()).bin_name(written);
    let mut page = Vec::new();
    clap_mangen::Man::new(command).title(name.to_uppercase()).render(&mut page)?;
    pages.push((name.to_owned(), page));
    for sub in below {
        let name = format!("{name}-{}", sub.get_name());
        collect(sub, &name, pages)?;
    }
    Ok(())
}
