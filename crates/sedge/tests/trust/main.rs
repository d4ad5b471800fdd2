//! Services kept by `sedge serve --config`, attacked from outside: what is killed, fails, floods or
//! is exchanged under load, and what everybody else notices of it. `docs/reliability.md` says what
//! is promised and which test shows it.
//!
//! `SEDGE_KILL_ROUNDS=300 SEDGE_REQUESTS=10000 SEDGE_CYCLES=1000` make it the full run;
//! `SEDGE_KILL_SEED` repeats one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../program/mod.rs"]
mod program;

mod changes;
mod core_kills;
mod culprits;
mod cycles;
mod forms;
mod home;
mod http;
mod models;
mod random;
mod updates;
mod worker_kills;

/// A number of the environment, else what continuous integration has the time for.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}
