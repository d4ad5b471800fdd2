//! Functions as real processes of Python, from outside: their lives, their limits, and what they
//! ask of the core and of each other.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod bench;
mod calls;
mod hostile;
mod lives;
mod places;
mod pythons;
mod sdk;
mod services;
