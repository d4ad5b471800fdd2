//! Packages of SageMaker Neo through the real runtime, and through one that ends its process in
//! every way.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../program/mod.rs"]
mod program;

mod deaths;
mod packages;
mod runtime;
