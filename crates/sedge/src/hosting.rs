//! From a configuration to services that are kept as it says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sedge_api::{Action, ManageError, Managed, Manager};
use sedge_deploy::{InstallRequest, Remote, Source, Store};
use sedge_engine::{Engine, Registry};
use sedge_greengrass::group::Group;
use sedge_host::{Host, HostError, HostOptions, Isolation, ServiceSpec, Watch};
use sedge_package::validate_service_name;
use sedge_service::{Limits, LoadOptions, Services};
use sedge_vision::DecodeLimits;
use serde_json::{Value, json};

use crate::cloud;
use crate::config::{self, Config, ServiceConfig};
use crate::egress::Egress;
use crate::greengrass::{self, GroupFlags, Running};
use crate::overrides::Override;
use crate::root;

/// Longest time until a model is loaded; a large one on a slow card takes minutes.
const LOAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Ends in a row after which a process is not started again: half a minute of pauses.
const MOST_ENDS: u32 = 8;
/// What workers need of this process's environment.
const PASSED_ON: [&str; 4] = ["LD_LIBRARY_PATH", "TMPDIR", "RUST_BACKTRACE", "GLIBC_TUNABLES"];

/// What the command line says beside the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) overrides: Vec<Override>,
    pub(crate) max_megapixels: Option<u64>,
}

/// Where it stands what is served, to be read again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) config: Option<PathBuf>,
    pub(crate) group: GroupFlags,
}

impl Sources {
    /// The configuration, with the name of the group's core and the services of its connectors,
    /// and the group.
    pub(crate) fn read(&self) -> Result<(Config, Option<Group>)> {
        let config = self.config.as_deref().map(Config::read).transpose()?;
        let mut config = config.unwrap_or_default();
        let group = self.group.clone().or(&config.greengrass).read()?;
        if let Some(group) = &group {
            config.service.extend(greengrass::sections(group));
            let thing = &mut config.cloud.thing;
            *thing = thing.take().or_else(|| group.core_thing.clone());
        }
        Ok((config, group))
    }

    /// The same for whoever stands elsewhere.
    pub(crate) fn absolute(self) -> Result<Self> {
        let config = self.config.map(std::path::absolute).transpose()?;
        Ok(Self { config, group: self.group.absolute()? })
    }
}

/// The services of a configuration.
pub(crate) fn specs(config: &Config, flags: &Flags) -> Result<Vec<ServiceSpec>> {
    let remote = cloud::remote(config)?;
    config.service.iter().map(|section| spec(config, section, flags, &remote)).collect()
}

fn spec(
    config: &Config,
    section: &ServiceConfig,
    flags: &Flags,
    remote: &Remote,
) -> Result<ServiceSpec> {
    let name = section.name();
    validate_service_name(&name)?;
    let source = source(section).with_context(|| format!("service '{name}'"))?;
    let mut request = InstallRequest::new(source);
    request.sha256.clone_from(&section.sha256);
    // Whoever wants updates wants what the address gives then.
    request.accept_changed = section.update_every_s > 0;
    request.overrides = section.overrides().into_iter().chain(flags.overrides.clone()).collect();
    request.limits.download_bytes = config.download.max_mib << 20;
    request.remote = remote.clone();
    let megapixels = flags.max_megapixels.or(config.max_megapixels);
    let pixels = megapixels.map(DecodeLimits::of_megapixels).unwrap_or_default();
    let (load, limits) = (LoadOptions::default(), Limits::default());
    Ok(ServiceSpec {
        engine: section.engine.clone().unwrap_or(load.engine),
        threads: section.threads.unwrap_or(load.threads),
        max_pixels: pixels.max_pixels,
        limits: Limits {
            queue: section.queue.unwrap_or(limits.queue),
            instances: section.instances.unwrap_or(limits.instances),
            timeout_ms: section.timeout_ms.unwrap_or(limits.timeout_ms),
            max_batch: section.max_batch,
            batch_wait_ms: section.batch_wait_ms,
        },
        isolation: match section.isolation {
            config::Isolation::Process => Isolation::Process,
            config::Isolation::Thread => Isolation::Thread,
        },
        grace: Duration::from_millis(section.grace_ms),
        memory_bytes: section.memory_mib.map(|mib| mib << 20),
        on_first_use: section.start == config::Start::FirstUse,
        update_every: (section.update_every_s > 0)
            .then(|| Duration::from_secs(section.update_every_s)),
        watch: section.rollback.as_ref().map(|rollback| Watch {
            window: Duration::from_secs(rollback.window_s),
            max_error_rate: rollback.max_error_rate,
            max_latency_ratio: rollback.max_latency_ratio,
        }),
        revision: format!("{section:?} {remote:?} {pixels:?} {:?}", request.overrides),
        name,
        request,
    })
}

fn source(section: &ServiceConfig) -> Result<Source> {
    let text = match section.address() {
        Some(address) => address.to_owned(),
        None => std::path::absolute(&section.model)?
            .to_str()
            .context("the model's path is not UTF-8")?
            .to_owned(),
    };
    if let Some(note) = Source::note(&text) {
        tracing::warn!("{note}");
    }
    Ok(text.parse()?)
}

/// How models are proved and processes started, as a configuration says. `root` is the directory
/// with the runtimes that were installed.
pub(crate) fn options(config: &Config, root: &Path) -> Result<HostOptions> {
    let (trusted, policy) = config.trust.read()?;
    let known: Vec<String> = trusted.ids().collect();
    let enough = move |signers: &[String]| {
        !policy.require_signature || signers.iter().any(|signer| known.contains(signer))
    };
    let check = move |_: &sedge_package::Package, directory: &Path| {
        let verified = sedge_package::verify(directory, &trusted, policy);
        let verified = verified.map_err(|error| error.to_string())?;
        Ok(verified.signers.into_iter().map(|signer| signer.key).collect())
    };
    let runtimes = std::path::absolute(root::runtimes(root))?;
    let registry = Registry::new(Some(&runtimes));
    let variables = registry.engines().filter_map(Engine::variable);
    let environment: Vec<(OsString, OsString)> = PASSED_ON
        .into_iter()
        .chain(variables)
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .chain([(root::RUNTIMES_VARIABLE.into(), runtimes.clone().into())])
        .collect();
    let mut readable = libraries(&registry);
    readable.push(runtimes);
    Ok(HostOptions {
        keep_versions: config.store.keep_versions,
        max_store_bytes: config.store.max_mib.map(|mib| mib << 20),
        check: Arc::new(check),
        trusted: Arc::new(enough),
        program: std::env::current_exe().context("cannot find this program")?,
        arguments: vec!["worker".into()],
        environment,
        readable,
        load_timeout: LOAD_TIMEOUT,
        most_ends: MOST_ENDS,
    })
}

/// Where the engines' libraries lie, which workers may read. Nothing is loaded for it.
fn libraries(registry: &Registry) -> Vec<PathBuf> {
    let engines = registry.engines().filter_map(Engine::library);
    let real = engines.filter_map(|path| path.canonicalize().ok());
    real.filter_map(|path| path.parent().map(Into::into)).collect()
}

/// A host for a configuration, whose services are not begun yet.
pub(crate) fn host(
    config: &Config,
    store: Arc<Store>,
    services: Arc<Services>,
) -> Result<Arc<Host>> {
    let options = options(config, store.root())?;
    Ok(Host::new(services, store, options))
}

/// The store below a root.
pub(crate) fn store(root: &Path) -> Result<Arc<Store>> {
    let store = Store::open(root).with_context(|| format!("cannot use {}", root.display()))?;
    Ok(Arc::new(store))
}

/// Tells the host what is asked for at the control socket.
pub(crate) struct Control {
    pub(crate) host: Arc<Host>,
    pub(crate) sources: Sources,
    pub(crate) flags: Flags,
    pub(crate) running: Arc<Running>,
    pub(crate) egress: Arc<Egress>,
}

impl Control {
    /// Reads configuration and group again and changes what they change; nothing when one of them
    /// is not valid.
    pub(crate) async fn reload(&self) -> Result<Value> {
        let (config, group) = self.sources.read()?;
        let specs = specs(&config, &self.flags)?;
        let ways = self.egress.apply(&config, group.as_ref()).await?;
        let functions = self.running.deploy(group, &config, ways).await?;
        let changes = self.host.apply(specs).await?;
        self.egress.watch(&config)?;
        let changes: Vec<_> = changes
            .into_iter()
            .map(|(service, change)| json!({ "service": service, "change": change }))
            .collect();
        Ok(json!({ "services": changes, "functions": functions }))
    }

    async fn plan(&self, path: PathBuf) -> Result<Value> {
        let sources = Sources { config: Some(path), ..self.sources.clone() };
        let specs = specs(&sources.read()?.0, &self.flags)?;
        let host = self.host.clone();
        let planned = tokio::task::spawn_blocking(move || host.plan(&specs)).await?;
        Ok(json!({ "services": planned }))
    }
}

fn managed(error: &HostError) -> ManageError {
    match error {
        HostError::Unknown { .. } => ManageError::Unknown(error.to_string()),
        _ => ManageError::Failed(error.to_string()),
    }
}

fn failed(error: &anyhow::Error) -> ManageError {
    ManageError::Failed(format!("{error:#}"))
}

impl Manager for Control {
    fn act(&self, service: String, action: Action) -> Managed<'_> {
        Box::pin(async move {
            let done = match action {
                Action::Update { force } => self.host.update(&service, force).await,
                Action::Rollback => self.host.roll_back(&service).await,
                Action::Restart => self.host.restart(&service).await,
                Action::Reset => self.host.reset(&service).await,
            };
            done.map(|update| json!({ "update": update })).map_err(|error| managed(&error))
        })
    }

    fn details(&self, service: String) -> Managed<'_> {
        let details = self.host.details(&service);
        Box::pin(async move { details.map(|details| json!(details)).map_err(|e| managed(&e)) })
    }

    fn logs(&self, service: String) -> Managed<'_> {
        let lines = self.host.logs(&service);
        Box::pin(async move { lines.map(|lines| json!(lines)).map_err(|error| managed(&error)) })
    }

    fn reload(&self) -> Managed<'_> {
        Box::pin(async move { Control::reload(self).await.map_err(|error| failed(&error)) })
    }

    fn greengrass(&self) -> Managed<'_> {
        Box::pin(async move { Ok(json!(self.running.status().await)) })
    }

    fn plan(&self, config: String) -> Managed<'_> {
        Box::pin(
            async move { Control::plan(self, config.into()).await.map_err(|error| failed(&error)) },
        )
    }
}
