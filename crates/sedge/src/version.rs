//! What this build is.

use serde_json::{Value, json};

/// Version and build of the program, for reports.
pub(crate) fn build() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "arch": std::env::consts::ARCH,
        "optimised": !cfg!(debug_assertions),
        "engines": sedge_engine::Registry::new(None).names()[1..],
        "program_bytes": std::env::current_exe().and_then(|path| path.metadata()).map(|file| file.len()).ok(),
    })
}
