use std::path::{Path, PathBuf};

use sedge_import::{Foreign, ImportError};

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file could not be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A directory holds neither a manifest nor exactly one model.
    #[error("{path} holds no model.toml and {found}. Hint: {hint}")]
    NoModel {
        /// The directory.
        path: PathBuf,
        /// What is there instead.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A file of no bytes where a model should be.
    #[error("{0} is empty: there is no model in it")]
    Empty(PathBuf),
    /// `model.toml` is not TOML.
    #[error("model.toml: {0}")]
    Syntax(String),
    /// `model.toml` of another schema.
    #[error("model.toml: schema is {0}, this version reads 1. Hint: add `schema = 1` at the top")]
    Schema(String),
    /// A key that does not exist.
    #[error("unknown key '{key}'. Hint: {hint}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The nearest known one.
        hint: String,
    },
    /// A value of a wrong type or out of range.
    #[error("{key}: {problem}")]
    Value {
        /// Where it stands.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A path that is absolute, climbs out of the package or is a link that does.
    #[error(
        "model.toml: '{0}' does not lead to a file inside the package. \
         Hint: copy the file into it"
    )]
    OutsidePath(String),
    /// More or fewer model files than can be run.
    #[error("model.toml: model.files names {0} files, exactly one is supported for these formats")]
    FileCount(usize),
    /// The model file itself.
    #[error("{path}: {error}")]
    Import {
        /// The model file.
        path: PathBuf,
        /// Why it was refused.
        error: ImportError,
    },
    /// A manifest that contradicts the model file.
    #[error("{key} is {stated}, but the model's input '{input}' is {actual}")]
    Contradiction {
        /// The key.
        key: String,
        /// What the settings say.
        stated: String,
        /// The input.
        input: String,
        /// What the file says.
        actual: String,
    },
    /// An archive that is broken or not safe to unpack.
    #[error("cannot unpack {path}: {problem}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A model that is an archive of another framework's.
    #[error("{path} is {}. Hint: {}", .foreign.name, .foreign.hint)]
    Foreign {
        /// The archive.
        path: PathBuf,
        /// What it is.
        foreign: &'static Foreign,
    },
}

impl PackageError {
    /// The same error with paths below `from` told as below `to`: where an archive was unpacked
    /// means nothing to anybody.
    #[must_use]
    pub fn relocated(mut self, from: &Path, to: &Path) -> Self {
        if let Some(path) = self.path_mut()
            && let Ok(rest) = path.strip_prefix(from)
        {
            *path = if rest == Path::new("") { to.to_owned() } else { to.join(rest) };
        }
        self
    }

    fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Read { path, .. }
            | Self::NoModel { path, .. }
            | Self::Import { path, .. }
            | Self::Archive { path, .. }
            | Self::Foreign { path, .. }
            | Self::Empty(path) => Some(path),
            _ => None,
        }
    }
}

/// One thing that nobody has said about a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Key of `model.toml`.
    pub key: String,
    /// Flag that gives it.
    pub flag: Option<&'static str>,
    /// What it means.
    pub help: String,
}

/// Pictures cannot be fed to this model, because it is not known how.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}\n{}{hint}", headline(.model, .missing), list(.missing))]
pub struct Incomplete {
    /// Name of the model.
    pub model: String,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// What to do.
    pub hint: String,
}

fn headline(model: &str, missing: &[Missing]) -> String {
    match missing {
        [] => format!("model '{model}' takes no pictures:"),
        _ => {
            format!("nobody says how model '{model}' wants its pictures or what its outputs mean:")
        }
    }
}

fn list(missing: &[Missing]) -> String {
    let width = missing.iter().map(|m| m.key.len()).max().unwrap_or(0);
    let line = |m: &Missing| {
        let flag =
            m.flag.map_or_else(|| format!("--set {}=...", m.key), |flag| format!("--{flag}"));
        format!("  {:width$}  {flag:16}  {}\n", m.key, m.help)
    };
    missing.iter().map(line).collect()
}
