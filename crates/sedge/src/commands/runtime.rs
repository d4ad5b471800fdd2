use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueHint};
use sedge_engine::{Engine, Onnxruntime};

use super::OUTPUT;
use crate::runtimes::{self, Kind};
use crate::spinner::Spinner;
use crate::{root, table};

const INSTALL_EXAMPLES: &str = "\
Examples:
  sedge runtime install dlr                    with this machine's pip
  sedge runtime install dlr dlr-1.6.0-*.whl    from a wheel that was fetched elsewhere
  sedge runtime install onnxruntime --version 1.20.1

Exit codes:
  0  installed
  1  it could not be fetched, loaded or written
  2  the command line was not understood";

const LIST_EXAMPLES: &str = "\
Examples:
  sedge runtime list
  sedge runtime list --root /var/lib/sedge

Exit codes:
  0  listed
  2  the command line was not understood";

/// Bring libraries of engines to this device
#[derive(Debug, Subcommand)]
pub(crate) enum Runtime {
    Install(Install),
    List(List),
    #[command(hide = true)]
    Probe(Probe),
}

/// Fetch a library with this machine's pip, or take it from a file
///
/// Only the library is kept, below the data directory; nothing of a Python package runs, nor is
/// anything reported to anybody. Whether it loads is tried in a process of its own.
#[derive(Debug, Args)]
#[command(after_long_help = INSTALL_EXAMPLES)]
pub(crate) struct Install {
    /// Which library
    name: Kind,
    /// Wheel (.whl) or library (.so) to take it from, in place of the package index
    #[arg(value_hint = ValueHint::FilePath)]
    path: Option<PathBuf>,
    /// Version to fetch [default: 1.6.0 of dlr, the newest of onnxruntime]
    #[arg(long)]
    version: Option<String>,
    /// Directory for models and states [default: /var/lib/sedge, or the user's data directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    root: Option<PathBuf>,
}

/// Show the libraries that were installed
#[derive(Debug, Args)]
#[command(after_long_help = LIST_EXAMPLES)]
pub(crate) struct List {
    /// Directory for models and states [default: /var/lib/sedge, or the user's data directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    root: Option<PathBuf>,
}

/// Load a library and say its version
#[derive(Debug, Args)]
pub(crate) struct Probe {
    name: Kind,
    path: PathBuf,
}

impl Runtime {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Runtime::Install(command) => command.run(),
            Runtime::List(command) => command.run(),
            Runtime::Probe(command) => command.run(),
        }
    }
}

fn directory(root: Option<&Path>) -> PathBuf {
    root::runtimes(&root::choose(root, None))
}

impl Install {
    fn run(self) -> Result<ExitCode> {
        if let Some(path) = self.path.as_deref().filter(|path| !path.is_file()) {
            bail!("there is no file {}", path.display());
        }
        let name = self.name.name();
        let directory = directory(self.root.as_deref());
        let spinner = Spinner::start(format!("installing {name}"));
        let installed =
            runtimes::install(self.name, self.version.as_deref(), self.path.as_deref(), &directory);
        drop(spinner);
        let (version, path) = installed?;
        writeln!(std::io::stdout().lock(), "installed {name} {version}: {}", path.display())
            .context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self) -> Result<ExitCode> {
        let directory = directory(self.root.as_deref());
        let rows = Kind::ALL.into_iter().flat_map(|kind| {
            let row = |(version, path): (String, PathBuf)| {
                vec![kind.name().to_owned(), version, path.display().to_string()]
            };
            kind.installed(&directory).into_iter().map(row).collect::<Vec<_>>()
        });
        let rows: Vec<_> = rows.collect();
        let mut out = std::io::stdout().lock();
        match rows.is_empty() {
            true => writeln!(out, "none below {}", directory.display()),
            false => write!(out, "{}", table::lines(&rows, &[], "")),
        }
        .context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Probe {
    fn run(self) -> Result<ExitCode> {
        let version = match self.name {
            Kind::Dlr => sedge_engine::probe(&self.path).map_err(|error| anyhow::anyhow!(error))?,
            Kind::Onnxruntime => Onnxruntime::at(self.path).version()?,
        };
        writeln!(std::io::stdout().lock(), "{version}").context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }
}
