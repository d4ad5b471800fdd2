use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::function::{
    self, Board, Fleet, FunctionStatus, Launch, LaunchError, MountPoints, OnDemand, Pinned, Shared,
    State, Surroundings,
};
use crate::group::{Function, Group, Level};
use crate::ipc::{Ipc, KeySource, Registry};
use crate::log::{LogSink, Logs};
use crate::router::{NoUplink, Router, Uplink};
use crate::secrets::Secrets;
use crate::shadow::Shadows;
use crate::{
    Answer, ArnError, Call, Callee, ConnectorArn, Failure, FunctionArn, local, router, secrets,
    shadow,
};

/// Longest wait for processes to end. They get two seconds to do so by themselves.
const STOP: Duration = Duration::from_secs(10);

/// Where a core keeps its things, and what functions find around them.
pub struct Options {
    /// The core's directory: `ggc/var/log`, `python`, `shadows`, `secrets` and `resources` are in
    /// it.
    pub directory: PathBuf,
    /// Port of the protocol on 127.0.0.1 (8000 in V1); 0 for one of the kernel's choice.
    pub port: u16,
    /// Interpreter for functions, in place of the one that is found.
    pub python: Option<PathBuf>,
    /// Directory of each function's code, by the function's id in the group.
    pub code: BTreeMap<String, PathBuf>,
    /// Directory of each machine-learning resource's files, by the resource's id.
    pub models: BTreeMap<String, PathBuf>,
    /// Account of the thing's ARN, where it is another than the group's definition says.
    pub account: Option<String>,
    /// Whether functions may run as root when their definition says so
    /// (`runtime.allowFunctionsToRunAsRoot` of V1).
    pub functions_may_be_root: bool,
    /// Where messages to the cloud go.
    pub uplink: Arc<dyn Uplink>,
    /// Who has keys for functions that ask Amazon's services themselves.
    pub keys: Option<Arc<dyn KeySource>>,
    /// Where the lines of loggers of type `AWSCloudWatch` go.
    pub log_sink: Option<Arc<dyn LogSink>>,
}

impl Options {
    /// The options of V1 for a directory, without code, models and a way to the cloud.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            port: 8000,
            python: None,
            code: BTreeMap::new(),
            models: BTreeMap::new(),
            account: None,
            functions_may_be_root: false,
            uplink: Arc::new(NoUplink::default()),
            keys: None,
            log_sink: None,
        }
    }
}

/// Why a core could not be started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StartError {
    // The causes stand in the text, so that they are no sources: who prints those prints them twice.
    #[error(
        "cannot listen on 127.0.0.1:{0} for functions: {1}. Hint: another program has the port: stop the core of before (`/greengrass/ggc/core/greengrassd stop`) or another Sedge, or set port below [greengrass] of the configuration (greengrass.port)"
    )]
    Listen(u16, io::Error),
    #[error("cannot write the modules for functions to {0}: {1}")]
    Python(PathBuf, io::Error),
    #[error(transparent)]
    Arn(#[from] ArnError),
}

/// How a core does.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CoreStatus {
    /// Port of the protocol.
    pub port: u16,
    /// Its functions, in the group's order.
    pub functions: Vec<FunctionStatus>,
    /// Messages that targets have taken.
    pub delivered: u64,
    /// Messages that no subscription takes.
    pub unroutable: u64,
    /// Messages that a target did not take.
    pub refused: u64,
}

/// A function that is to be started.
struct Planned {
    function: Function,
    launch: Result<Launch, LaunchError>,
}

/// Answers for a function that cannot be started.
struct Missing {
    why: String,
}

impl Callee for Missing {
    fn call(&self, _: Call) -> Answer {
        let failure = Failure::Unhandled(self.why.clone());
        Box::pin(async move { Err(failure) })
    }
}

/// What runs a group's functions: the protocol's server, their processes, subscriptions, shadows,
/// secrets and logs.
///
/// Two steps: [`Core::new`], then what else is to be called is [registered](Self::register), and
/// [`Core::start`] starts the functions, which may call it at once.
pub struct Core {
    ipc: Ipc,
    router: Arc<Router>,
    logs: Arc<Logs>,
    fleet: Arc<Fleet>,
    stop: watch::Sender<bool>,
    launches: Vec<Planned>,
    around: Surroundings,
    boards: Mutex<Vec<Arc<Board>>>,
    kept: Mutex<Vec<JoinHandle<()>>>,
}

impl Core {
    /// Gets ready to run a group's functions, and listens. To be called within a runtime whose
    /// thread lives as long as the core: the kernel ends functions with the thread that started
    /// them.
    ///
    /// # Errors
    /// When it cannot listen or write. A function that lacks something is told by [`Core::start`].
    pub async fn new(group: &Group, options: Options) -> Result<Self, StartError> {
        let Options { directory, .. } = &options;
        let logs = Arc::new(Logs::new(
            &directory.join("ggc/var/log"),
            &group.loggers,
            options.log_sink.clone(),
        ));
        let python = directory.join("python");
        function::install(&python).map_err(|error| StartError::Python(python, error))?;
        MountPoints::new(directory).clear();
        for problem in local::missing(group) {
            tracing::warn!("{problem}");
        }
        // Functions of another user only pass through.
        let _ = fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o711));
        let registry = Arc::new(Registry::default());
        let subscriptions = group.subscriptions.clone();
        let router =
            Router::new(subscriptions, registry.clone(), options.uplink.clone(), logs.clone());
        let shadows = Shadows::new(&directory.join("shadows"), &router);
        let secrets = Secrets::new(&directory.join("secrets"), group);
        registry.register(&router::ARN.parse()?, router.clone());
        registry.register(&shadow::ARN.parse()?, Arc::new(shadows));
        registry.register(&secrets::ARN.parse()?, Arc::new(secrets));
        let (port, keys) = (options.port, options.keys.clone());
        let ipc = Ipc::start(port, registry, keys).await;
        let ipc = ipc.map_err(|error| StartError::Listen(port, error))?;
        let around = surroundings(group, &options, ipc.port(), &logs);
        let launches = group.functions.iter().map(|function| {
            let code = options.code.get(&function.id).map(PathBuf::as_path);
            let launch = Launch::new(function, code, &around);
            Planned { function: function.clone(), launch }
        });
        let launches = launches.collect();
        let (stop, fleet) = (watch::Sender::new(false), Fleet::new());
        let (boards, kept) = (Mutex::default(), Mutex::default());
        Ok(Self { ipc, router, logs, fleet, stop, launches, around, boards, kept })
    }

    /// Lets `callee` answer calls of a connector's or another address.
    pub fn register(&self, arn: &FunctionArn, callee: Arc<dyn Callee>) {
        self.ipc.registry().register(arn, callee);
    }

    /// Lets `callee` take messages for a connector.
    pub fn register_connector(&self, arn: &ConnectorArn, callee: Arc<dyn Callee>) {
        self.router.register_connector(arn, callee);
    }

    /// What can be called.
    pub fn registry(&self) -> &Arc<Registry> {
        self.ipc.registry()
    }

    /// Where connectors publish.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Where connectors write.
    pub fn logs(&self) -> &Arc<Logs> {
        &self.logs
    }

    /// Starts the functions; those that run all the time begin now, and are started again when
    /// they end. Their models have to be there by now. A function that lacks its own, or anything
    /// else that it cannot be without, answers so, and the others run.
    pub fn start(&mut self) {
        let shared = Shared {
            seats: self.ipc.seats().clone(),
            logs: self.logs.clone(),
            stop: self.stop.subscribe(),
        };
        for Planned { function, launch } in std::mem::take(&mut self.launches) {
            let (arn, pinned) = (function.arn.clone(), function.pinned);
            let board = Arc::new(Board::new(arn.to_string(), pinned));
            self.boards.lock().unwrap_or_else(PoisonError::into_inner).push(board.clone());
            let placed = launch.and_then(|mut launch| {
                launch.place(&function, &self.around)?;
                Ok(launch)
            });
            let callee: Arc<dyn Callee> = match placed {
                Ok(launch) if pinned => {
                    let (pinned, kept) = Pinned::start(launch, shared.clone(), board);
                    self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
                    Arc::new(pinned)
                }
                Ok(launch) => {
                    Arc::new(OnDemand::new(launch, shared.clone(), self.fleet.clone(), board))
                }
                // Models arrive from elsewhere and devices are plugged in: the others run.
                Err(error) => {
                    let why = format!("the function {arn} cannot be started: {error}");
                    self.logs.write_runtime(Level::Error, &why, &[]);
                    self.logs.write_function(&arn, Level::Error, &why);
                    tracing::error!("{why}");
                    board.ended(&why);
                    board.set(State::Missing);
                    Arc::new(Missing { why })
                }
            };
            self.register(&arn, callee);
        }
        let about = [("port", json!(self.ipc.port()))];
        self.logs.write_runtime(Level::Info, "Functions are served.", &about);
    }

    /// How it does.
    pub fn status(&self) -> CoreStatus {
        let boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = &self.router.counts;
        CoreStatus {
            port: self.ipc.port(),
            functions: boards.iter().map(|board| board.read()).collect(),
            delivered: counts.delivered.load(Ordering::Relaxed),
            unroutable: counts.unroutable.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
        }
    }

    /// Ends all functions with everything they have started, and stops listening. Takes a few
    /// seconds at most.
    pub async fn stop(self) {
        self.fleet.stop();
        self.stop.send_replace(true);
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        for kept in kept {
            let _ = kept.await;
        }
        // Whoever keeps a process has an end of this, and so has what may start one.
        self.ipc.registry().clear();
        let _ = tokio::time::timeout(STOP, self.stop.closed()).await;
        self.ipc.stop().await;
        MountPoints::new(&self.around.directory).clear();
    }
}

fn surroundings(group: &Group, options: &Options, port: u16, logs: &Logs) -> Surroundings {
    let region = group.functions.first().map(|function| function.arn.region.as_str());
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    if let Some(thing) = &group.core_thing {
        set("AWS_IOT_THING_NAME", thing.clone());
        let made =
            |owner| format!("arn:aws:iot:{}:{owner}:thing/{thing}", region.unwrap_or_default());
        let arn = match (&options.account, &group.core_thing_arn) {
            (None, Some(arn)) => arn.clone(),
            (owner, _) => made(owner.as_deref().unwrap_or_default()),
        };
        set("AWS_IOT_THING_ARN", arn);
    }
    if let Some(id) = &group.id {
        set("GROUP_ID", id.clone());
    }
    if let Some(name) = &group.name {
        set("AWS_GREENGRASS_GROUP_NAME", name.clone());
    }
    let account = function::default_account();
    if account.is_none() && rustix::process::geteuid().is_root() && !group.functions.is_empty() {
        tracing::warn!(
            "functions that name no user run as root: this device has no ggc_user and ggc_group. \
             Hint: adduser --system ggc_user; addgroup --system ggc_group"
        );
    }
    Surroundings {
        directory: options.directory.clone(),
        python: options.python.clone(),
        port,
        level: Some(logs.function_level()),
        variables,
        resources: group.resources.clone(),
        models: options.models.clone(),
        account,
        may_be_root: options.functions_may_be_root,
    }
}
