//! Tests that need another system than the real one.

mod model;
mod power;
mod simulated;
