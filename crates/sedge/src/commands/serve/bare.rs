//! `sedge serve MODEL...`: models where they lie, loaded before the server listens.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use sedge_engine::Registry;
use sedge_host::{HostOptions, Isolation, ServiceSpec};
use sedge_package::{Package, is_archive};
use sedge_service::{ModelInfo, Pipeline, Service, Services, Version};

use crate::apart::Place;
use crate::config::Config;
use crate::hosting::{self, Flags};
use crate::root;

/// Starts a service for each model, in a process of its own where that is asked for, or where it is
/// machine code of others. Packages that are given back are unpacked for as long as they are kept.
pub(super) async fn start(
    config: &Config,
    flags: &Flags,
    services: &Services,
) -> Result<Vec<Package>> {
    let root = root::choose(None, config.root.as_deref());
    let options = hosting::options(config, &root)?;
    let specs = hosting::specs(config, flags)?;
    if specs.iter().any(|spec| spec.isolation == Isolation::Process) {
        let _ = sedge_worker::prepare();
        sedge_worker::clear_away();
    }
    let registry = Registry::new(Some(&root::runtimes(&root)));
    let mut unpacked = Vec::new();
    for (section, spec) in config.service.iter().zip(specs) {
        let name = &spec.name;
        let started = Instant::now();
        let service = Service::new(name, spec.limits, services.events().clone())?;
        let version = async {
            let package = match open(&spec, &section.model)? {
                Opened::Here(package) => return in_threads(&service, &spec, package, &registry),
                Opened::Apart(package) => package,
            };
            let version = in_process(&service, spec.clone(), &options, &section.model, &package);
            let version = version.await?;
            unpacked.extend(package.filter(|_| is_archive(&section.model)));
            Ok(version)
        };
        let version = version.await.with_context(|| format!("cannot start service '{name}'"))?;
        tell(name, version.info(), started);
        service.switch(version);
        services.add(service)?;
    }
    Ok(unpacked)
}

/// Where a model is to run. What only a process has to open is not opened here.
enum Opened {
    Here(Package),
    Apart(Option<Package>),
}

fn open(spec: &ServiceSpec, model: &Path) -> Result<Opened> {
    if spec.isolation == Isolation::Process && model.is_dir() {
        return Ok(Opened::Apart(None));
    }
    let package = Package::open(model, &spec.request.overrides)?;
    Ok(match spec.isolation == Isolation::Process || package.compiled.is_some() {
        true => Opened::Apart(Some(package)),
        false => Opened::Here(package),
    })
}

async fn in_process(
    service: &Service,
    mut spec: ServiceSpec,
    options: &HostOptions,
    model: &Path,
    package: &Option<Package>,
) -> Result<Arc<Version>> {
    spec.isolation = Isolation::Process;
    let (model, beside) = match package {
        None => (std::path::absolute(model)?, None),
        Some(package) => {
            let place = Place::of(model, package, &spec.request.overrides)?;
            spec.request.overrides = place.overrides;
            (place.model, place.beside)
        }
    };
    let version = sedge_host::load_in_place(service, &spec, options, &model, beside).await?;
    if let Some(missing) = &version.info().missing {
        tracing::warn!(service = spec.name, "takes raw tensors only: {missing}");
    }
    Ok(version)
}

fn in_threads(
    service: &Service,
    spec: &ServiceSpec,
    package: Package,
    registry: &Registry,
) -> Result<Arc<Version>> {
    if let Err(incomplete) = package.pipeline() {
        tracing::warn!(service = spec.name, "takes raw tensors only: {incomplete}");
    }
    for note in &package.notes {
        tracing::warn!(service = spec.name, "{note}");
    }
    let pipeline = Arc::new(Pipeline::load(package, registry, &spec.load_options())?);
    Ok(Version::of_threads(1, &spec.name, pipeline, service.desk())?)
}

fn tell(name: &str, info: &ModelInfo, started: Instant) {
    let load_ms = started.elapsed().as_millis() as u64;
    let model = format!("{}@{}", info.name, info.identity);
    tracing::info!(
        service = name,
        model,
        engine = info.engine,
        task = info.task,
        load_ms,
        "loaded"
    );
}
