//! Structured logs on standard error: for people on a terminal, JSON lines when asked for.

use std::io::{self, Write};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Installs the log for the process. `SEDGE_LOG` filters it (`info` by default, `debug`,
/// `sedge_api=debug`, ...).
pub(crate) fn install(format: LogFormat) {
    let filter = EnvFilter::try_from_env("SEDGE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = crate::colour::shown(&io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Forgiving);
    match format {
        LogFormat::Text => log.with_ansi(colour).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_target(false).init(),
    }
}

/// Standard error, as far as somebody reads it: a log that has lost its reader (`2>&1 | head`, a
/// full disk) loses its lines and stops nothing.
pub(crate) struct Forgiving;

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().lock().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().lock().flush();
        Ok(())
    }
}
