//! One file from a remote source: resumed where it broke off, held to its limits on the way.

use std::path::Path;

use sedge_cloud::{ClientError, Response, back_off};
use sha2::{Digest, Sha256};

use super::Fetched;
use super::pace::{Pace, wait};
use super::part::Part;
use super::site::{Site, content, range};
use crate::request::Hooks;
use crate::store::disk;
use crate::{Artefact, DeployError, InstallRequest, Step, Store};

/// A download that goes on by so much has not failed in a row.
const HEADWAY_BYTES: u64 = 64 << 10;
/// How often the caller hears of it, and how often the disk is asked when nobody said the size.
const REPORT_BYTES: u64 = 256 << 10;
const SPACE_BYTES: u64 = 8 << 20;

/// Downloads into `staging`. What cannot be finished stays in the store for the next call, when
/// the server can tell whether it is still the same.
pub(super) fn download(
    store: &Store,
    site: &Site,
    request: &InstallRequest,
    staging: &Path,
    hooks: &Hooks<'_>,
) -> Result<Fetched, DeployError> {
    let name = sedge_package::hex(&Sha256::digest(request.source.to_string()))[..32].to_owned();
    let _alone = store.claim(&name, || wait(std::time::Duration::from_millis(50), hooks))?;
    let mut part = Part::open(&store.incoming(), &name)?;
    let mut failures = 0;
    loop {
        let before = part.bytes;
        let error = match attempt(site, &mut part, request, hooks) {
            Ok(()) => break,
            Err(DeployError::Transfer(error)) if error.may_pass() => error,
            Err(error) => return given_up(part, error),
        };
        failures = if part.bytes >= before + HEADWAY_BYTES { 1 } else { failures + 1 };
        if failures >= site.attempts {
            return given_up(part, error.into());
        }
        if let Err(cancelled) = wait(back_off(failures), hooks) {
            return given_up(part, cancelled);
        }
    }
    let path = staging.join(&site.file_name);
    let (bytes, content) = (part.bytes, part.content.clone());
    let sha256 = Some(part.finish(&path)?);
    let (etag, last_modified) = (content.etag, content.last_modified);
    let artefact = Artefact { bytes, sha256, etag, last_modified, ..Artefact::default() };
    Ok(Fetched { path, artefact })
}

/// Keeps what can be resumed and nothing else.
fn given_up(part: Part, error: DeployError) -> Result<Fetched, DeployError> {
    let resumable = part.bytes > 0
        && part.content.strong_etag().is_some()
        && matches!(error, DeployError::Transfer(_) | DeployError::Cancelled);
    if !resumable {
        part.discard()?;
    }
    Err(error)
}

/// One request and its answer, added to the part.
fn attempt(
    site: &Site,
    part: &mut Part,
    request: &InstallRequest,
    hooks: &Hooks<'_>,
) -> Result<(), DeployError> {
    if part.is_whole() && is_current(site, part)? {
        return Ok(());
    }
    let mut response = resume(site, part)?;
    let size = part.content.bytes;
    allow(request, part, size.unwrap_or(part.bytes))?;
    let mut pace = Pace::new(request.remote.max_bytes_per_s, request.remote.progress_timeout);
    let mut buffer = vec![0; pace.portion()];
    let (mut reported, mut asked) = (0, part.bytes);
    hooks.report(Step::Fetch, part.bytes, size)?;
    loop {
        let count = match response.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(ClientError::Unreachable { url, .. }) => {
                return Err(ClientError::Truncated { url, got: part.bytes, size }.into());
            }
            Err(error) => return Err(error.into()),
        };
        part.append(&buffer[..count])?;
        reported += count as u64;
        if reported >= REPORT_BYTES {
            hooks.report(Step::Fetch, part.bytes, size)?;
            reported = 0;
        }
        if size.is_none_or(|size| part.bytes > size) || part.bytes >= asked + SPACE_BYTES {
            allow(request, part, part.bytes)?;
            asked = part.bytes;
        }
        pace.spend(count, hooks)?;
        if let Some(problem) = pace.too_slow() {
            return Err(ClientError::Stalled { url: response.url, problem }.into());
        }
    }
    hooks.report(Step::Fetch, part.bytes, size)?;
    match size {
        Some(size) if part.bytes < size => {
            Err(ClientError::Truncated { url: response.url, got: part.bytes, size: Some(size) }
                .into())
        }
        Some(size) if part.bytes > size => Err(ClientError::Response {
            url: response.url,
            problem: format!("it sent {} bytes and announced {size}", part.bytes),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Whether the server still has what is there already.
fn is_current(site: &Site, part: &Part) -> Result<bool, DeployError> {
    let etag = part.content.etag.clone().unwrap_or_default();
    let first = ("range", "bytes=0-0".to_owned());
    Ok(site.get(&[first, ("if-none-match", etag)])?.status == 304)
}

/// Asks for what is missing, and for all when that is not to be had. Afterwards the part is of
/// what the answer gives, from its first byte on.
fn resume(site: &Site, part: &mut Part) -> Result<Response, DeployError> {
    if let (true, false, Some(etag)) = (part.bytes > 0, part.is_whole(), part.content.strong_etag())
    {
        let rest = ("range", format!("bytes={}-", part.bytes));
        let response = site.get(&[rest, site.same(etag)])?;
        let now = content(&response);
        let starts = response.header("content-range").and_then(range).and_then(|(first, _)| first);
        let same =
            now.etag.as_deref().is_none_or(|now| now == etag) && now.bytes == part.content.bytes;
        match response.status {
            206 if same && starts == Some(part.bytes) => return Ok(response),
            200 => {
                part.restart(now)?;
                return Ok(response);
            }
            _ => {}
        }
    }
    let response = site.get(&[])?;
    if response.status != 200 {
        let (url, status) = (response.url, response.status);
        let problem = "it was asked for the whole file without conditions".to_owned();
        return Err(ClientError::Status { url, status, problem }.into());
    }
    part.restart(content(&response))?;
    Ok(response)
}

/// Refuses what is too large, or will not fit on the disk.
fn allow(request: &InstallRequest, part: &Part, bytes: u64) -> Result<(), DeployError> {
    let limit = request.limits.download_bytes;
    if bytes > limit {
        let origin = request.source.shown();
        return Err(DeployError::TooLarge { origin, bytes, limit });
    }
    disk::require_space(part.directory(), bytes.saturating_sub(part.bytes))
}
