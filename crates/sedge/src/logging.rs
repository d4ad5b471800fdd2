//! Structured logs on standard error: for people on a terminal, JSON lines when asked for.

use std::io::{self, Write};

use clap::ValueEnum;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

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
/// `sedge_api=debug,warn`, ...).
pub(crate) fn install(format: LogFormat) {
    let asked = std::env::var("SEDGE_LOG").ok().filter(|asked| !asked.is_empty());
    let (asked, mistake) = match asked.map(|asked| asked.parse::<Targets>()) {
        None => (None, None),
        Some(Ok(filter)) => (Some(filter), None),
        Some(Err(mistake)) => (None, Some(mistake)),
    };
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let log = tracing_subscriber::fmt::layer()
        .with_writer(|| Forgiving)
        .with_target(false)
        .with_ansi(crate::colour::shown(&io::stderr()));
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(log).init(),
        LogFormat::Json => registry.with(log.json().flatten_event(true)).init(),
    }
    if let Some(mistake) = mistake {
        tracing::warn!("SEDGE_LOG is passed over: {mistake}. Hint: info, debug, sedge_api=debug");
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
