//! A group's functions and its connectors' addresses, beside the services.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use sedge_deploy::Store;
use sedge_greengrass::group::{Group, Severity};
use sedge_greengrass::models::{self, ConnectorService, Resources};
use sedge_greengrass::{Core, CoreStatus, InferenceConnector, Options, UnservedConnector, code};
use sedge_service::Services;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::Definitions;
use super::bringing::Bringing;
use crate::cloud;
use crate::config::{Config, Greengrass};
use crate::egress::{DeviceKeys, Ways};

/// First pause before what could not be brought is tried again; the next is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Longest wait for connectors before functions are started without them.
const CONNECTORS: Duration = Duration::from_secs(300);

/// What runs of a group, from one deployment to the next.
pub(crate) struct Running {
    root: PathBuf,
    lambda_dir: Option<PathBuf>,
    store: Arc<Store>,
    services: Arc<Services>,
    /// Keys for functions.
    keys: Arc<DeviceKeys>,
    now: Mutex<Option<Now>>,
}

/// A group that runs, and with what.
struct Now {
    deployed: Deployed,
    ways: Option<Arc<Ways>>,
    core: Core,
    connectors: Connectors,
    /// Whether its functions were started.
    started: bool,
    /// Brings the models and starts the functions.
    task: Option<AbortHandle>,
}

type Connectors = Vec<Arc<InferenceConnector>>;

/// What makes a deployment another one.
#[derive(Clone, PartialEq)]
struct Deployed {
    group: Group,
    code: BTreeMap<String, PathBuf>,
    /// Of the files in the directories of the code.
    code_identity: String,
    settings: Greengrass,
}

/// What a deployment did to functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Functions {
    /// There are none.
    None,
    /// They go on as they are; a model that is another than before starts them anew.
    Keep,
    /// They are started, anew where they ran.
    Start,
}

impl Running {
    /// Nothing that runs yet.
    pub(crate) fn new(
        root: &Path,
        definitions: &Definitions,
        store: Arc<Store>,
        services: Arc<Services>,
    ) -> Self {
        let (root, lambda_dir) = (root.to_owned(), definitions.lambda_dir.clone());
        Self { root, lambda_dir, store, services, keys: Arc::default(), now: Mutex::default() }
    }

    /// Runs a group as it is defined now, in the place of what runs. When something of the group
    /// or of its code changed, all functions are started anew, as in V1. Without a group nothing
    /// runs.
    ///
    /// Models that functions use are brought, and the functions started, after this returned.
    ///
    /// # Errors
    /// When code is missing; then nothing changes. When the core cannot listen; then nothing runs.
    pub(crate) async fn deploy(
        self: &Arc<Self>,
        group: Option<Group>,
        config: &Config,
        ways: Option<Arc<Ways>>,
    ) -> Result<Functions> {
        let Some(mut group) = group else {
            self.stop().await;
            return Ok(Functions::None);
        };
        let mut done = if group.functions.is_empty() { Functions::None } else { Functions::Keep };
        let code = self.find_code(&mut group, &config.greengrass)?;
        let remote = cloud::remote(config)?;
        let most_bytes = config.download.max_mib << 20;
        let bringing = Bringing::new(&self.store, &group, &remote, most_bytes);
        self.keys.ask(remote);
        let code_identity = code::identity(code.values());
        let deployed = Deployed { group, code, code_identity, settings: config.greengrass.clone() };
        let mut now = self.now.lock().await;
        match &*now {
            Some(now) if now.deployed == deployed && same(&now.ways, &ways) => now.end_task(),
            _ => {
                if done == Functions::Keep {
                    done = Functions::Start;
                }
                // The next core takes the port of the last one.
                if let Some(last) = now.take() {
                    last.stop().await;
                }
                let (core, connectors) = self.core(&deployed, ways.as_ref()).await?;
                let (started, task) = (false, None);
                *now = Some(Now { deployed, ways, core, connectors, started, task });
            }
        }
        if let Some(now) = &mut *now {
            let task = self.clone().bring(bringing, now.connectors.clone());
            now.task = Some(tokio::spawn(task).abort_handle());
        }
        Ok(done)
    }

    /// A core for a deployment, whose functions are not started, and its connectors.
    async fn core(
        &self,
        deployed: &Deployed,
        ways: Option<&Arc<Ways>>,
    ) -> Result<(Core, Connectors)> {
        let Deployed { group, code, settings, .. } = deployed;
        let mut options = self.options(group, code, settings);
        options.keys = Some(self.keys.clone());
        if let Some(ways) = ways {
            options.uplink = ways.uplink();
            options.log_sink = ways.log_sink();
        }
        let core = Core::new(group, options).await?;
        let feedback = match ways {
            Some(ways) => ways.connect(&core, group)?,
            None => None,
        };
        let served = models::services(group);
        for unserved in &served.unserved {
            tracing::error!("{}", unserved.error);
            let connector = UnservedConnector::new(unserved, core.logs());
            core.register(&unserved.address, Arc::new(connector));
        }
        let connect = |service: ConnectorService| {
            let (address, logs) = (service.address.clone(), core.logs().clone());
            let services = self.services.clone();
            let mut connector = InferenceConnector::new(services, service.name, address, logs);
            if let (Some(feedback), Some(configuration)) = (&feedback, service.feedback) {
                connector = connector.with_feedback(feedback.clone(), configuration);
            }
            let connector = Arc::new(connector);
            core.register(&service.address, connector.clone());
            connector
        };
        let connectors = served.services.into_iter().map(connect).collect();
        Ok((core, connectors))
    }

    /// Brings models and starts functions; goes on until all models are there, and starts the
    /// functions anew when one came later or is another than before.
    async fn bring(self: Arc<Self>, bringing: Bringing, connectors: Connectors) {
        let (bringing, mut pause) = (Arc::new(bringing), FIRST_PAUSE);
        loop {
            let all = bringing.clone();
            let brought = tokio::task::spawn_blocking(move || all.bring()).await;
            let brought = brought.unwrap_or_default();
            // Functions that ask once when they are imported, as documented ones do, ask in vain
            // while a model is still fetched: in V1 a deployment had it fetched before.
            let all_settled = async {
                for connector in &connectors {
                    connector.settled().await;
                }
            };
            let _ = tokio::time::timeout(CONNECTORS, all_settled).await;
            if let Err(error) = self.start(brought.changed).await {
                tracing::error!("functions cannot be started: {error:#}");
            }
            if !brought.missing {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Starts the functions, or starts them anew.
    async fn start(&self, anew: bool) -> Result<()> {
        let mut now = self.now.lock().await;
        let Some(mut running) = now.take() else { return Ok(()) };
        if running.started && anew {
            running.core.stop().await;
            (running.core, running.connectors) =
                self.core(&running.deployed, running.ways.as_ref()).await?;
            running.started = false;
        }
        if !running.started {
            running.core.start();
            running.started = true;
        }
        *now = Some(running);
        Ok(())
    }

    /// Where each function's code lies, by the function's id; what the code says of its handler is
    /// written into the group.
    fn find_code(
        &self,
        group: &mut Group,
        settings: &Greengrass,
    ) -> Result<BTreeMap<String, PathBuf>> {
        let named = self.lambda_dir.clone().or_else(|| settings.lambda_dir.clone());
        let lambda_dir = named.unwrap_or_else(|| self.root.join("lambda"));
        let unpacked = self.root.join("greengrass/code");
        let (places, problems) = code::find_all(group, &lambda_dir, &unpacked);
        let mut missing = Vec::new();
        for problem in problems {
            match problem.severity {
                Severity::Error => missing.push(problem.to_string()),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        match missing.as_slice() {
            [] => Ok(places),
            [one] => bail!("{one}"),
            all => bail!("{} problems with the code of functions: {}", all.len(), all.join("; ")),
        }
    }

    fn options(
        &self,
        group: &Group,
        code: &BTreeMap<String, PathBuf>,
        settings: &Greengrass,
    ) -> Options {
        let resources = Resources::new(&self.store);
        let models = group.resources.iter().filter(|resource| models::is_used(resource, group));
        let directory = |id: &String| (id.clone(), resources.directory(id));
        Options {
            port: settings.port,
            python: settings.python.clone(),
            account: settings.account.clone(),
            functions_may_be_root: settings.allow_root,
            code: code.clone(),
            models: models.map(|resource| directory(&resource.id)).collect(),
            ..Options::new(self.root.join("greengrass"))
        }
    }

    /// How the functions do; `None` when no group runs.
    pub(crate) async fn status(&self) -> Option<CoreStatus> {
        self.now.lock().await.as_ref().map(|now| now.core.status())
    }

    /// Ends all functions.
    pub(crate) async fn stop(&self) {
        if let Some(now) = self.now.lock().await.take() {
            now.stop().await;
        }
    }
}

fn same(one: &Option<Arc<Ways>>, other: &Option<Arc<Ways>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

impl Now {
    fn end_task(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    async fn stop(self) {
        self.end_task();
        self.core.stop().await;
    }
}
