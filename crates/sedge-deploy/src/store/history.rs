//! The versions of a service: what was installed, where from, and which of them runs.

use std::path::{Path, PathBuf};

use sedge_package::validate_service_name;
use serde::{Deserialize, Serialize};

use super::Store;
use super::disk::{self, write_whole};
use crate::error::io_error;
use crate::{Artefact, DeployError};

/// How many versions a history remembers, most of them without their files.
const MOST_VERSIONS: usize = 64;
/// A history of so many versions is a few dozen KiB.
const MOST_BYTES: u64 = 4 << 20;
const SCHEMA: u32 = 1;

/// All versions of one service, in the order in which they were installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Number of the version that runs.
    pub current: Option<u64>,
    /// Number of the good version before it, to which a roll-back leads.
    pub previous: Option<u64>,
    /// The versions; the oldest are forgotten.
    pub versions: Vec<Version>,
}

/// One installed version of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts the installations of the service, from 1.
    pub number: u64,
    /// Identity of the package, 64 hex digits.
    pub identity: String,
    /// What to open, relative to the package's directory; empty for the directory itself.
    pub entry: String,
    /// Where it came from.
    pub source: String,
    /// The file or directory as the source had it.
    pub artefact: Artefact,
    /// When it was installed: RFC 3339, UTC, by the device's clock.
    pub installed_at: String,
    /// What came of it.
    pub state: State,
    /// Whose signatures it had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched_by: Vec<String>,
    /// Whether its files are still in the store.
    pub kept: bool,
}

/// What came of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was tried and put to use.
    Good,
    /// It failed, and why.
    Bad(String),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    schema: u32,
    #[serde(flatten)]
    history: History,
}

impl History {
    /// The version with a number.
    #[must_use]
    pub fn version(&self, number: u64) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// The version that runs.
    #[must_use]
    pub fn current(&self) -> Option<&Version> {
        self.version(self.current?)
    }

    /// The version to which a roll-back leads.
    #[must_use]
    pub fn previous(&self) -> Option<&Version> {
        self.version(self.previous?)
    }

    /// What was last installed from a source, whatever came of it.
    pub(crate) fn last_from(&self, source: &str) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.source == source)
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.versions.last().map_or(1, |last| last.number.saturating_add(1))
    }

    /// The newest good version before `number` whose files are kept.
    fn good_before(&self, number: u64) -> Option<u64> {
        let older = self.versions.iter().rev().filter(|version| version.number < number);
        older
            .filter(|version| version.kept && version.state == State::Good)
            .map(|version| version.number)
            .next()
    }

    /// Adds a version and forgets the oldest that nobody can go back to.
    pub(crate) fn push(&mut self, version: Version) {
        self.versions.push(version);
        while self.versions.len() > MOST_VERSIONS {
            let (current, previous) = (self.current, self.previous);
            let needed = |number| Some(number) == current || Some(number) == previous;
            match self.versions.iter().position(|version| !needed(version.number)) {
                Some(oldest) => self.versions.remove(oldest),
                None => return,
            };
        }
    }

    /// Puts a version to use; the one before it becomes the way back.
    pub(crate) fn switch_to(&mut self, number: u64) {
        if self.current != Some(number) {
            let good = self.current().is_some_and(|current| current.state == State::Good);
            self.previous = if good { self.current } else { self.previous };
            self.current = Some(number);
        }
        if self.previous == Some(number) {
            self.previous = self.good_before(number);
        }
    }

    /// Puts the version before to use and calls the current one bad.
    pub(crate) fn roll_back(&mut self, reason: &str) -> Option<&Version> {
        let (from, to) = (self.current?, self.previous().filter(|version| version.kept)?.number);
        let failed = self.versions.iter_mut().find(|version| version.number == from)?;
        failed.state = State::Bad(reason.to_owned());
        self.current = Some(to);
        self.previous = self.good_before(to);
        self.current()
    }
}

impl Store {
    /// The versions of a service; empty for one that was never installed.
    ///
    /// # Errors
    /// A name that is none, and histories that cannot be read.
    pub fn history(&self, service: &str) -> Result<History, DeployError> {
        let path = self.history_file(service)?;
        read(&path)
    }

    /// The services that have a history, sorted.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn services(&self) -> Result<Vec<String>, DeployError> {
        let named = |(name, _): (String, PathBuf)| name.strip_suffix(".json").map(str::to_owned);
        let mut names: Vec<String> =
            disk::entries(&self.services_directory())?.into_iter().filter_map(named).collect();
        names.retain(|name| validate_service_name(name).is_ok());
        names.sort();
        Ok(names)
    }

    /// Changes a history. The change is written whole or not at all.
    pub(crate) fn change<T>(
        &self,
        service: &str,
        change: impl FnOnce(&mut History) -> T,
    ) -> Result<T, DeployError> {
        let _alone = self.exclusive();
        let before = self.history(service)?;
        let mut history = before.clone();
        let result = change(&mut history);
        if history != before {
            self.write_history(service, &history)?;
        }
        Ok(result)
    }

    pub(super) fn write_history(
        &self,
        service: &str,
        history: &History,
    ) -> Result<(), DeployError> {
        let path = self.history_file(service)?;
        let stored = Stored { schema: SCHEMA, history: history.clone() };
        let mut bytes = serde_json::to_vec_pretty(&stored)
            .map_err(|error| io_error("write", &path)(error.into()))?;
        bytes.push(b'\n');
        write_whole(&path, &bytes)
    }

    fn history_file(&self, service: &str) -> Result<PathBuf, DeployError> {
        validate_service_name(service)?;
        Ok(self.services_directory().join(format!("{service}.json")))
    }
}

fn read(path: &Path) -> Result<History, DeployError> {
    let damaged = |problem: String| DeployError::History { path: path.to_owned(), problem };
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(History::default());
        }
        Err(error) => return Err(io_error("read", path)(error)),
        Ok(metadata) if metadata.len() > MOST_BYTES => {
            return Err(damaged(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
        }
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(io_error("read", path))?;
    let stored: Stored =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if stored.schema != SCHEMA {
        return Err(damaged(format!("its schema is {}, not {SCHEMA}", stored.schema)));
    }
    // Both name directories below the store.
    let plain = |version: &&Version| {
        let hex = version.identity.bytes().all(|b| b.is_ascii_hexdigit());
        let inside = Path::new(&version.entry)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        !(hex && version.identity.len() == 64 && inside)
    };
    match stored.history.versions.iter().find(plain) {
        Some(version) => Err(damaged(format!("version {} names no package", version.number))),
        None => Ok(stored.history),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> Version {
        Version {
            vouched_by: Vec::new(),
            number,
            identity: "0".repeat(64),
            entry: String::new(),
            source: "/m".to_owned(),
            artefact: Artefact::default(),
            installed_at: String::new(),
            state: State::Good,
            kept: true,
        }
    }

    fn installed(count: u64) -> History {
        let mut history = History::default();
        for number in 1..=count {
            history.push(version(number));
            history.switch_to(number);
        }
        history
    }

    #[test]
    fn the_way_back_leads_over_good_versions_only() {
        let mut history = installed(4);
        assert_eq!((history.current, history.previous), (Some(4), Some(3)));
        history.versions[1].state = State::Bad("it was".to_owned());
        assert_eq!(history.roll_back("slow").unwrap().number, 3);
        assert_eq!(history.previous, Some(1));
        assert_eq!(history.versions[3].state, State::Bad("slow".to_owned()));
        history.push(version(5));
        history.switch_to(5);
        assert_eq!((history.current, history.previous), (Some(5), Some(3)));
        assert_eq!(history.roll_back("slow").unwrap().number, 3);
        assert_eq!(history.roll_back("slow").unwrap().number, 1);
        assert_eq!(history.roll_back("slow"), None);
        assert_eq!(history.current, Some(1));
        assert_eq!(history.current().unwrap().state, State::Good);
    }

    #[test]
    fn old_versions_are_forgotten_and_numbers_go_on() {
        let mut history = installed(2);
        for number in 3..=100 {
            history.push(version(number));
        }
        assert_eq!(history.versions.len(), MOST_VERSIONS);
        assert_eq!(history.next_number(), 101);
        assert_eq!(history.current().unwrap().number, 2);
        assert_eq!(history.previous().unwrap().number, 1);
    }
}
