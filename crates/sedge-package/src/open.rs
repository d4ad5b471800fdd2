use std::path::{Path, PathBuf};

use sedge_graph::Graph;
use sedge_import::{Format, Source};
use sedge_vision::Labels;
use toml::Value;

use crate::archive::Unpacked;
use crate::directory::{Directory, map};
use crate::locate::{Located, MANIFEST, locate, only_model};
use crate::signature::SIGNATURE_FILE;
use crate::specialise::specialise;
use crate::{
    Golden, Manifest, Neo, Origin, PackageError, Settings, archive, files, identity, labels, names,
    pipeline,
};

/// A model with everything that is known about its use.
#[derive(Debug)]
pub struct Package {
    /// Name from the manifest, else from the file.
    pub name: String,
    /// sha256 over the package's file list, 64 hex digits.
    pub identity: String,
    /// What kind of file the model is.
    pub format: Format,
    /// The imported graph; its weights share the mapped file. Of a compiled model, its inputs and
    /// outputs with nothing between them.
    pub graph: Graph,
    /// What is known of a model that was compiled and runs in its own runtime only.
    pub compiled: Option<Neo>,
    /// Every known setting with its origin.
    pub settings: Settings,
    /// Names of the classes.
    pub labels: Labels,
    /// Cases with known answers.
    pub golden: Vec<Golden>,
    /// The directory of the package (for a bare file, the one it lies in).
    pub root: PathBuf,
    /// The model's own file.
    pub file: PathBuf,
    /// Bytes of the package's files.
    pub bytes: u64,
    /// The model's own file and those it reads beside it.
    sources: Vec<PathBuf>,
    /// All files that the identity covers.
    files: Vec<PathBuf>,
    /// What is odd about the package, but no error.
    pub notes: Vec<String>,
    /// What the user named, for hints.
    pub(crate) named: PathBuf,
    pub(crate) has_manifest: bool,
    /// Keeps an unpacked archive until the package goes.
    unpacked: Option<Unpacked>,
}

impl Package {
    /// Opens a package directory or its `model.toml`, an archive of one, or a bare model file, and lays `overrides`
    /// (dotted keys of `model.toml`) over what manifest and file say.
    ///
    /// # Errors
    /// Unreadable files, manifests with mistakes, models that cannot be imported. What is merely
    /// unknown is no error here but in [`Package::pipeline`].
    pub fn open(path: &Path, overrides: &[(String, Value, Origin)]) -> Result<Self, PackageError> {
        let metadata = std::fs::metadata(path)
            .map_err(|error| PackageError::Read { path: path.to_owned(), error })?;
        if let Some(kind) = archive::kind_of(path) {
            let unpacked = archive::unpack(path, kind)?;
            let root = unpacked.path().to_owned();
            return Self::open_directory(&root, path, overrides, Some(unpacked)).map_err(|error| {
                // Where it was unpacked means nothing to anybody.
                match error {
                    PackageError::NoModel { found, hint, .. } => {
                        PackageError::NoModel { path: path.to_owned(), found, hint }
                    }
                    other => other,
                }
            });
        }
        if metadata.is_dir() {
            return Self::open_directory(path, path, overrides, None);
        }
        if path.file_name().is_some_and(|name| name == MANIFEST) {
            let directory = files::here(path.parent().unwrap_or(Path::new("")));
            return Self::open_directory(directory, directory, overrides, None);
        }
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::build(Parts {
            root,
            file: path.to_owned(),
            named: path,
            manifest: None,
            overrides,
            unpacked: None,
        })
    }

    fn open_directory(
        directory: &Path,
        named: &Path,
        overrides: &[(String, Value, Origin)],
        unpacked: Option<Unpacked>,
    ) -> Result<Self, PackageError> {
        let (root, file, manifest) = match locate(directory)? {
            Located::Package(root) => {
                files::contained(&root, MANIFEST)?;
                let manifest = Manifest::parse(&files::read_text(
                    &root.join(MANIFEST),
                    files::MAX_MANIFEST_BYTES,
                )?)?;
                manifest.paths().try_for_each(|path| files::contained(&root, path))?;
                let file = match manifest.model.files.as_slice() {
                    [one] => root.join(one),
                    [] => only_model(&root)?,
                    many => return Err(PackageError::FileCount(many.len())),
                };
                (root, file, Some(manifest))
            }
            Located::Model(file) => (file.parent().unwrap_or(directory).to_owned(), file, None),
        };
        Self::build(Parts { root, file, named, manifest, overrides, unpacked })
    }

    fn build(parts: Parts<'_>) -> Result<Self, PackageError> {
        let Parts { root, file, named, manifest, overrides, unpacked } = parts;
        let bytes = map(&file)?;
        if bytes.is_empty() {
            return Err(PackageError::Empty(file));
        }
        // Before any importer: weights and graph of a compiled model look like others'.
        let compiled = Neo::around(&file, &bytes[..bytes.len().min(16)]);
        let directory = Directory::around(&file);
        let mut source = Source::new(&directory.main, bytes, &directory);
        let overridden = overrides.iter().rev().find(|(key, ..)| key == "model.architecture");
        let stated = manifest.as_ref().and_then(|manifest| manifest.model.architecture.as_deref());
        source.architecture = overridden.and_then(|(_, value, _)| value.as_str()).or(stated);
        let imported = match &compiled {
            Some(neo) => neo.imported(&directory.main),
            None => sedge_import::import(&source)
                .map_err(|error| PackageError::Import { path: file.clone(), error })?,
        };
        let (customs, overrides): (Vec<_>, Vec<_>) =
            overrides.iter().partition(|(.., origin)| matches!(origin, Origin::Custom(_)));
        let mut settings = Settings::default();
        for (key, value, origin) in customs {
            settings.set(&pipeline::qualified(key), value.clone(), origin.clone());
        }
        for fact in imported.facts {
            settings.set(&fact.key, fact.value, Origin::File(fact.origin));
        }
        let has_manifest = manifest.is_some();
        let beside = imported.beside.iter().map(|name| directory.path(name));
        let sources: Vec<PathBuf> = std::iter::once(file.clone()).chain(beside).collect();
        let files = match &manifest {
            Some(manifest) => {
                settings.set_table(&manifest.table, &Origin::Manifest);
                // Who signs a package does not make another of it.
                let mut files = identity::files_below(&root)?;
                files.retain(|file| *file != root.join(SIGNATURE_FILE));
                files
            }
            None => sources.clone(),
        };
        for (key, value, origin) in &overrides {
            // The kind first: it clears the parameters of another decoder.
            if key == "decoder.kind" {
                settings.set(key, value.clone(), origin.clone());
            }
        }
        for (key, value, origin) in overrides {
            settings.set(&pipeline::qualified(key), value.clone(), origin.clone());
        }
        let mut graph = imported.graph;
        specialise(&mut graph, &settings, compiled.is_none())
            .map_err(|error| PackageError::Import { path: file.clone(), error: error.into() })?;
        let named_by_manifest = settings.get("model.name").and_then(|name| name.value.as_str());
        let name = match named_by_manifest {
            Some(name) => name.to_owned(),
            None => names::service_name(named),
        };
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let notes = compiled.as_ref().and_then(Neo::note).into_iter().collect();
        let mut package = Self {
            name,
            identity: identity::of_files(&root, &files)?,
            format: imported.format,
            graph,
            compiled,
            labels: labels::labels(&settings, &root)?,
            golden: manifest.map(|manifest| manifest.golden).unwrap_or_default(),
            settings,
            bytes: files.iter().map(size).sum(),
            root,
            file,
            sources,
            files,
            notes,
            named: named.to_owned(),
            has_manifest,
            unpacked,
        };
        package.check()?;
        Ok(package)
    }

    /// The files that are the model, the main one first, with their names in the package.
    pub fn model_files(&self) -> impl Iterator<Item = (PathBuf, String)> {
        self.sources.iter().map(|path| (path.clone(), identity::relative(&self.root, path)))
    }

    /// The files that the package consists of and its identity covers, with their names in it:
    /// with a manifest all below its directory, else [`Package::model_files`].
    pub fn files(&self) -> impl Iterator<Item = (PathBuf, String)> {
        self.files.iter().map(|path| (path.clone(), identity::relative(&self.root, path)))
    }

    /// What to open in a copy of [`Package::files`] to get this package again, as a path relative
    /// to the copy: empty for the directory itself, which only a manifest makes a package for sure.
    pub fn entry(&self) -> String {
        if self.has_manifest { String::new() } else { self.main_file() }
    }

    /// The name of the main file in the package.
    pub fn main_file(&self) -> String {
        identity::relative(&self.root, &self.file)
    }

    /// Whether it was named as an archive: [`Package::root`] goes with the package then.
    pub fn is_archive(&self) -> bool {
        self.unpacked.is_some()
    }

    /// The first 12 hex digits of the identity, as people see it.
    pub fn short_identity(&self) -> &str {
        &self.identity[..12]
    }
}

struct Parts<'a> {
    root: PathBuf,
    file: PathBuf,
    named: &'a Path,
    manifest: Option<Manifest>,
    overrides: &'a [(String, Value, Origin)],
    unpacked: Option<Unpacked>,
}
