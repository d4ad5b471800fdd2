//! What a process that measures and its worker say to each other: one JSON document per line.
//!
//! `bench/peers` in the repository speaks the same, so that other runtimes are measured the same
//! way; a change here is a change there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Asks a worker for something; closing its standard input ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// Answer requests one after the other, on `concurrency` threads, for so long.
    Run {
        /// Seconds that are measured; a tenth of it is run before, unmeasured.
        seconds: f64,
        /// Threads that send a request as soon as the one before is answered.
        concurrency: usize,
    },
    /// Write each output of one request as little-endian `f32` to `DIR/output-INDEX.f32`.
    Outputs(PathBuf),
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Say {
    /// First of all: the model is loaded and has given its first answer.
    Ready(Ready),
    /// To [`Ask::Run`].
    Ran(Ran),
    /// To [`Ask::Outputs`]: how many were written.
    Written(usize),
    /// It cannot go on.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Name and identity of the model.
    pub(super) model: String,
    /// Format of its file.
    pub(super) format: String,
    /// Engine that `auto` stands for.
    pub(super) engine: String,
    /// Opening and loading the model.
    pub(super) load_ms: f64,
    /// The first answer after it.
    pub(super) first_ms: f64,
    /// Proportional set size before the model was opened, and after the first answer.
    pub(super) started_kib: u64,
    pub(super) loaded_kib: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ran {
    /// What each request took, in no order, in nanoseconds.
    pub(super) nanos: Vec<u64>,
    /// From the first request's begin to the last one's end, in microseconds.
    pub(super) wall_us: u64,
    /// Medians of the stages, when there are pictures.
    pub(super) stages_us: Option<Stages>,
    /// Proportional set size after it.
    pub(super) pss_kib: u64,
    /// Largest resident set so far, which only the kernel can see.
    pub(super) peak_rss_kib: u64,
}

/// Microseconds of each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stages {
    pub(crate) decode: u64,
    pub(crate) preprocess: u64,
    pub(crate) inference: u64,
    pub(crate) postprocess: u64,
}
