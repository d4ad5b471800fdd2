//! A version from the files of an installed model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_engine::Registry;
use sedge_package::Package;
use sedge_service::{Pipeline, Service, Version};
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
    // A model of several files is named by one of them; in the store all are its own.
    let files = path.is_file().then(|| path.parent().map(Path::to_owned)).flatten();
    load_with(service, spec, options, number, path, files.into_iter().collect()).await
}

async fn load_with(
    service: &Service,
    spec: &ServiceSpec,
    options: &HostOptions,
    number: u64,
    path: &Path,
    files: Vec<PathBuf>,
) -> Result<Loaded, HostError> {
    match spec.isolation {
        Isolation::Process => in_process(service, spec, options, number, path, files).await,
        Isolation::Thread => in_threads(service, spec, number, path).await,
    }
}

/// Loads a model where it lies as the first version of a service, without a store.
///
/// # Errors
/// When the process or the model cannot be had.
pub async fn load_in_place(
    service: &Service,
    spec: &ServiceSpec,
    options: &HostOptions,
    path: &Path,
) -> Result<Arc<Version>, HostError> {
    let files = files_of(path, spec).await?;
    load_with(service, spec, options, 1, path, files).await.map(|loaded| loaded.version)
}

/// What a model consists of that is named by one of its files, among others that are not its own.
async fn files_of(path: &Path, spec: &ServiceSpec) -> Result<Vec<PathBuf>, HostError> {
    if spec.isolation == Isolation::Thread || !path.is_file() {
        return Ok(Vec::new());
    }
    let (path, overrides) = (path.to_owned(), spec.request.overrides.clone());
    let open = move || match Package::open(&path, &overrides) {
        Ok(package) => Ok(package.files().map(|(file, _)| file).collect()),
        Err(error) => Err(HostError::Load(error.to_string())),
    };
    tokio::task::spawn_blocking(open).await?
}

async fn in_process(
    service: &Service,
    spec: &ServiceSpec,
    options: &HostOptions,
    number: u64,
    path: &Path,
    files: Vec<PathBuf>,
) -> Result<Loaded, HostError> {
    let mut readable = options.readable.clone();
    readable.extend(files);
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
        environment: options.environment.clone(),
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

async fn in_threads(
    service: &Service,
    spec: &ServiceSpec,
    number: u64,
    path: &Path,
) -> Result<Loaded, HostError> {
    let options = spec.load_options();
    let (path, overrides) = (path.to_owned(), spec.request.overrides.clone());
    let open = move || {
        Pipeline::open(&path, &overrides, &Registry::new(None), &options)
            .map_err(|error| HostError::Load(error.to_string()))
    };
    let pipeline = tokio::task::spawn_blocking(open).await??;
    let version = Version::of_threads(number, &spec.name, Arc::new(pipeline), service.desk());
    let version = version.map_err(|error| HostError::Load(error.to_string()))?;
    Ok(Loaded { version, worker: None })
}
