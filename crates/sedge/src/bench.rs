//! Measuring a model on this machine: variants in processes of their own, taken in turns.
//!
//! One process holds one variant, so that neither memory nor threads of one are charged to
//! another. [`conduct`] starts them, lets them run one after the other round by round, and
//! [`report`] says what came of it.

pub(crate) mod conduct;
pub(crate) mod figures;
pub(crate) mod machine;
mod memory;
pub(crate) mod plot;
mod protocol;
pub(crate) mod report;
pub(crate) mod worker;

use std::fmt;
use std::str::FromStr;

/// One way to run the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// Name of the engine.
    pub(crate) engine: String,
    /// Threads of one inference.
    pub(crate) threads: usize,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.engine, self.threads)
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').and_then(|(engine, threads)| {
            Some(Self { engine: engine.to_owned(), threads: threads.parse().ok()? })
        });
        parts
            .filter(|variant| variant.threads > 0 && !variant.engine.is_empty())
            .ok_or_else(|| "not ENGINE:THREADS".into())
    }
}
