//! Log files as Greengrass V1 writes them: `ggc/var/log/system/` and `ggc/var/log/user/`.
//!
//! Names, lines and levels are those that people and tools of V1 know; files are rotated by size.

mod file;
mod follow;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

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
}

/// All log files of a core.
#[derive(Debug)]
pub struct Logs {
    directory: PathBuf,
    system: Keeping,
    functions: Keeping,
    files: Mutex<HashMap<PathBuf, Arc<LogFile>>>,
}

impl Logs {
    /// Logs below `directory` (`ggc/var/log`), kept as a group's loggers say. Loggers that send to
    /// the cloud say nothing about files.
    pub fn new(directory: &Path, loggers: &[Logger]) -> Self {
        let keeping = |functions: bool| {
            let mut loggers = loggers.iter().filter(|logger| !logger.cloud);
            let logger = loggers.find(|logger| logger.functions == functions);
            logger.map_or(Keeping { level: Level::Info, space_bytes: SPACE_BYTES }, |logger| {
                Keeping { level: logger.level, space_bytes: logger.space_bytes }
            })
        };
        let (system, functions) = (keeping(false), keeping(true));
        Self { directory: directory.to_owned(), system, functions, files: Mutex::default() }
    }

    /// Least level of the lines of functions.
    pub fn function_level(&self) -> Level {
        self.functions.level
    }

    /// The log of a function, or of a connector by the name of its function.
    pub(crate) fn function(&self, arn: &FunctionArn) -> Arc<LogFile> {
        let named = |text: &str| if text.is_empty() { "local".to_owned() } else { text.to_owned() };
        let directory =
            self.directory.join("user").join(named(&arn.region)).join(named(&arn.account));
        let name = format!("{}.log", arn.name);
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
        self.file(directory.join(name), self.functions)
    }

    /// Writes a line of a function's or a connector's log.
    pub fn write_function(&self, arn: &FunctionArn, level: Level, text: &str) {
        self.function(arn).write(level, text);
    }

    /// Writes a line of `system/runtime.log`: a message, and what it is about as an object with its
    /// fields in this order.
    pub fn write_runtime(&self, level: Level, message: &str, about: &[(&str, Value)]) {
        let file = self.file(self.directory.join("system").join("runtime.log"), self.system);
        let fields: Vec<String> =
            about.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        match fields.as_slice() {
            [] => file.write(level, message),
            fields => file.write(level, &format!("{message}\t{{{}}}", fields.join(", "))),
        }
    }

    fn file(&self, path: PathBuf, keeping: Keeping) -> Arc<LogFile> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.entry(path);
        file.or_insert_with_key(|path| Arc::new(LogFile::new(path, keeping))).clone()
    }
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
