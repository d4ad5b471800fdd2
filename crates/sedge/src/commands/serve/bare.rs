//! `sedge serve MODEL...`: models where they lie, loaded before the server listens.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use sedge_engine::Registry;
use sedge_host::{HostOptions, Isolation, ServiceSpec};
use sedge_package::Package;
use sedge_service::{ModelInfo, Pipeline, Service, Services, Version};

use crate::config::Config;
use crate::hosting::{self, Flags};

/// Starts a service for each model, in a process of its own where that is asked for.
pub(super) async fn start(config: &Config, flags: &Flags, services: &Services) -> Result<()> {
    let options = hosting::options(config)?;
    let specs = hosting::specs(config, flags)?;
    if specs.iter().any(|spec| spec.isolation == Isolation::Process) {
        let _ = sedge_worker::prepare();
        sedge_worker::clear_away();
    }
    let registry = Registry::new(None);
    for (section, spec) in config.service.iter().zip(specs) {
        let name = &spec.name;
        let started = Instant::now();
        let service = Service::new(name, spec.limits, services.events().clone())?;
        let version = match spec.isolation {
            Isolation::Process => in_process(&service, &spec, &options, &section.model).await,
            Isolation::Thread => in_threads(&service, &spec, &section.model, &registry),
        };
        let version = version.with_context(|| format!("cannot start service '{name}'"))?;
        tell(name, version.info(), started);
        service.switch(version);
        services.add(service)?;
    }
    Ok(())
}

async fn in_process(
    service: &Service,
    spec: &ServiceSpec,
    options: &HostOptions,
    model: &Path,
) -> Result<Arc<Version>> {
    let model = std::path::absolute(model)?;
    let version = sedge_host::load_in_place(service, spec, options, &model).await?;
    if let Some(missing) = &version.info().missing {
        tracing::warn!(service = spec.name, "takes raw tensors only: {missing}");
    }
    Ok(version)
}

fn in_threads(
    service: &Service,
    spec: &ServiceSpec,
    model: &Path,
    registry: &Registry,
) -> Result<Arc<Version>> {
    let package = Package::open(model, &spec.request.overrides)?;
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
