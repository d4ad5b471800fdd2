//! Workers that do as they should and workers that do not, in processes of their own: this program
//! is the core, the worker, and in one case a core that is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod conduct;
mod core;
mod isolation;
mod limits;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("worker") => return sedge_worker::run(conduct::load, || {}),
        Some("core") => return core::serve_until_killed(),
        _ => {}
    }
    let trial = |(name, test): &(&'static str, fn())| {
        let test = *test;
        Trial::test(*name, move || {
            test();
            Ok(())
        })
    };
    let all = [core::TESTS, limits::TESTS, isolation::TESTS].concat();
    let mut arguments = Arguments::from_args();
    // They measure time and memory of processes that share two processors.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, all.iter().map(trial).collect()).exit_code()
}
