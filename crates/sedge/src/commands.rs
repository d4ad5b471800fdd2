//! One file per command.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod infer;
pub(crate) mod man;
pub(crate) mod model;
pub(crate) mod sample;
pub(crate) mod serve;

use clap::ValueEnum;

/// What failed when results could not be printed.
pub(crate) const OUTPUT: &str = "cannot write to standard output";

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Jsonl,
}
