//! `sedge`: runs cloud-trained vision models at the edge.
//!
//! The only place that wires the crates together; one file per command in `commands/`.

#![deny(unsafe_code)]

mod apart;
mod bench;
mod choices;
mod cloud;
mod colour;
mod commands;
mod config;
mod control;
mod doctor;
mod drawings;
mod egress;
mod greengrass;
mod hosting;
mod logging;
mod memory;
mod overrides;
mod pictures;
mod ranges;
mod recording;
mod root;
mod runtimes;
mod spinner;
mod table;
#[cfg(feature = "otel")]
mod traces;
mod version;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Runs cloud-trained vision models at the edge.
///
/// Exit codes: 0 all done, 1 something failed, 2 the command line was not understood. Colour is left
/// out where there is no terminal and where NO_COLOR is set.
#[derive(Debug, Parser)]
#[command(name = "sedge", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sedge infer mobilenet.tflite cat.jpg             what is in a picture
  sedge infer detector/ photos/ --draw marked/     boxes drawn into copies of all pictures
  sedge serve mobilenet.tflite                     the same over HTTP
  sedge model inspect mobilenet.tflite             what the file knows about itself
  sedge package create m.tflite -o m.tar.gz        all that a device needs of it, in one file
  sedge bench mobilenet.tflite cat.jpg             how fast it is here, and where the time goes
  sedge sample                                     two small models and pictures, to begin with
  sedge doctor                                     whether this device has what Sedge needs";

#[derive(Debug, Subcommand)]
enum Command {
    Bench(commands::bench::Bench),
    Infer(commands::infer::Infer),
    Serve(commands::serve::Serve),
    Service(commands::service::Service),
    Spool(commands::spool::Spool),
    #[command(subcommand)]
    Feedback(commands::feedback::Feedback),
    Plan(commands::plan::Plan),
    #[command(subcommand)]
    Model(commands::model::Model),
    #[command(subcommand)]
    Package(commands::package::Package),
    #[command(subcommand)]
    Config(commands::config::Config),
    #[command(subcommand)]
    Greengrass(commands::greengrass::Greengrass),
    Doctor(commands::doctor::Doctor),
    #[command(subcommand)]
    Runtime(commands::runtime::Runtime),
    Sample(commands::sample::Sample),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
    #[command(hide = true)]
    Exchange(commands::exchange::Exchange),
    /// The process of one service
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Bench(command) => command.run(),
        Command::Infer(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Service(command) => command.run(),
        Command::Spool(command) => command.run(),
        Command::Feedback(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Model(command) => command.run(),
        Command::Package(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Greengrass(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Runtime(command) => command.run(),
        Command::Sample(command) => command.run(),
        Command::Completions(command) => command.run(Cli::command()),
        Command::Man(command) => command.run(Cli::command()),
        Command::Exchange(command) => command.run(),
        Command::Worker => Ok(commands::worker::run()),
    };
    done.unwrap_or_else(|error| {
        // Whoever reads the results may stop when it has seen enough, as `head` does.
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        report(&error);
        ExitCode::FAILURE
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken))
}

/// An error as a person reads it: what failed on the first line, the hint on its own.
fn report(error: &anyhow::Error) {
    say("error", &text_of(error));
}

/// An error with its causes, and then the hints: who gives a hint does not know what lies below it.
fn text_of(error: &anyhow::Error) -> String {
    let (mut text, mut hints) = (String::new(), String::new());
    for cause in error.chain().map(ToString::to_string) {
        if !text.is_empty() {
            text.truncate(text.trim_end_matches('.').len());
            text.push_str(": ");
        }
        let (told, hint) = cause.split_once(" Hint: ").unwrap_or((&cause, ""));
        text.push_str(told);
        if !hint.is_empty() {
            hints.push_str(&format!(" Hint: {hint}"));
        }
    }
    text + &hints
}

/// Says something beside the results. What comes from outside cannot steer the terminal.
fn say(kind: &str, text: &str) {
    let text = text.replace(" Hint: ", "\nHint: ");
    let lines: Vec<_> = text.split('\n').map(table::printable).collect();
    let style = if kind == "error" { colour::BAD } else { colour::WARNING };
    let kind = colour::painted(&format!("{kind}:"), style, colour::shown(&std::io::stderr()));
    let _ = writeln!(logging::Forgiving, "{kind} {}", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn hints_come_after_all_causes() {
        let error = anyhow!("the port is taken").context("cannot listen. Hint: choose another");
        assert_eq!(text_of(&error), "cannot listen: the port is taken Hint: choose another");
        assert_eq!(text_of(&anyhow!("it failed. Hint: try")), "it failed. Hint: try");
    }
}
