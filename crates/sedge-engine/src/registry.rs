use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Engine, LoadError, Model};

/// The engines of this build, the embedded one first.
#[derive(Clone)]
pub struct Registry {
    engines: Vec<Arc<dyn Engine>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.engines.iter().map(|engine| engine.name())).finish()
    }
}

/// What a build knows about one of its engines on this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Name of the engine.
    pub name: &'static str,
    /// Version, or what is missing.
    pub version: Result<String, String>,
    /// The shared library that was loaded or looked for; an embedded engine has none.
    pub library: Option<PathBuf>,
}

impl Registry {
    /// Every engine of this build. `library_dir` is where runtimes installed by Sedge live.
    pub fn new(library_dir: Option<&Path>) -> Self {
        Self::with(library_dir, false)
    }

    /// The same for a process that holds one model and nothing else, where machine code of others
    /// may run.
    pub fn apart(library_dir: Option<&Path>) -> Self {
        Self::with(library_dir, true)
    }

    fn with(library_dir: Option<&Path>, apart: bool) -> Self {
        let engines: Vec<Arc<dyn Engine>> = vec![
            #[cfg(feature = "native")]
            Arc::new(crate::Native),
            // Without the integer kernels, what they hand on to is the embedded engine.
            #[cfg(all(feature = "rten", not(feature = "native")))]
            Arc::new(crate::Rten),
            #[cfg(feature = "onnxruntime")]
            Arc::new(crate::Onnxruntime::new(library_dir)),
            #[cfg(feature = "dlr")]
            Arc::new(crate::Dlr::new(library_dir, apart)),
        ];
        // Not every set of features has an engine with a library.
        let _ = (library_dir, apart);
        Self { engines }
    }

    /// An engine by name; `auto` is the embedded one, which every device has.
    pub fn engine(&self, name: &str) -> Result<Arc<dyn Engine>, LoadError> {
        let found = match name {
            "auto" => self.engines.first(),
            name => self.engines.iter().find(|engine| engine.name() == name),
        };
        found.cloned().ok_or_else(|| LoadError::UnknownEngine {
            name: name.to_owned(),
            known: self.names().join(", "),
        })
    }

    /// The engine of that name for a model; `auto` is the one that runs models of its kind.
    pub fn engine_for(&self, name: &str, model: &Model) -> Result<Arc<dyn Engine>, LoadError> {
        match (name, model) {
            ("auto", Model::Compiled(_)) => self.engine("dlr"),
            _ => self.engine(name),
        }
    }

    /// The engines themselves.
    pub fn engines(&self) -> impl Iterator<Item = &dyn Engine> {
        self.engines.iter().map(AsRef::as_ref)
    }

    /// `auto` and the names of all engines of this build.
    pub fn names(&self) -> Vec<&'static str> {
        std::iter::once("auto").chain(self.engines.iter().map(|engine| engine.name())).collect()
    }

    /// Availability of each engine; loads libraries to find out.
    pub fn status(&self) -> Vec<Status> {
        let status = |engine: &Arc<dyn Engine>| Status {
            name: engine.name(),
            version: engine.version().map_err(|error| error.to_string()),
            library: engine.library(),
        };
        self.engines.iter().map(status).collect()
    }
}
