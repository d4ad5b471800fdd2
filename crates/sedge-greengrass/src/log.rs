//! Log files as Greengrass V1 writes them: `ggc/var/log/system/` and `ggc/var/log/user/`.
//!
//! Names, lines and levels are those that people and tools of V1 know; files are rotated by size.

mod file;
mod follow;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

pub(crate) use file::LogFile;
pub(crate) use follow::follow;

use crate::FunctionArn;
use crate::group::{Level, Logger};

/// What a log takes without a logger that says otherwise.
const SPACE_BYTES: u64 = 128 << 10;

/// How the logs of one kind are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Least level that is kept.
    pub(crate) level: Level,
    /// Most bytes of one log, its predecessor included.
    pub(crate) space_bytes: u64,
    /// Least level that goes to the cloud, where a logger says so.
    pub(crate) cloud: Option<Level>,
}

/// Takes the lines of loggers of type `AWSCloudWatch`.
pub trait LogSink: Send + Sync {
    /// Takes lines of a log, each with its end. Must not block: functions write them.
    ///
    /// Logs are named as CloudWatch's groups are below `/aws/greengrass/`:
    /// `GreengrassSystem/runtime`, `Lambda/REGION/ACCOUNT/FUNCTION`.
    fn take(&self, log: &str, lines: &[u8]);
}

/// All log files of a core.
pub struct Logs {
    directory: PathBuf,
    sink: Option<Arc<dyn LogSink>>,
    system: Keeping,
    functions: Keeping,
    files: Mutex<HashMap<PathBuf, Arc<LogFile>>>,
}

impl Logs {
    /// Logs below `directory` (`ggc/var/log`), kept as a group's loggers say. Loggers that send to
    /// the cloud say nothing about files; their lines go to `sink`.
    pub fn new(directory: &Path, loggers: &[Logger], sink: Option<Arc<dyn LogSink>>) -> Self {
        let keeping = |functions: bool| {
            let of_kind = |cloud: bool| {
                let mut loggers = loggers.iter().filter(move |logger| logger.cloud == cloud);
                loggers.find(move |logger| logger.functions == functions)
            };
            let cloud = of_kind(true).filter(|_| sink.is_some()).map(|logger| logger.level);
            let (level, space_bytes) = of_kind(false)
                .map_or((Level::Info, SPACE_BYTES), |logger| (logger.level, logger.space_bytes));
            Keeping { level, space_bytes, cloud }
        };
        let (system, functions) = (keeping(false), keeping(true));
        Self { directory: directory.to_owned(), sink, system, functions, files: Mutex::default() }
    }

    /// Least level of the lines of functions.
    pub fn function_level(&self) -> Level {
        self.functions.cloud.map_or(self.functions.level, |level| level.min(self.functions.level))
    }

    /// The log of a function, or of a connector by the name of its function.
    pub(crate) fn function(&self, arn: &FunctionArn) -> Arc<LogFile> {
        let (directory, name) = self.place(arn);
        // A service of a connector is also looked for by its own name.
        let service = ["GG-ML-INF-image-classification-", "GG-ML-INF-object-detection-"]
            .iter()
            .find_map(|prefix| arn.name.strip_prefix(prefix));
        if let Some(service) = service {
            let link = || -> io::Result<()> {
                file::make_directory(&directory)?;
                std::os::unix::fs::symlink(&name, directory.join(format!("{service}.log")))
            };
            // Mostly there; without it the log has its other name.
            let _ = link();
        }
        let log = format!("Lambda/{}/{}/{}", named(&arn.region), named(&arn.account), arn.name);
        self.file(directory.join(name), log, self.functions)
    }

    /// The directory of a function's log, and its name in it.
    fn place(&self, arn: &FunctionArn) -> (PathBuf, String) {
        let directory = self.directory.join("user").join(named(&arn.region));
        (directory.join(named(&arn.account)), format!("{}.log", arn.name))
    }

    /// The file of a function's log.
    pub(crate) fn path(&self, arn: &FunctionArn) -> PathBuf {
        let (directory, name) = self.place(arn);
        directory.join(name)
    }

    /// Writes a line of a function's or a connector's log.
    pub fn write_function(&self, arn: &FunctionArn, level: Level, text: &str) {
        self.function(arn).write(level, text);
    }

    /// Writes a line of `system/runtime.log`: a message, and what it is about as an object with its
    /// fields in this order.
    pub fn write_runtime(&self, level: Level, message: &str, about: &[(&str, Value)]) {
        let path = self.directory.join("system").join("runtime.log");
        let file = self.file(path, "GreengrassSystem/runtime".to_owned(), self.system);
        let fields: Vec<String> =
            about.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        match fields.as_slice() {
            [] => file.write(level, message),
            fields => file.write(level, &format!("{message}\t{{{}}}", fields.join(", "))),
        }
    }

    /// The line of V1 about a worker that took too much memory (specification, section 9.1); the one
    /// about its [end](Self::write_killed) follows.
    pub(crate) fn write_memory(&self, worker: &str, arn: &str, limit_kb: u64, used_kb: u64) {
        let about = [
            ("workerId", json!(worker)),
            ("funcArn", json!(arn)),
            ("memSize", json!(limit_kb)),
            ("memUsed", json!(used_kb)),
        ];
        let message = "Worker consumed all allocated memory! Memory Usage (KB).";
        self.write_runtime(Level::Warn, message, &about);
    }

    /// The line of V1 about a worker that did not end as it should.
    pub(crate) fn write_killed(&self, worker: &str, arn: &str, state: &str) {
        let about = [("workerId", json!(worker)), ("funcArn", json!(arn)), ("state", json!(state))];
        self.write_runtime(Level::Error, "Worker is ungracefully killed.", &about);
    }

    /// The line of V1 about a worker, or a connector, that could not be started, in the words of its
    /// deployments (specification, section 9.1). Gives its message.
    pub fn write_not_started(&self, worker: &str, arn: &FunctionArn, why: &str) -> String {
        let message = format!("worker with {worker} failed to initialize");
        let about = [
            ("workerId", json!(worker)),
            ("funcArn", json!(arn.to_string())),
            ("error", json!(why)),
        ];
        self.write_runtime(Level::Error, &message, &about);
        message
    }

    fn file(&self, path: PathBuf, log: String, keeping: Keeping) -> Arc<LogFile> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let make = |path: &PathBuf| {
            let sink = keeping.cloud.and(self.sink.clone()).map(|sink| (sink, log));
            Arc::new(LogFile::new(path, keeping, sink))
        };
        files.entry(path).or_insert_with_key(make).clone()
    }
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// A part of an ARN as the name of a directory.
fn named(part: &str) -> &str {
    if part.is_empty() { "local" } else { part }
}

/// The word for a level in log lines and in `LOG_LEVEL`.
pub(crate) fn word(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
        Level::Fatal => "FATAL",
    }
}
