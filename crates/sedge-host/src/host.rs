use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sedge_deploy::Store;
use sedge_service::{Service, ServiceState, Services, ServicesError};
use sedge_worker::LogLine;
use serde::Serialize;

use crate::keeper::Keeper;
use crate::{Details, HostError, HostOptions, ServiceSpec, Update};

/// Keeps services as they are specified, with the models of one store.
///
/// Everything happens on the runtime on which it is called; its thread has to live as long as the
/// host, whose processes end with it.
pub struct Host {
    services: Arc<Services>,
    store: Arc<Store>,
    options: HostOptions,
    keepers: Mutex<BTreeMap<String, Arc<Keeper>>>,
    /// One configuration after the other.
    applying: tokio::sync::Mutex<()>,
}

/// What becomes of a service by a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Start,
    /// It is another one than before.
    Change,
    /// It is as before; its source is looked at.
    Keep,
    /// It is no longer there.
    Stop,
}

/// What a configuration would do to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The service.
    pub service: String,
    /// What would become of it.
    pub change: Change,
    /// Whether its source has another model than the one that is installed.
    pub new_model: bool,
    /// Bytes that would be fetched, where the source tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_bytes: Option<u64>,
    /// Bytes that this takes on the disk, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Bytes of memory: its limit, else what it took at most so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Why it would not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Host {
    /// A host without services yet.
    pub fn new(services: Arc<Services>, store: Arc<Store>, options: HostOptions) -> Arc<Self> {
        let (keepers, applying) = Default::default();
        Arc::new(Self { services, store, options, keepers, applying })
    }

    /// Makes the services those of `specs`, changing only what is another one. It returns before
    /// models are there: services start, or go on with what they have, meanwhile.
    ///
    /// # Errors
    /// Names that are taken twice or break the rule; then nothing is changed.
    pub async fn apply(&self, specs: Vec<ServiceSpec>) -> Result<Vec<(String, Change)>, HostError> {
        let _one = self.applying.lock().await;
        let mut names = BTreeSet::new();
        for spec in &specs {
            sedge_package::validate_service_name(&spec.name).map_err(ServicesError::from)?;
            if !names.insert(spec.name.clone()) {
                return Err(ServicesError::Duplicate(spec.name.clone()).into());
            }
        }
        let mut changes = Vec::new();
        let gone: Vec<_> = self.names().into_iter().filter(|name| !names.contains(name)).collect();
        for name in gone {
            changes.push((name.clone(), Change::Stop));
            let keeper = self.keepers().remove(&name);
            self.services.remove(&name);
            if let Some(keeper) = keeper {
                tokio::spawn(async move { keeper.end().await });
            }
        }
        for spec in specs {
            let name = spec.name.clone();
            let change = self.change_of(&spec);
            let known = self.keepers().get(&name).cloned();
            match (change, known) {
                (Change::Change, Some(keeper)) => keeper.change(spec),
                // Who sleeps looks at his source when he wakes.
                (Change::Keep, Some(keeper)) if keeper.service.state() == ServiceState::Asleep => {}
                (Change::Keep, Some(keeper)) => {
                    tokio::spawn(async move { keeper.update(false).await });
                }
                _ => self.add(spec)?,
            }
            changes.push((name, change));
        }
        Ok(changes)
    }

    fn add(&self, spec: ServiceSpec) -> Result<(), HostError> {
        let service = Service::new(&spec.name, spec.limits, self.services.events().clone())?;
        let service = self.services.add(service)?;
        let name = spec.name.clone();
        let keeper = Keeper::new(service, self.store.clone(), self.options.clone(), spec);
        self.keepers().insert(name, keeper.clone());
        keeper.begin();
        Ok(())
    }

    fn change_of(&self, spec: &ServiceSpec) -> Change {
        match self.keepers().get(&spec.name) {
            None => Change::Start,
            Some(keeper) if keeper.spec().revision == spec.revision => Change::Keep,
            Some(_) => Change::Change,
        }
    }

    /// What [`Self::apply`] would do, changing nothing. Asks sources, and blocks.
    pub fn plan(&self, specs: &[ServiceSpec]) -> Vec<Planned> {
        let mut planned: Vec<Planned> = specs.iter().map(|spec| self.planned(spec)).collect();
        let stays = |name: &String| specs.iter().any(|spec| spec.name == *name);
        for service in self.names().into_iter().filter(|name| !stays(name)) {
            planned.push(Planned {
                service,
                change: Change::Stop,
                new_model: false,
                download_bytes: None,
                disk_bytes: None,
                memory_bytes: None,
                error: None,
            });
        }
        planned
    }

    fn planned(&self, spec: &ServiceSpec) -> Planned {
        let plan = self.store.plan(&spec.name, &spec.request);
        let (plan, error) = match plan {
            Ok(plan) => (Some(plan), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let serving = self.services.get(&spec.name).and_then(|service| service.serving());
        let peak = serving.and_then(|version| version.status().memory).map(|memory| memory.peak);
        let new = plan.as_ref().filter(|plan| plan.changed);
        Planned {
            service: spec.name.clone(),
            change: self.change_of(spec),
            new_model: new.is_some(),
            download_bytes: new
                .filter(|_| spec.request.source.is_remote())
                .and_then(|plan| plan.download_bytes),
            disk_bytes: new.and_then(|plan| plan.disk_bytes),
            memory_bytes: spec.memory_bytes.or(peak),
            error,
        }
    }

    /// Looks at a service's source now; `force` also takes what was found bad before.
    ///
    /// # Errors
    /// Whatever stands against the update; what answered goes on answering.
    pub async fn update(&self, name: &str, force: bool) -> Result<Update, HostError> {
        self.whole(name, move |keeper| async move { keeper.update(force).await }).await
    }

    /// Goes back to the version before.
    ///
    /// # Errors
    /// When there is none, or it cannot be loaded; what answered goes on answering.
    pub async fn roll_back(&self, name: &str) -> Result<Update, HostError> {
        let reason = "it was asked for";
        self.whole(name, move |keeper| async move { keeper.roll_back(reason).await }).await
    }

    /// Loads what answers once more and switches to it.
    ///
    /// # Errors
    /// When it cannot be loaded; what answered goes on answering.
    pub async fn restart(&self, name: &str) -> Result<Update, HostError> {
        self.whole(name, |keeper| async move { keeper.restart().await }).await
    }

    /// Tries a service again that was given up.
    ///
    /// # Errors
    /// When it still cannot be started.
    pub async fn reset(&self, name: &str) -> Result<Update, HostError> {
        self.whole(name, |keeper| async move { keeper.reset().await }).await
    }

    /// The last lines that a service's processes wrote.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn logs(&self, name: &str) -> Result<Vec<LogLine>, HostError> {
        Ok(self.keeper(name)?.logs())
    }

    /// What people are told of a service beyond its requests.
    ///
    /// # Errors
    /// When there is no such service, or its history cannot be read.
    pub fn details(&self, name: &str) -> Result<Details, HostError> {
        Ok(self.keeper(name)?.details()?)
    }

    /// Stops all services; each answers what it admitted.
    pub async fn stop(&self) {
        let keepers: Vec<_> = std::mem::take(&mut *self.keepers()).into_values().collect();
        let mut ends = tokio::task::JoinSet::new();
        for keeper in keepers {
            ends.spawn(async move { keeper.end().await });
        }
        ends.join_all().await;
    }

    /// Does something with a service to its end, whether or not who asked waits for it: a change
    /// that stops in its middle would leave one version in the history and another one answering.
    async fn whole<F>(
        &self,
        name: &str,
        act: impl FnOnce(Arc<Keeper>) -> F,
    ) -> Result<Update, HostError>
    where
        F: Future<Output = Result<Update, HostError>> + Send + 'static,
    {
        tokio::spawn(act(self.keeper(name)?)).await?
    }

    fn names(&self) -> Vec<String> {
        self.keepers().keys().cloned().collect()
    }

    fn keeper(&self, name: &str) -> Result<Arc<Keeper>, HostError> {
        // Taken once: whoever waits here for a lock of his own waits for ever, and all others too.
        let keepers = self.keepers();
        keepers.get(name).cloned().ok_or_else(|| HostError::unknown(name, keepers.keys()))
    }

    fn keepers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Keeper>>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("services", &self.names()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn host(root: &std::path::Path) -> Arc<Host> {
        let options = HostOptions {
            keep_versions: 1,
            max_store_bytes: None,
            check: Arc::new(|_, _| Ok(Vec::new())),
            trusted: Arc::new(|_| true),
            program: "sedge".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            readable: Vec::new(),
            load_timeout: Duration::from_secs(1),
            most_ends: 1,
        };
        Host::new(Arc::default(), Arc::new(Store::open(root).unwrap()), options)
    }

    /// It once waited for a lock that it held itself, and with it the whole server.
    #[test]
    fn a_service_that_is_not_there_is_told_and_nothing_waits() {
        let (say, said) = mpsc::sync_channel(6);
        std::thread::spawn(move || {
            let root = tempfile::tempdir().unwrap();
            let host = host(root.path());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            say.send(host.logs("catz").unwrap_err().to_string()).unwrap();
            say.send(host.details("catz").unwrap_err().to_string()).unwrap();
            for act in ["update", "rollback", "restart", "reset"] {
                let result = runtime.block_on(async {
                    match act {
                        "update" => host.update("catz", false).await,
                        "rollback" => host.roll_back("catz").await,
                        "restart" => host.restart("catz").await,
                        _ => host.reset("catz").await,
                    }
                });
                say.send(result.unwrap_err().to_string()).unwrap();
            }
        });
        for _ in 0..6 {
            let told = said.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(told.starts_with("there is no service 'catz'. Hint: there are none"), "{told}");
        }
        let known = ["cats".to_owned(), "dogs".to_owned()];
        let error = HostError::unknown("catz", known.iter()).to_string();
        assert_eq!(error, "there is no service 'catz'. Hint: these are: cats, dogs");
    }
}
