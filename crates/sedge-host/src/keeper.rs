use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_deploy::{Candidate, DeployError, Hooks, Installed, Store};
use sedge_service::{Service, Version};
use sedge_worker::{LogLine, Worker};
use serde::Serialize;
use tokio::task::AbortHandle;

use crate::load::{Loaded, load};
use crate::proof::prove;
use crate::telling::Telling;
use crate::{HostError, HostOptions, ServiceSpec, watch};

/// Pauses between attempts to bring a model whose source does not answer.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What came of looking for a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// The source has what runs.
    Unchanged,
    /// What ran was begun anew.
    Restarted,
    /// Another version answers now.
    Switched {
        /// Its number.
        number: u64,
        /// Golden cases that it was held against.
        golden_cases: usize,
    },
}

/// What people are told of a service beyond its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Where its model comes from.
    pub source: String,
    /// Its versions, oldest first.
    pub versions: Vec<sedge_deploy::Version>,
    /// Number of the version that is put to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Number of the version that a roll-back leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// What is being fetched or stored now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Why the last update came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_error: Option<String>,
    /// Why the last version was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<String>,
}

/// Keeps one service as it was specified.
pub(crate) struct Keeper {
    pub(crate) service: Arc<Service>,
    store: Arc<Store>,
    options: HostOptions,
    spec: Mutex<ServiceSpec>,
    worker: Mutex<Option<Arc<Worker>>>,
    telling: Arc<Telling>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    tasks: Mutex<Vec<AbortHandle>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    pub(crate) fn new(
        service: Arc<Service>,
        store: Arc<Store>,
        options: HostOptions,
        spec: ServiceSpec,
    ) -> Arc<Self> {
        Arc::new(Self {
            service,
            store,
            options,
            spec: Mutex::new(spec),
            worker: Mutex::default(),
            telling: Arc::default(),
            changing: tokio::sync::Mutex::default(),
            tasks: Mutex::default(),
        })
    }

    pub(crate) fn spec(&self) -> ServiceSpec {
        locked(&self.spec).clone()
    }

    /// Begins to keep the service: brings it up, now or when it is asked, and looks for updates.
    pub(crate) fn begin(self: &Arc<Self>) {
        let spec = self.spec();
        if spec.on_first_use && self.service.serving().is_none() {
            let keeper = Arc::downgrade(self);
            self.service.sleep_until_asked(move || {
                if let Some(keeper) = keeper.upgrade() {
                    keeper.spawn(Self::bring_up);
                }
            });
        } else {
            self.service.begin_start();
            self.spawn(Self::bring_up);
        }
        self.look_for_updates();
    }

    fn look_for_updates(self: &Arc<Self>) {
        if let Some(every) = self.spec().update_every {
            self.spawn(move |keeper| async move {
                loop {
                    tokio::time::sleep(every).await;
                    // Who sleeps is brought up to date when he wakes.
                    if keeper.service.serving().is_some() {
                        let _ = keeper.update(false).await;
                    }
                }
            });
        }
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(Arc<Self>) -> F,
    ) {
        let handle = tokio::spawn(act(self.clone())).abort_handle();
        let mut tasks = locked(&self.tasks);
        tasks.retain(|task| !task.is_finished());
        tasks.push(handle);
    }

    /// Takes over another specification and begins anew with it; what answers goes on meanwhile.
    pub(crate) fn change(self: &Arc<Self>, spec: ServiceSpec) {
        self.end_tasks();
        self.service.set_limits(spec.limits);
        *locked(&self.spec) = spec;
        if self.service.serving().is_none() {
            self.begin();
            return;
        }
        self.spawn(|keeper| async move {
            let _ = keeper.deploy(false, true).await;
        });
        self.look_for_updates();
    }

    /// Stops keeping the service, which takes no more requests.
    pub(crate) async fn end(&self) {
        self.end_tasks();
        self.service.stop().await;
        let worker = locked(&self.worker).take();
        if let Some(worker) = worker {
            worker.end().await;
        }
    }

    fn end_tasks(&self) {
        locked(&self.tasks).drain(..).for_each(|task| task.abort());
    }

    /// Brings the service up, and tries again while its source does not answer.
    async fn bring_up(self: Arc<Self>) {
        let remote = self.spec().request.source.is_remote();
        // A device that starts without a network has what it had.
        if remote {
            let _ = self.load_current().await;
        }
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.update(false).await {
            if self.service.serving().is_none() {
                let service = self.service.name();
                match self.load_current().await {
                    Ok(true) => tracing::warn!(service, "answering with what was installed"),
                    Ok(false) => {}
                    Err(error) => tracing::error!(service, "nor what was installed: {error}"),
                }
            }
            self.service.fail_start(error.to_string());
            if !error.may_pass(remote) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Looks at the source; installs, loads, proves and switches to what is new there.
    pub(crate) async fn update(self: &Arc<Self>, force: bool) -> Result<Update, HostError> {
        self.deploy(force, false).await
    }

    /// The same, and with `anew` loads what answers once more, beside it, also when nothing is new
    /// there: its settings may be others.
    async fn deploy(self: &Arc<Self>, force: bool, anew: bool) -> Result<Update, HostError> {
        let _one = self.changing.lock().await;
        let result = self.deploy_locked(force, anew).await;
        self.telling.updated(result.as_ref().err());
        if let Err(error) = &result {
            self.tell_failed(error);
        }
        result
    }

    async fn deploy_locked(self: &Arc<Self>, force: bool, anew: bool) -> Result<Update, HostError> {
        match self.install(force).await? {
            Installed::Unchanged(version) if !anew && self.serves(version.number) => {
                Ok(Update::Unchanged)
            }
            Installed::Unchanged(version) => {
                let (loaded, golden_cases) = self.prepared_again(&version).await?;
                self.switch(loaded);
                Ok(Update::Switched { number: version.number, golden_cases })
            }
            Installed::Candidate(candidate) => self.try_candidate(candidate).await,
        }
    }

    async fn install(&self, force: bool) -> Result<Installed, HostError> {
        let (store, options, mut request) =
            (self.store.clone(), self.options.clone(), self.spec().request);
        let (name, telling) = (self.service.name().to_owned(), self.telling.clone());
        request.force = force;
        request.accept_changed |= force;
        let install = move || {
            let check = |package: &_, directory: &_| (options.check)(package, directory);
            let trusted = |signers: &[String]| (options.trusted)(signers);
            let progress = |progress| telling.progress(&name, Some(progress));
            let hooks =
                Hooks { progress: &progress, check: &check, trusted: &trusted, ..Hooks::default() };
            let installed = store.install(&name, &request, &hooks);
            telling.progress(&name, None);
            installed
        };
        Ok(tokio::task::spawn_blocking(install).await??)
    }

    async fn try_candidate(self: &Arc<Self>, candidate: Candidate) -> Result<Update, HostError> {
        let prepared = self.prepared(candidate.version.number, candidate.path.clone()).await;
        let (loaded, golden_cases) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let (store, reason) = (self.store.clone(), error.to_string());
                let discard = move || store.discard(candidate, &reason);
                if let Err(error) = tokio::task::spawn_blocking(discard).await? {
                    tracing::warn!(service = self.service.name(), "{error}");
                }
                return Err(error);
            }
        };
        let store = self.store.clone();
        let commit = move || store.commit(&candidate);
        let number = tokio::task::spawn_blocking(commit).await??.number;
        let before = self.switch(loaded);
        self.collect();
        if let (Some(before), Some(watch)) = (before, self.spec().watch) {
            let p50 = before.statistics().requests().quantile_us(0.5);
            self.spawn(move |keeper| async move {
                if let Some(reason) = watch::worse(&keeper.service, number, p50, watch).await
                    && let Err(error) = keeper.take_back(number, &reason).await
                {
                    tracing::error!(service = keeper.service.name(), "cannot go back: {error}");
                }
            });
        }
        Ok(Update::Switched { number, golden_cases })
    }

    fn serves(&self, number: u64) -> bool {
        self.service.serving().is_some_and(|version| version.number() == number)
    }

    /// Loads the version that the store has as the current one; false when there is none.
    async fn load_current(self: &Arc<Self>) -> Result<bool, HostError> {
        let _one = self.changing.lock().await;
        let Some(version) = self.history().await?.current().cloned() else { return Ok(false) };
        let (loaded, _) = self.prepared_again(&version).await?;
        self.switch(loaded);
        Ok(true)
    }

    async fn history(&self) -> Result<sedge_deploy::History, HostError> {
        let (store, name) = (self.store.clone(), self.service.name().to_owned());
        Ok(tokio::task::spawn_blocking(move || store.history(&name)).await??)
    }

    /// Goes back to the version before, which is loaded and proved beside what answers.
    pub(crate) async fn roll_back(self: &Arc<Self>, reason: &str) -> Result<Update, HostError> {
        let _one = self.changing.lock().await;
        self.roll_back_locked(reason).await
    }

    /// Goes back from a version, unless another one has taken its place meanwhile.
    async fn take_back(self: &Arc<Self>, number: u64, reason: &str) -> Result<Update, HostError> {
        let _one = self.changing.lock().await;
        match self.serves(number) {
            true => self.roll_back_locked(reason).await,
            false => Ok(Update::Unchanged),
        }
    }

    async fn roll_back_locked(self: &Arc<Self>, reason: &str) -> Result<Update, HostError> {
        let name = self.service.name();
        let history = self.history().await?;
        let previous = history.previous().filter(|version| version.kept).cloned();
        let previous = previous.ok_or_else(|| HostError::NoPrevious(name.to_owned()))?;
        let (loaded, golden_cases) = self.prepared_again(&previous).await?;
        let (store, service, why) = (self.store.clone(), name.to_owned(), reason.to_owned());
        let number = tokio::task::spawn_blocking(move || store.roll_back(&service, &why)).await??;
        tracing::warn!(service = name, version = number.number, "went back: {reason}");
        self.telling.rolled_back(reason);
        self.switch(loaded);
        Ok(Update::Switched { number: number.number, golden_cases })
    }

    /// Loads a version and has it prove itself; with how many golden cases.
    async fn prepared(&self, number: u64, path: PathBuf) -> Result<(Loaded, usize), HostError> {
        let spec = self.spec();
        let loaded = load(&self.service, &spec, &self.options, number, &path).await?;
        let cases = prove(&loaded.version, &spec, &path).await?;
        Ok((loaded, cases))
    }

    /// The same with a version of the store, if it may be used today.
    async fn prepared_again(
        &self,
        version: &sedge_deploy::Version,
    ) -> Result<(Loaded, usize), HostError> {
        match (self.options.trusted)(&version.vouched_by) {
            true => self.prepared(version.number, self.store.path(version)).await,
            false => Err(HostError::Untrusted(version.number)),
        }
    }

    /// Puts a version in the place of the one that answers, which goes when the last request that
    /// holds it is answered: closing it would refuse those that chose it a moment ago.
    fn switch(self: &Arc<Self>, loaded: Loaded) -> Option<Arc<Version>> {
        let Loaded { version, worker } = loaded;
        let info = version.info();
        tracing::info!(
            service = self.service.name(),
            version = version.number(),
            model = format!("{}@{}", info.name, info.identity),
            engine = info.engine,
            "switched"
        );
        *locked(&self.worker) = worker;
        self.service.switch(version)
    }

    /// Lets go of old versions, later.
    fn collect(&self) {
        let (store, options) = (self.store.clone(), self.options.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.collect(options.keep_versions, options.max_store_bytes) {
                tracing::warn!("cannot remove old versions: {error}");
            }
        });
    }

    fn tell_failed(&self, error: &HostError) {
        let service = self.service.name();
        match self.service.serving() {
            Some(version) => {
                let version = version.number();
                tracing::warn!(service, version, "no update, the version stays: {error}");
            }
            None => tracing::error!(service, "cannot be started: {error}"),
        }
    }

    /// Has the process begin anew; the version stays.
    pub(crate) async fn restart(self: &Arc<Self>) -> Result<Update, HostError> {
        self.service.begin_start();
        let restarted = match self.load_current().await {
            Ok(true) => Ok(Update::Restarted),
            Ok(false) => self.update(true).await,
            Err(error) => Err(error),
        };
        // Nobody is to wait for what does not come.
        restarted.inspect_err(|error| self.service.fail_start(error.to_string()))
    }

    /// Forgets crashes: a service that was given up is tried again.
    pub(crate) async fn reset(self: &Arc<Self>) -> Result<Update, HostError> {
        match self.service.serving() {
            Some(version) if !version.is_ready() => {
                version.reset();
                Ok(Update::Restarted)
            }
            Some(_) => Ok(Update::Unchanged),
            None => self.restart().await,
        }
    }

    pub(crate) fn logs(&self) -> Vec<LogLine> {
        locked(&self.worker).as_ref().map(|worker| worker.logs()).unwrap_or_default()
    }

    pub(crate) fn details(&self) -> Result<Details, DeployError> {
        let history = self.store.history(self.service.name())?;
        let details = Details {
            source: self.spec().request.source.to_string(),
            versions: history.versions,
            current: history.current,
            previous: history.previous,
            ..Details::default()
        };
        Ok(self.telling.complete(details))
    }
}
