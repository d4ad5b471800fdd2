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
        collect(command, "sedge", &mut pages)?;
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
    pages.push((name.to_owned(), page(command.disable_help_subcommand(true), name)?));
    for sub in below {
        let name = format!("{name}-{}", sub.get_name());
        collect(sub, &name, pages)?;
    }
    Ok(())
}

/// One page. Usage and examples are set as they are in the help: filled like prose, which is what
/// the library does with them, a line of shell runs into the next.
fn page(mut command: Command, name: &str) -> Result<Vec<u8>> {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").lines().map(str::trim).collect::<Vec<_>>();
    let extra = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let has_commands = command.get_subcommands().any(|sub| !sub.is_hide_set());
    let man = clap_mangen::Man::new(command)
        .title(name.to_uppercase())
        .source(concat!("sedge ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    verbatim("SYNOPSIS", &usage.join("\n"), &mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    for section in extra.as_deref().unwrap_or_default().split("\n\n") {
        match section.split_once(":\n") {
            Some(("Exit codes", lines)) => verbatim("EXIT STATUS", lines, &mut page)?,
            Some((title, lines)) if !title.contains('\n') => {
                verbatim(&title.to_uppercase(), lines, &mut page)?;
            }
            // A paragraph that goes on with the examples before it.
            _ => verbatim("", section, &mut page)?,
        }
    }
    Ok(page)
}

/// Lines that stay as they are, under a title unless it is empty.
fn verbatim(title: &str, lines: &str, page: &mut Vec<u8>) -> Result<()> {
    if title.is_empty() {
        writeln!(page, ".PP")?;
    } else {
        writeln!(page, ".SH \"{title}\"")?;
    }
    writeln!(page, ".nf")?;
    for line in lines.lines() {
        let line = line.strip_prefix("  ").unwrap_or(line);
        // A dot or quote at the start would be a request.
        writeln!(page, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    writeln!(page, ".fi")?;
    Ok(())
}
