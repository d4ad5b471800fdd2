use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const DAY_S: u64 = 86_400;

/// What was taken today, kept over restarts.
#[derive(Debug)]
pub(crate) struct Budgets {
    path: PathBuf,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Taken {
    /// Days since 1970, in UTC.
    day: u64,
    bytes: BTreeMap<String, u64>,
}

impl Budgets {
    /// Those in a directory. A file that cannot be read counts as none: budgets protect bills, and
    /// must not keep samples from leaving for ever.
    pub(crate) fn open(directory: &Path) -> Self {
        let path = directory.join("budgets.json");
        let read = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, taken: Mutex::new(read.unwrap_or_default()) }
    }

    /// Takes so many bytes of what `name` may have today; false when that is too much.
    pub(crate) fn take(&self, name: &str, bytes: u64, most: u64, now: SystemTime) -> bool {
        let day = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY_S;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back does not give a day twice.
        if day > taken.day {
            *taken = Taken { day, bytes: BTreeMap::new() };
        }
        let before = taken.bytes.entry(name.to_owned()).or_default();
        match before.checked_add(bytes).filter(|sum| *sum <= most) {
            Some(sum) => *before = sum,
            None => return false,
        }
        // Not forced to the disk: after a loss of power a day may be a few samples longer.
        let written = serde_json::to_vec(&*taken).map(|text| {
            let new = self.path.with_extension("new");
            fs::write(&new, text).and_then(|()| fs::rename(new, &self.path))
        });
        if let Ok(Err(error)) = written {
            tracing::debug!("the budgets of today cannot be kept: {error}");
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_day_has_its_bytes_and_no_more() {
        let place = tempfile::tempdir().unwrap();
        let at = |hours: u64| UNIX_EPOCH + Duration::from_secs(20_000 * DAY_S + 3600 * hours);
        let budgets = Budgets::open(place.path());
        assert!(budgets.take("a", 60, 100, at(1)));
        assert!(!budgets.take("a", 41, 100, at(2)));
        assert!(budgets.take("a", 40, 100, at(3)) && budgets.take("b", 100, 100, at(3)));
        let budgets = Budgets::open(place.path());
        assert!(!budgets.take("a", 1, 100, at(23)), "it is kept");
        assert!(budgets.take("a", 100, 100, at(24)));
        assert!(!budgets.take("a", 1, 100, at(5)), "the clock was set back");
        assert!(!budgets.take("c", u64::MAX, 100, at(24)));
        fs::write(place.path().join("budgets.json"), "nonsense").unwrap();
        assert!(Budgets::open(place.path()).take("a", 100, 100, at(5)));
    }
}
