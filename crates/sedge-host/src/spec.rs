use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sedge_deploy::InstallRequest;
use sedge_package::Package;
use sedge_service::{Limits, LoadOptions};
use sedge_vision::DecodeLimits;

/// What a service is to be.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Its name.
    pub name: String,
    /// Where its model comes from, and what is laid over the model's settings.
    pub request: InstallRequest,
    /// Name of the engine, or `auto`.
    pub engine: String,
    /// Threads of one inference.
    pub threads: usize,
    /// Largest picture that is decoded.
    pub max_pixels: u64,
    /// What it may take.
    pub limits: Limits,
    /// What a failure of its model ends.
    pub isolation: Isolation,
    /// Time after a request's deadline until its process is ended.
    pub grace: Duration,
    /// Bytes its process may have resident.
    pub memory_bytes: Option<u64>,
    /// Whether it is only loaded when it is asked.
    pub on_first_use: bool,
    /// Pause between two looks at its source; `None`: only when it is deployed.
    pub update_every: Option<Duration>,
    /// When an update is taken back.
    pub watch: Option<Watch>,
    /// Everything that was said about it: a service is changed when this is.
    pub revision: String,
}

impl ServiceSpec {
    /// How its model is loaded into a process.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            engine: self.engine.clone(),
            threads: self.threads,
            limits: DecodeLimits { max_pixels: self.max_pixels },
            max_batch: self.limits.max_batch,
        }
    }
}

/// What a failure of a model ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A process of its own.
    Process,
    /// The whole program.
    Thread,
}

/// When a new version is taken back by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    /// How long it is watched.
    pub window: Duration,
    /// Share of its requests that may fail.
    pub max_error_rate: f64,
    /// How many times the median time of the version before it may take.
    pub max_latency_ratio: f64,
}

/// What a package has to pass before it enters the store.
pub(crate) type Check = dyn Fn(&Package, &Path) -> Result<Vec<String>, String> + Send + Sync;

/// Whether those who signed a version are enough for it to be used.
pub(crate) type Trusted = dyn Fn(&[String]) -> bool + Send + Sync;

/// What is the same for all services.
#[derive(Clone)]
pub struct HostOptions {
    /// Good versions of a service whose files are kept, at most.
    pub keep_versions: usize,
    /// Bytes that all versions may take.
    pub max_store_bytes: Option<u64>,
    /// What a package has to pass, as a signature; says who signed it.
    pub check: Arc<Check>,
    /// Whether what is installed may be used, by those who signed it.
    pub trusted: Arc<Trusted>,
    /// The program that is started for a process, and its arguments.
    pub program: PathBuf,
    /// See [`HostOptions::program`].
    pub arguments: Vec<OsString>,
    /// Everything that processes find in their environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What processes may read besides their model and the system's libraries.
    pub readable: Vec<PathBuf>,
    /// Longest time until a model is loaded.
    pub load_timeout: Duration,
    /// Ends in a row after which a process is not started again.
    pub most_ends: u32,
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions").field("program", &self.program).finish_non_exhaustive()
    }
}
