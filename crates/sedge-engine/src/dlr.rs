//! DLR, the runtime of SageMaker Neo's packages: machine code, run through `libdlr.so`.
//!
//! Package and runtime end the process they are in with many a fault, and one handle in two threads
//! answers wrongly without a word. So this engine loads only in a process of its own
//! ([`crate::Registry::apart`]), hands each model to one thread, and asks the runtime only what it
//! survives. What a model takes and gives is told by its package, never by the runtime.
//!
//! C interface: `neo-ai/neo-ai-dlr`, `include/dlr.h`, releases 1.0 to 1.13. How it behaves was found
//! out with the published x86-64 builds of 1.3.0 and 1.6.0.

mod captured;
mod library;
mod model;
mod owner;
mod place;

use std::path::{Path, PathBuf};

use library::Library;
use owner::DlrSession;

use crate::{Compiled, Engine, LoadError, LoadOptions, Model, Session};

const NAME: &str = "dlr";

/// The engine in messages.
const WORDS: &str = "engine 'dlr'";

/// Environment variable that names the library.
const VARIABLE: &str = "SEDGE_DLR";

const HOW_TO_GET_IT: &str = "Hint: `sedge runtime install dlr` brings it, or name its library: \
    SEDGE_DLR=/path/to/libdlr.so";

/// DLR behind its C interface.
///
/// The library is found in this order: the file that `SEDGE_DLR` names, the one that a package
/// brings along, the newest in Sedge's own runtime directory, the usual places.
#[derive(Debug)]
pub struct Dlr {
    found: Option<PathBuf>,
    named: bool,
    /// Whether this process holds nothing but one model.
    apart: bool,
}

impl Dlr {
    /// Looks for the library without loading it.
    pub fn new(library_dir: Option<&Path>, apart: bool) -> Self {
        let named = place::named(VARIABLE);
        let is_named = named.is_some();
        let installed = || place::installed(&library_dir?.join(NAME));
        let found = named.or_else(installed).or_else(place::usual);
        Self { found, named: is_named, apart }
    }

    fn library_for(&self, package: &Compiled) -> Result<PathBuf, LoadError> {
        let own = package.runtime.clone().filter(|_| !self.named);
        own.or_else(|| self.found.clone()).filter(|path| path.is_file()).ok_or_else(|| {
            let reason = match &self.found {
                Some(path) => format!("there is no {}. {HOW_TO_GET_IT}", path.display()),
                None => format!("there is no libdlr.so on this device. {HOW_TO_GET_IT}"),
            };
            LoadError::Unavailable { engine: WORDS, reason }
        })
    }
}

impl Engine for Dlr {
    fn name(&self) -> &'static str {
        NAME
    }

    /// As the place of the library tells: it is not loaded for this.
    fn version(&self) -> Result<String, LoadError> {
        match self.found.as_deref().filter(|path| path.is_file()) {
            Some(path) => Ok(place::version(path).unwrap_or_else(|| "unknown version".into())),
            None => {
                let reason = format!("there is no libdlr.so. {HOW_TO_GET_IT}");
                Err(LoadError::Unavailable { engine: WORDS, reason })
            }
        }
    }

    fn library(&self) -> Option<PathBuf> {
        self.found.clone()
    }

    fn variable(&self) -> Option<&'static str> {
        Some(VARIABLE)
    }

    fn load(&self, model: Model, _options: &LoadOptions) -> Result<Box<dyn Session>, LoadError> {
        let Model::Compiled(package) = model else {
            return Err(LoadError::Unsupported {
                engine: WORDS,
                what: "anything but packages of SageMaker Neo".into(),
            });
        };
        let here = std::env::consts::ARCH;
        if let Some(machine) = package.machine.as_deref().filter(|&machine| machine != here) {
            let problem = format!("it was compiled for {machine}, and this processor is {here}");
            return Err(LoadError::Compiled(problem));
        }
        let library = self.library_for(&package)?;
        if !self.apart {
            return Err(LoadError::Apart(NAME));
        }
        Ok(Box::new(DlrSession::start(library, package)?))
    }
}

/// Loads a library to see whether it is DLR, and says its version. Code of the library runs: to be
/// called in a process that does nothing else.
///
/// # Errors
/// What is in the way, in the loader's words.
pub fn probe(path: &Path) -> Result<String, String> {
    Library::open(path).map(|library| library.version())
}
