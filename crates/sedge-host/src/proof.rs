//! The proof that a version gives the right answers here, before anybody else asks it.

use std::path::Path;
use std::sync::Arc;

use sedge_package::Package;
use sedge_service::{ModelInfo, Request, Response, Runner, RunnerError, Version, replay};
use tokio::runtime::Handle;

use crate::{HostError, ServiceSpec};

/// Differences that a message tells of.
const MOST_TOLD: usize = 3;

/// Has a version answer the golden cases of its package; says how many there were.
pub(crate) async fn prove(
    version: &Arc<Version>,
    spec: &ServiceSpec,
    path: &Path,
) -> Result<usize, HostError> {
    let asker = Asker { version: version.clone(), runtime: Handle::current() };
    let (path, overrides) = (path.to_owned(), spec.request.overrides.clone());
    let all = move || {
        let package =
            Package::open(&path, &overrides).map_err(|error| HostError::Load(error.to_string()))?;
        let mut told = Vec::new();
        for case in &package.golden {
            let name = case.image.as_ref().or(case.tensors.as_ref()).unwrap_or(&case.expected);
            match replay(&asker, &package.root, case) {
                Err(error) => told.push(format!("{name}: {error}")),
                Ok(compared) => told.extend(compared.into_iter().filter_map(|comparison| {
                    let problem = comparison.problem?;
                    Some(format!("{name}: {}: {problem}", comparison.output))
                })),
            }
        }
        if told.is_empty() {
            return Ok(package.golden.len());
        }
        let more = told.len().saturating_sub(MOST_TOLD);
        told.truncate(MOST_TOLD);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let engine = asker.info().engine.clone();
        Err(HostError::Golden { engine, differences: told.join("; ") + &more })
    };
    tokio::task::spawn_blocking(all).await?
}

/// Asks a version from a thread that may block.
struct Asker {
    version: Arc<Version>,
    runtime: Handle,
}

impl Runner for Asker {
    fn info(&self) -> &ModelInfo {
        self.version.info()
    }

    fn run(&self, request: &Request) -> Result<Response, RunnerError> {
        self.runtime.block_on(self.version.answer(request.clone()))
    }
}
