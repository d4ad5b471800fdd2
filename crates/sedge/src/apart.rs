//! A model for a command: in this process, or in one of its own where it is machine code of others.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sedge_engine::Registry;
use sedge_package::{Origin, Package};
use sedge_service::{
    Events, Limits, LoadOptions, ModelInfo, Pipeline, Request, Response, Runner, RunnerError,
    Service,
};
use tokio::runtime::Runtime;

use crate::config::{Config, Isolation, ServiceConfig};
use crate::hosting::{self, Flags};
use crate::overrides::Override;
use crate::root;

/// Name of the service that a command has for itself.
const NAME: &str = "model";

/// Loads the model that was opened as `package` from `path`.
pub(crate) fn load(
    path: &Path,
    package: Package,
    overrides: &[Override],
    options: &LoadOptions,
) -> Result<Box<dyn Runner>> {
    if package.compiled.is_some() {
        return Ok(Box::new(Apart::start(path, package, overrides, options)?));
    }
    let registry = Registry::new(Some(&root::runtimes(&root::choose(None, None))));
    Ok(Box::new(Pipeline::load(package, &registry, options)?))
}

/// A worker process with one model, as a service has it.
struct Apart {
    /// Dropped in this order: the worker ends while there is a runtime, and reads its files.
    service: Service,
    info: ModelInfo,
    runtime: Runtime,
    _package: Package,
}

impl Apart {
    fn start(
        path: &Path,
        package: Package,
        overrides: &[Override],
        options: &LoadOptions,
    ) -> Result<Self> {
        let Place { model, beside, overrides } = Place::of(path, &package, overrides)?;
        let section = ServiceConfig {
            name: Some(NAME.into()),
            model,
            engine: Some(options.engine.clone()),
            threads: Some(options.threads),
            isolation: Isolation::Process,
            ..ServiceConfig::default()
        };
        let config = Config { service: vec![section], ..Config::default() };
        let flags = Flags { overrides, max_megapixels: None };
        let mut spec = hosting::specs(&config, &flags)?.pop().context("no model to load")?;
        spec.max_pixels = options.limits.max_pixels;
        let hosting = hosting::options(&config, &root::choose(None, None))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let service = Service::new(NAME, Limits::default(), Events::default())?;
        let model = config.service[0].model.as_path();
        let version = sedge_host::load_in_place(&service, &spec, &hosting, model, beside);
        let version = runtime.block_on(version)?;
        let info = version.info().clone();
        service.switch(version);
        Ok(Self { service, info, runtime, _package: package })
    }
}

impl Runner for Apart {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn run(&self, request: &Request) -> Result<Response, RunnerError> {
        self.runtime.block_on(self.service.submit(request.clone()))
    }
}

/// Where a process that writes nothing finds a model.
pub(crate) struct Place {
    pub(crate) model: PathBuf,
    /// The directory of a model of several files that is named by one of them.
    pub(crate) beside: Option<PathBuf>,
    pub(crate) overrides: Vec<Override>,
}

impl Place {
    /// The place of the model that was opened as `package` from `path`: an archive is unpacked for
    /// as long as that is kept, and the model keeps the archive's name.
    pub(crate) fn of(path: &Path, package: &Package, overrides: &[Override]) -> Result<Self> {
        let mut overrides = overrides.to_vec();
        if sedge_package::is_archive(path) {
            let name = toml::Value::from(package.name.clone());
            let origin = Origin::File("name of the archive".into());
            overrides.push(("model.name".into(), name, origin));
            return Ok(Self { model: package.root.clone(), beside: None, overrides });
        }
        let model = std::path::absolute(path)?;
        let several = package.compiled.is_some() || package.model_files().count() > 1;
        let beside = model.parent().filter(|_| several && path.is_file()).map(Into::into);
        Ok(Self { model, beside, overrides })
    }
}
