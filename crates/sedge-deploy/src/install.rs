//! From a request to a candidate, and what becomes of it.

use std::path::{Path, PathBuf};

use sedge_cloud::{Utc, is_loopback};
use sedge_package::{Package, PackageError, is_archive, unpack_into, validate_service_name};

use crate::fetch::{self, Fetched, Seen};
use crate::request::Hooks;
use crate::store::disk;
use crate::{
    Artefact, Candidate, DeployError, History, InstallRequest, Installed, Plan, Source, State,
    Step, Store, Version,
};

const PINNED: &str = "without a given sha256 the first one that was installed from a URL counts; \
                      give the new one, or allow updates";
const GIVEN: &str = "give the sha256 of the file that is meant";

impl Store {
    /// What [`Store::install`] would do. Changes nothing; asks the source, and fetches nothing.
    ///
    /// # Errors
    /// A source that cannot be asked, or has no such model.
    pub fn plan(&self, service: &str, request: &InstallRequest) -> Result<Plan, DeployError> {
        let history = self.history(service)?;
        validate(request)?;
        let usable_bytes = disk::usable_bytes(self.root())?;
        let plan = |changed, bytes: Option<u64>| {
            let download_bytes = if request.source.is_remote() { bytes } else { Some(0) };
            Plan { changed, download_bytes, disk_bytes: bytes, usable_bytes }
        };
        if let Some(version) = given(&history, request) {
            return Ok(plan(history.current != Some(version.number), Some(0)));
        }
        let last = history.last_from(&request.source.to_string());
        Ok(match fetch::check(request, last.map(|last| &last.artefact), &Hooks::default())? {
            Seen::Changed(bytes) => plan(true, bytes),
            Seen::Unchanged => {
                last.map_or(Ok(()), |last| hold_to(request, &history, &last.artefact))?;
                // What was found bad is not installed again by itself.
                let wanted = |last: &Version| {
                    history.current != Some(last.number)
                        && (request.force || last.state == State::Good)
                };
                plan(last.is_none_or(wanted), Some(0))
            }
        })
    }

    /// Fetches what the source has to `staging` and unpacks an archive, if it is what was wanted.
    pub(crate) fn arrived(
        &self,
        request: &InstallRequest,
        history: &History,
        staging: &Path,
        hooks: &Hooks<'_>,
    ) -> Result<Fetched, DeployError> {
        let Fetched { path, artefact } = fetch::fetch(self, request, staging, hooks)?;
        hold_to(request, history, &artefact)?;
        let path = match is_archive(&path) {
            true => unpacked(&path, request, staging, hooks)?,
            false => path,
        };
        Ok(Fetched { path, artefact })
    }

    /// Fetches what the source has, unpacks and opens it, and puts it into the store. It is not in
    /// use before [`Store::commit`]. What is in the store already is not fetched again.
    ///
    /// # Errors
    /// Whatever keeps the model from arriving; nothing is left behind but an unfinished download,
    /// which the next call resumes.
    pub fn install(
        &self,
        service: &str,
        request: &InstallRequest,
        hooks: &Hooks<'_>,
    ) -> Result<Installed, DeployError> {
        validate_service_name(service)?;
        validate(request)?;
        let history = self.history(service)?;
        let (source, shown) = (request.source.to_string(), request.source.shown());
        if !request.force {
            let given = given(&history, request).filter(|known| (hooks.trusted)(&known.vouched_by));
            if let Some(version) = given.cloned() {
                return self.installed(service, &history, version);
            }
            if let Some(last) = history.last_from(&source).cloned()
                && matches!(fetch::check(request, Some(&last.artefact), hooks)?, Seen::Unchanged)
            {
                hold_to(request, &history, &last.artefact)?;
                match last.state {
                    State::Bad(reason) => {
                        return Err(known_bad(shown, service, last.number, reason));
                    }
                    State::Good if last.kept && (hooks.trusted)(&last.vouched_by) => {
                        return self.installed(service, &history, last);
                    }
                    State::Good => {}
                }
            }
        }
        let staging = self.staging()?;
        let Fetched { path, artefact } = self.arrived(request, &history, staging.path(), hooks)?;
        let package = Package::open(&path, &request.overrides)
            .map_err(|error| told(request, error, &path))?;
        let vouched_by = (hooks.check)(&package, &package.root)
            .map_err(|problem| DeployError::Refused { origin: shown.clone(), problem })?;
        let seen = history.versions.iter().rev().find(|seen| seen.identity == package.identity);
        if let Some(Version { number, state: State::Bad(reason), .. }) = seen
            && !request.force
        {
            return Err(known_bad(shown, service, *number, reason.clone()));
        }
        let _hold = self.add(&package, hooks)?;
        let version = Version {
            number: history.next_number(),
            identity: package.identity.clone(),
            entry: package.entry(),
            source,
            artefact,
            installed_at: Utc::now().rfc3339(),
            state: State::Good,
            vouched_by,
            kept: true,
        };
        if !request.force && history.current().is_some_and(|now| now.identity == version.identity) {
            return self.renew(service, version).map(Installed::Unchanged);
        }
        let path = self.path(&version);
        Ok(Installed::Candidate(Candidate { version, service: service.to_owned(), path, _hold }))
    }

    /// A version that the store has already: the one that runs, or a candidate of the same files.
    fn installed(
        &self,
        service: &str,
        history: &History,
        version: Version,
    ) -> Result<Installed, DeployError> {
        if history.current == Some(version.number) {
            return Ok(Installed::Unchanged(version));
        }
        let path = self.path(&version);
        let _hold = self.hold_stored(&version.identity).ok_or_else(|| DeployError::Io {
            act: "open",
            path: path.clone(),
            error: std::io::ErrorKind::NotFound.into(),
        })?;
        let version = Version {
            number: history.next_number(),
            installed_at: Utc::now().rfc3339(),
            ..version
        };
        Ok(Installed::Candidate(Candidate { version, service: service.to_owned(), path, _hold }))
    }

    /// Puts a candidate to use: it becomes the current version, and the one before it the way back.
    ///
    /// # Errors
    /// A history that cannot be written; then nothing has changed.
    pub fn commit(&self, candidate: &Candidate) -> Result<Version, DeployError> {
        self.change(&candidate.service, |history| {
            let version = Version { number: history.next_number(), ..candidate.version.clone() };
            history.push(version.clone());
            history.switch_to(version.number);
            version
        })
    }

    /// Writes down that a candidate was tried and found bad, so that it is not tried again, and
    /// lets go of its files.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn discard(&self, candidate: Candidate, reason: &str) -> Result<Version, DeployError> {
        let version = self.change(&candidate.service, |history| {
            let kept =
                history.current().is_some_and(|now| now.identity == candidate.version.identity);
            let state = State::Bad(reason.to_owned());
            let number = history.next_number();
            let version = Version { number, state, kept, ..candidate.version.clone() };
            history.push(version.clone());
            version
        })?;
        drop(candidate);
        self.tidy()?;
        Ok(version)
    }

    /// Puts the version before the current one to use, and writes down why the current one is bad.
    ///
    /// # Errors
    /// [`DeployError::NoPrevious`]; a history that cannot be written.
    pub fn roll_back(&self, service: &str, reason: &str) -> Result<Version, DeployError> {
        self.change(service, |history| history.roll_back(reason).cloned())?
            .ok_or_else(|| DeployError::NoPrevious(service.to_owned()))
    }

    /// The current version came again under another name or date, which is all that is new.
    fn renew(&self, service: &str, seen: Version) -> Result<Version, DeployError> {
        self.change(service, |history| {
            let current = history.current;
            let now = history.versions.iter_mut().find(|version| Some(version.number) == current);
            match now {
                Some(now) => {
                    (now.source, now.artefact) = (seen.source, seen.artefact);
                    now.vouched_by = seen.vouched_by;
                    now.clone()
                }
                None => seen,
            }
        })
    }
}

pub(crate) fn validate(request: &InstallRequest) -> Result<(), DeployError> {
    if let Some(digest) = &request.sha256
        && !(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(DeployError::Request(format!(
            "'{digest}' is no sha256. Hint: 64 hex digits, as `sha256sum FILE` prints them"
        )));
    }
    match &request.source {
        Source::Path(path) if path.is_dir() && request.sha256.is_some() => {
            Err(DeployError::Request(format!(
                "{} is a directory, which has no sha256. Hint: leave it out, or give an archive",
                path.display()
            )))
        }
        Source::Url(url)
            if url.starts_with("http://") && !is_loopback(url) && request.sha256.is_none() =>
        {
            Err(DeployError::Request(format!(
                "{} is plain http, where anybody could exchange the file. \
                 Hint: give its sha256, or use https",
                request.source.shown()
            )))
        }
        _ => Ok(()),
    }
}

/// The version whose file has the digest that is asked for. Then nobody needs to be asked.
fn given<'a>(history: &'a History, request: &InstallRequest) -> Option<&'a Version> {
    let wanted = request.sha256.as_ref()?;
    let from = request.source.to_string();
    let fits = |version: &&Version| {
        let same = version.artefact.sha256.as_ref().is_some_and(|d| d.eq_ignore_ascii_case(wanted));
        // The digest of a model file does not cover what lies beside it.
        let whole = request.source.is_remote() && version.source == from;
        same && whole && version.kept && version.state == State::Good
    };
    let current = history.current().filter(fits);
    current.or_else(|| history.versions.iter().rev().find(fits))
}

/// Holds a file to the digest that was given, or to that of the first file of its URL.
pub(crate) fn hold_to(
    request: &InstallRequest,
    history: &History,
    artefact: &Artefact,
) -> Result<(), DeployError> {
    let Some(actual) = artefact.sha256.clone() else { return Ok(()) };
    let origin = request.source.to_string();
    let from_here = |version: &&Version| version.source == origin && version.state == State::Good;
    let first = history.versions.iter().rev().find(from_here);
    let pinned = matches!(request.source, Source::Url(_)) && !request.accept_changed;
    let (expected, hint) = match (&request.sha256, first) {
        (Some(given), _) => (Some(given.to_ascii_lowercase()), GIVEN),
        (None, Some(first)) if pinned => (first.artefact.sha256.clone(), PINNED),
        _ => (None, ""),
    };
    match expected {
        Some(expected) if expected != actual => {
            Err(DeployError::Checksum { origin: request.source.shown(), expected, actual, hint })
        }
        _ => Ok(()),
    }
}

/// An error without where it lies for now, which means nothing to anybody.
fn told(request: &InstallRequest, error: PackageError, from: &Path) -> DeployError {
    DeployError::Package(error.relocated(from, Path::new(&request.source.shown())))
}

/// Unpacks an archive, which is then no longer needed, and says where.
fn unpacked(
    archive: &Path,
    request: &InstallRequest,
    staging: &Path,
    hooks: &Hooks<'_>,
) -> Result<PathBuf, DeployError> {
    hooks.report(Step::Unpack, 0, None)?;
    let directory = staging.join("unpacked");
    disk::make_directory(&directory)?;
    let free = disk::usable_bytes(staging)?;
    let budget = request.limits.package_bytes.min(free);
    if let Err(error) = unpack_into(archive, &directory, budget) {
        // Was it the archive, or the disk that it filled?
        return Err(match disk::usable_bytes(staging)? < free / 20 && budget == free {
            true => DeployError::NoSpace { path: staging.to_owned(), needed: free + 1, free },
            false => told(request, error, archive),
        });
    }
    disk::remove(archive)?;
    Ok(directory)
}

fn known_bad(origin: String, service: &str, number: u64, reason: String) -> DeployError {
    DeployError::KnownBad { origin, service: service.to_owned(), number, reason }
}
