//! Decoders against stored outputs of real detectors, and against slow, plain implementations.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(clippy::print_stdout, reason = "the differences are worth reading: `--nocapture`")]

mod npy;
mod properties;
mod references;
mod slow;
