//! Fuzz targets: one module per kind of bytes that come from outside.
//!
//! For: `cargo fuzz`, whose programs in `fuzz_targets/` do nothing but call [`Target::run`], and
//! for the test that replays the corpus in `testdata/fuzz/` on every change. Not for: anything the
//! product needs; nothing depends on this crate.
//!
//! Read [`Target`] first, then the module of one target. `docs/fuzzing.md` says how to run them.

#![forbid(unsafe_code)]

pub mod archive;
pub mod group;
mod guard;
mod http;
pub mod image;
pub mod manifest;
mod model;
pub mod mqtt;
pub mod mxnet;
pub mod npz;
pub mod oip;
pub mod onnx;
mod png;
pub mod sagemaker;
pub mod seeds;
pub mod signature;
pub mod spool;
pub mod tensorflow;
pub mod tflite;
pub mod variables;

pub use guard::escaped_panics;

use std::process::ExitCode;

/// One way into the program for bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the program, of the directory in `testdata/fuzz/`, of the dictionary.
    pub name: &'static str,
    /// Most bytes of memory that one input may take at a time.
    pub max_peak_bytes: usize,
    body: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 15] = [
    image::TARGET,
    tflite::TARGET,
    onnx::TARGET,
    tensorflow::TARGET,
    variables::TARGET,
    npz::TARGET,
    mxnet::TARGET,
    manifest::TARGET,
    archive::TARGET,
    signature::TARGET,
    sagemaker::TARGET,
    oip::TARGET,
    group::TARGET,
    mqtt::TARGET,
    spool::TARGET,
];

impl Target {
    /// Gives the bytes to the code under test, which must come back without a panic.
    pub fn run(&self, bytes: &[u8]) {
        guard::install();
        (self.body)(bytes);
    }
}

/// Runs the files named on the command line: what a target's program does when it was not built
/// for fuzzing. A panic ends it.
pub fn replay_arguments(target: &Target) -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    for file in &files {
        match std::fs::read(file) {
            Ok(bytes) => target.run(&bytes),
            Err(error) => {
                let _ = std::io::Write::write_fmt(
                    &mut std::io::stderr(),
                    format_args!("cannot read '{}': {error}\n", file.display()),
                );
                return ExitCode::FAILURE;
            }
        }
    }
    if escaped_panics().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The program of a target.
#[macro_export]
macro_rules! main {
    ($target:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::$target::TARGET.run(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::replay_arguments(&$crate::$target::TARGET)
        }
    };
}
