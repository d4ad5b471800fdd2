//! A group's functions and its connectors' addresses, beside the services.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use sedge_deploy::Store;
use sedge_greengrass::group::{Group, Severity};
use sedge_greengrass::models::{self, Resources};
use sedge_greengrass::{Core, CoreStatus, InferenceConnector, Options, code};
use sedge_service::Services;
use tokio::sync::Mutex;

use super::{Definitions, bring_resources};
use crate::config::{Config, Greengrass};

/// What runs of a group, from one deployment to the next.
pub(crate) struct Running {
    root: PathBuf,
    lambda_dir: PathBuf,
    store: Arc<Store>,
    services: Arc<Services>,
    now: Mutex<Option<Now>>,
}

/// A group that runs, and with what.
struct Now {
    group: Group,
    code: BTreeMap<String, PathBuf>,
    settings: Greengrass,
    core: Core,
}

impl Running {
    /// Nothing that runs yet.
    pub(crate) fn new(
        root: &Path,
        definitions: &Definitions,
        store: Arc<Store>,
        services: Arc<Services>,
    ) -> Self {
        let root = root.to_owned();
        let lambda_dir = definitions.lambda_dir.clone().unwrap_or_else(|| root.join("lambda"));
        Self { root, lambda_dir, store, services, now: Mutex::default() }
    }

    /// Runs a group as it is defined now, in the place of what runs. When something of the group
    /// changed, all functions are started anew, as in V1. Without a group nothing runs.
    ///
    /// # Errors
    /// When code is missing; then nothing changes. When the core cannot listen; then nothing runs.
    pub(crate) async fn deploy(&self, group: Option<Group>, config: &Config) -> Result<()> {
        let mut now = self.now.lock().await;
        let Some(mut group) = group else {
            if let Some(Now { core, .. }) = now.take() {
                core.stop().await;
            }
            return Ok(());
        };
        let code = self.find_code(&mut group)?;
        let bring = bring_resources(&self.store, group.clone(), config)?;
        let settings = config.greengrass.clone();
        let same = |now: &Now| now.group == group && now.code == code && now.settings == settings;
        if now.as_ref().is_some_and(same) {
            tokio::task::spawn_blocking(bring).await?;
            return Ok(());
        }
        // The next core takes the port of the last one.
        if let Some(Now { core, .. }) = now.take() {
            core.stop().await;
        }
        let mut core = Core::new(&group, self.options(&group, &code, &settings)).await?;
        for service in models::services(&group)? {
            let connector = InferenceConnector::new(self.services.clone(), service.name);
            core.register(&service.address, Arc::new(connector));
        }
        // What functions open when they are imported has to be there.
        tokio::task::spawn_blocking(bring).await?;
        core.start();
        *now = Some(Now { group, code, settings, core });
        Ok(())
    }

    /// Where each function's code lies, by the function's id; what the code says of its handler is
    /// written into the group.
    fn find_code(&self, group: &mut Group) -> Result<BTreeMap<String, PathBuf>> {
        let unpacked = self.root.join("greengrass/code");
        let (mut places, mut missing) = (BTreeMap::new(), Vec::new());
        for function in &mut group.functions {
            let found = code::find(function, &self.lambda_dir, &unpacked);
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
        if let Some(Now { core, .. }) = self.now.lock().await.take() {
            core.stop().await;
        }
    }
}
