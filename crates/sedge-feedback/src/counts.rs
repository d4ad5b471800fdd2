use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What became of the samples of one configuration since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Considered, whatever came of it.
    pub considered: u64,
    /// Not taken by the strategy.
    pub not_taken: u64,
    /// Not taken for want of budget.
    pub over_budget: u64,
    /// Would have left, were it not for a dry run.
    pub dry: u64,
    /// Handed to the spool.
    pub queued: u64,
    /// Put into the bucket.
    pub uploaded: u64,
    /// Not put there again, as they are there.
    pub repeated: u64,
    /// Refused by the bucket for good.
    pub refused: u64,
    /// Bytes put into the bucket.
    pub uploaded_bytes: u64,
}

/// Counts by configuration.
#[derive(Debug, Default)]
pub struct Counts {
    all: Mutex<BTreeMap<String, Counted>>,
}

impl Counts {
    /// The counts of each configuration that had a sample.
    pub fn all(&self) -> BTreeMap<String, Counted> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count(&self, configuration: &str, change: impl FnOnce(&mut Counted)) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(configuration.to_owned()).or_default());
    }
}
