//! One file per command.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod exchange;
pub(crate) mod feedback;
pub(crate) mod greengrass;
pub(crate) mod infer;
pub(crate) mod man;
pub(crate) mod model;
pub(crate) mod package;
pub(crate) mod plan;
pub(crate) mod runtime;
pub(crate) mod sample;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod spool;
pub(crate) mod worker;

use std::path::Path;

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

/// Bytes of a file, or of the files in a directory and those below it.
pub(crate) fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return path.metadata().map_or(0, |metadata| metadata.len());
    };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}
