//! Every command as its users meet it: what it prints, where, and its exit code, when things go well
//! and when they do not. What differs from machine to machine is left out of the snapshots.
//!
//! `INSTA_UPDATE=always cargo test -p sedge --test commands` writes them anew.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../program/mod.rs"]
mod program;

mod bundle;
mod config;
mod doctor;
mod feedback;
mod greengrass;
mod help;
mod mistakes;
mod model;
mod package;
mod sample;
mod shell;
mod spool;

use std::process::Command;

/// The program without what the environment of a test says about colour, width and engines.
fn command(arguments: &[&str]) -> Command {
    let mut command = program::command(arguments);
    for name in [
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "COLUMNS",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "SEDGE_ONNXRUNTIME",
        "XDG_DATA_HOME",
    ] {
        command.env_remove(name);
    }
    command
}

/// Everything a person sees of a run.
fn seen(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    format!(
        "$ sedge {}\n{}--- stderr\n{}--- exit code {}\n",
        arguments.join(" "),
        program::text(&output.stdout),
        program::text(&output.stderr),
        output.status.code().unwrap()
    )
}
