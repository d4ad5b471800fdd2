//! A group's functions and its connectors' addresses, beside the services.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use sedge_deploy::Store;
use sedge_greengrass::group::{Group, Parameters, Severity};
use sedge_greengrass::models::{self, Resources};
use sedge_greengrass::{Core, CoreStatus, InferenceConnector, Options, code};
use sedge_service::{ServiceState, Services};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::Definitions;
use super::bringing::Bringing;
use crate::config::{Config, Greengrass};

/// First pause before what could not be brought is tried again; the next is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for connectors before functions are started without them.
const CONNECTORS: Duration = Duration::from_secs(300);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What runs of a group, from one deployment to the next.
pub(crate) struct Running {
    root: PathBuf,
    lambda_dir: Option<PathBuf>,
    store: Arc<Store>,
    services: Arc<Services>,
    now: Mutex<Option<Now>>,
}

/// A group that runs, and with what.
struct Now {
    deployed: Deployed,
    core: Core,
    /// Whether its functions were started.
    started: bool,
    /// Brings the models and starts the functions.
    task: Option<AbortHandle>,
}

/// What makes a deployment another one.
#[derive(Clone, PartialEq)]
struct Deployed {
    group: Group,
    code: BTreeMap<String, PathBuf>,
    settings: Greengrass,
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
        Self { root, lambda_dir, store, services, now: Mutex::default() }
    }

    /// Runs a group as it is defined now, in the place of what runs. When something of the group
    /// changed, all functions are started anew, as in V1. Without a group nothing runs.
    ///
    /// Models that functions use are brought, and the functions started, after this returned.
    ///
    /// # Errors
    /// When code is missing; then nothing changes. When the core cannot listen; then nothing runs.
    pub(crate) async fn deploy(
        self: &Arc<Self>,
        group: Option<Group>,
        config: &Config,
    ) -> Result<()> {
        let Some(mut group) = group else {
            self.stop().await;
            return Ok(());
        };
        let code = self.find_code(&mut group, &config.greengrass)?;
        let bringing = Bringing::new(self.store.clone(), group.clone(), config)?;
        let deployed = Deployed { group, code, settings: config.greengrass.clone() };
        let mut now = self.now.lock().await;
        match &*now {
            Some(now) if now.deployed == deployed => now.end_task(),
            _ => {
                // The next core takes the port of the last one.
                if let Some(last) = now.take() {
                    last.stop().await;
                }
                not_yet(&deployed.group);
                let core = self.core(&deployed).await?;
                *now = Some(Now { deployed, core, started: false, task: None });
            }
        }
        if let Some(now) = &mut *now {
            let connectors = models::services(&now.deployed.group)?;
            let connectors = connectors.into_iter().map(|service| service.name).collect();
            let task = self.clone().bring(bringing, connectors);
            now.task = Some(tokio::spawn(task).abort_handle());
        }
        Ok(())
    }

    /// A core for a deployment, whose functions are not started.
    async fn core(&self, deployed: &Deployed) -> Result<Core> {
        let Deployed { group, code, settings } = deployed;
        let core = Core::new(group, self.options(group, code, settings)).await?;
        for service in models::services(group)? {
            let (address, logs) = (service.address.clone(), core.logs().clone());
            let services = self.services.clone();
            let connector = InferenceConnector::new(services, service.name, address, logs);
            core.register(&service.address, Arc::new(connector));
        }
        Ok(core)
    }

    /// Brings models and starts functions; goes on until all models are there, and starts the
    /// functions anew when one came later or is another than before.
    async fn bring(self: Arc<Self>, bringing: Bringing, connectors: Vec<String>) {
        let (bringing, mut pause) = (Arc::new(bringing), FIRST_PAUSE);
        loop {
            let all = bringing.clone();
            let brought = tokio::task::spawn_blocking(move || all.bring()).await;
            let brought = brought.unwrap_or_default();
            // Functions that ask once when they are imported, as documented ones do, ask in vain
            // while a model is still fetched: in V1 a deployment had it fetched before.
            let _ = tokio::time::timeout(CONNECTORS, self.settled(&connectors)).await;
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

    /// Waits until each of these services answers, or was found not to.
    async fn settled(&self, connectors: &[String]) {
        let is_settled = |name: &String| {
            self.services.get(name).is_some_and(|service| {
                service.is_ready() || matches!(service.state(), ServiceState::Broken(_))
            })
        };
        while !connectors.iter().all(is_settled) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Starts the functions, or starts them anew.
    async fn start(&self, anew: bool) -> Result<()> {
        let mut now = self.now.lock().await;
        let Some(Now { deployed, core, started, task }) = now.take() else { return Ok(()) };
        if started && !anew {
            *now = Some(Now { deployed, core, started, task });
            return Ok(());
        }
        let mut core = match started {
            true => {
                core.stop().await;
                self.core(&deployed).await?
            }
            false => core,
        };
        core.start();
        *now = Some(Now { deployed, core, started: true, task });
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
        let (mut places, mut missing) = (BTreeMap::new(), Vec::new());
        for function in &mut group.functions {
            let found = code::find(function, &lambda_dir, &unpacked);
            for problem in found.problems {
                match problem.severity {
                    Severity::Error => missing.push(problem.to_string()),
                    Severity::Warning => tracing::warn!("{problem}"),
                }
            }
            if let Some(code) = found.code {
                function.handler = Some(code.handler);
                places.insert(function.id.clone(), code.directory);
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

/// Says what of a group this version does not do.
fn not_yet(group: &Group) {
    for connector in &group.connectors {
        let what = match connector.parameters {
            Parameters::Inference(_) => continue,
            Parameters::Feedback(_) => "samples are not taken",
            Parameters::Metrics(_) => "metrics are not sent",
        };
        tracing::warn!(connector = connector.id, "{what} yet: this version only checks it");
    }
}
