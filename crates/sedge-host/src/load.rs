//! A version from the files of an installed model.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_engine::{Registry, worker_environment};
use sedge_package::Package;
use sedge_service::{OpenError, Pipeline, Service, Version};
use sedge_worker::{Launch, LoadSpec, Worker};

use crate::{HostError, HostOptions, Isolation, ServiceSpec};

/// A version that is ready, and the worker behind it where there is one.
pub(crate) struct Loaded {
    pub(crate) version: Arc<Version>,
    pub(crate) worker: Option<Arc<Worker>>,
}

/// Loads the model at `path` as version `number` of a service.
pub(crate) async fn load(
    service: &Service,
    spec: &ServiceSpec,
    options: &HostOptions,
    number: u64,
    path: &Path,
) -> Result<Loaded, HostError> {
    // A version of the store has a directory of its own, also where it is opened by one file.
    let own = path.parent().filter(|_| path.is_file()).map(Into::into);
    load_beside(service, spec, options, number, path, own).await
}

/// The same; a process may also read what lies `beside` the model.
async fn load_beside(
    service: &Service,
    spec: &ServiceSpec,
    options: &HostOptions,
    number: u64,
    path: &Path,
    beside: Option<PathBuf>,
) -> Result<Loaded, HostError> {
    if spec.isolation == Isolation::Thread
        && let Some(loaded) = in_threads(service, spec, number, path).await?
    {
        return Ok(loaded);
    }
    in_process(service, spec, options, number, path, beside).await
}

/// Loads a model where it lies as the first version of a service, without a store. Of a model of
/// several files that is named by one of them, `beside` is their directory.
///
/// # Errors
/// When the process or the model cannot be had.
pub async fn load_in_place(
    service: &Service,
    spec: &ServiceSpec,
    options: &HostOptions,
    path: &Path,
    beside: Option<PathBuf>,
) -> Result<Arc<Version>, HostError> {
    load_beside(service, spec, options, 1, path, beside).await.map(|loaded| loaded.version)
}

async fn in_process(
    service: &Service,
    spec: &ServiceSpec,
    options: &HostOptions,
    number: u64,
    path: &Path,
    beside: Option<PathBuf>,
) -> Result<Loaded, HostError> {
    let mut readable = options.readable.clone();
    readable.extend(beside);
    // Labels and the like that the configuration names lie beside it, not in the package.
    let named = spec.request.overrides.iter().filter_map(|(_, value, _)| value.as_str());
    readable.extend(named.map(Path::new).filter(|path| path.is_absolute()).map(Into::into));
    let load = LoadSpec {
        service: spec.name.clone(),
        model: path.to_owned(),
        overrides: spec.request.overrides.clone(),
        engine: spec.engine.clone(),
        threads: spec.threads,
        lanes: spec.limits.instances,
        max_pixels: spec.max_pixels,
        max_batch: spec.limits.max_batch,
        readable,
    };
    let launch = Launch {
        program: options.program.clone(),
        arguments: options.arguments.clone(),
        environment: environment(options, spec.threads),
        load,
        load_timeout: options.load_timeout,
        grace: spec.grace,
        memory_bytes: spec.memory_bytes,
        most_ends: options.most_ends,
    };
    let desk = service.desk();
    let worker = Worker::start(launch, desk.clone()).await?;
    let version = Version::new(number, desk, worker.clone());
    Ok(Loaded { version, worker: Some(worker) })
}

/// What all workers find in their environment, and how many threads this one's runtime may have.
fn environment(options: &HostOptions, threads: usize) -> Vec<(OsString, OsString)> {
    let threads = worker_environment(threads);
    let threads = threads.into_iter().map(|(name, value)| (name.into(), value.into()));
    options.environment.iter().cloned().chain(threads).collect()
}

/// Loads a model into this process; `None` for machine code, which is not let in.
async fn in_threads(
    service: &Service,
    spec: &ServiceSpec,
    number: u64,
    path: &Path,
) -> Result<Option<Loaded>, HostError> {
    let options = spec.load_options();
    let (path, overrides) = (path.to_owned(), spec.request.overrides.clone());
    let open = move || -> Result<Option<Pipeline>, OpenError> {
        let package = Package::open(&path, &overrides)?;
        if package.compiled.is_some() {
            return Ok(None);
        }
        Ok(Some(Pipeline::load(package, &Registry::new(None), &options)?))
    };
    let loaded = tokio::task::spawn_blocking(open).await?;
    let loaded = loaded.map_err(|error| HostError::Load(error.to_string()))?;
    let Some(pipeline) = loaded else {
        let service = &spec.name;
        tracing::warn!(service, "machine code of others runs in a process of its own only");
        return Ok(None);
    };
    let version = Version::of_threads(number, &spec.name, Arc::new(pipeline), service.desk());
    let version = version.map_err(|error| HostError::Load(error.to_string()))?;
    Ok(Some(Loaded { version, worker: None }))
}
