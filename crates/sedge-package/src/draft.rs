use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sedge_graph::passes::ExpandError;
use tempfile::TempDir;

use crate::locate::MANIFEST;
use crate::manifest::manifest_text;
use crate::pack::pack;
use crate::{Golden, Package, PackageError, Packing, Settings, identity};

/// Why a model or a package could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What would be overwritten.
    #[error("{0} is already there. Hint: --force replaces it")]
    Exists(PathBuf),
    /// A directory that is no package and therefore not replaced.
    #[error(
        "{0} is there and holds no model.toml, so that it is not replaced. \
         Hint: name a directory that does not exist yet"
    )]
    NotAPackage(PathBuf),
    /// The system's refusal.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// Operators that plain ONNX does not have.
    #[error("cannot write the model as ONNX: {0}")]
    Expand(#[from] ExpandError),
    /// Operators of Sedge's own that no rewrite took out.
    #[error(
        "cannot write the model as ONNX: its operators {0} have no form in plain ONNX. \
         Hint: keep the model in its own format; Sedge runs it"
    )]
    Operators(String),
    /// Machine code, of which no operators are known.
    #[error(
        "{0} is machine code of SageMaker Neo, which cannot be written as ONNX. \
         Hint: convert the model that was compiled"
    )]
    Compiled(PathBuf),
    /// A file of the package that cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// Files or a package directory in the making: beside their target until they are complete, and
/// gone when they never are.
#[derive(Debug)]
pub struct Draft {
    staging: TempDir,
    target: PathBuf,
    force: bool,
}

impl Draft {
    /// Begins what will be `target`, which may be there already only with `force`.
    ///
    /// # Errors
    /// A target that is there, and directories that cannot be written to.
    pub fn new(target: &Path, force: bool) -> Result<Self, WriteError> {
        if target.exists() {
            if !force {
                return Err(WriteError::Exists(target.to_owned()));
            }
            let empty = || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
            if target.is_dir() && !target.join(MANIFEST).is_file() && !empty() {
                return Err(WriteError::NotAPackage(target.to_owned()));
            }
        }
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let wrong = |error| WriteError::Write { path: target.to_owned(), error };
        fs::create_dir_all(parent).map_err(wrong)?;
        let staging = tempfile::Builder::new().prefix(".sedge-").tempdir_in(parent);
        let draft = Self { staging: staging.map_err(wrong)?, target: target.to_owned(), force };
        // The staging directory is its user's alone; what is in it gets the usual permissions.
        fs::create_dir(draft.path()).map_err(wrong)?;
        Ok(draft)
    }

    /// The directory to write into.
    pub fn path(&self) -> PathBuf {
        self.staging.path().join("draft")
    }

    /// Copies a file of a package under its relative name.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn copy(&self, from: &Path, name: &str) -> Result<(), WriteError> {
        let to = self.path().join(name);
        let wrong = |error| WriteError::Write { path: self.target.join(name), error };
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(wrong)?;
        }
        fs::copy(from, &to).map(drop).map_err(wrong)
    }

    /// Writes a small file under its relative name.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let path = self.path().join(name);
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = parent.and_then(|()| fs::write(&path, bytes));
        written.map_err(|error| WriteError::Write { path: self.target.join(name), error })
    }

    /// Makes the written files visible beside each other: `main` as the target, the others under
    /// the names they have, and before it.
    ///
    /// # Errors
    /// Files that are there already, or cannot be moved.
    pub fn publish_files(self, main: &str) -> Result<Vec<PathBuf>, WriteError> {
        let at = |name: OsString| self.target.with_file_name(name);
        let wrong = |path: PathBuf| |error| WriteError::Write { path, error };
        let entries = fs::read_dir(self.path()).map_err(wrong(self.path()))?.flatten();
        let others = entries.map(|entry| entry.file_name()).filter(|name| name != main);
        let mut moves: Vec<_> = others.map(|name| (self.path().join(&name), at(name))).collect();
        moves.sort();
        moves.push((self.path().join(main), self.target.clone()));
        if let Some((_, there)) = moves.iter().find(|(_, to)| to.exists() && !self.force) {
            return Err(WriteError::Exists(there.clone()));
        }
        for (from, to) in &moves {
            fs::rename(from, to).map_err(wrong(to.clone()))?;
        }
        Ok(moves.into_iter().map(|(_, to)| to).rev().collect())
    }

    /// Writes everything a package needs beside its model: manifest, labels, anchors, licences,
    /// golden cases. `files` are the names of the model's main files, which are written already;
    /// `golden` the cases, whose files are copied from `package` where they are not written yet.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn complete(
        &self,
        package: &Package,
        head: &str,
        files: &[&str],
        golden: &[Golden],
    ) -> Result<(), WriteError> {
        let cases = golden.iter().flat_map(|case| {
            [case.image.as_deref(), case.tensors.as_deref(), Some(case.expected.as_str())]
        });
        let licences = licences(&package.root);
        for name in cases.flatten().chain(licences.iter().map(String::as_str)) {
            if !self.path().join(name).exists() {
                self.copy(&package.root.join(name), name)?;
            }
        }
        let mut settings = package.settings.clone();
        let say = |settings: &mut Settings, key: &str, name: &str| {
            let origin = settings.get(key).map(|setting| setting.origin.clone());
            settings.set(key, name.into(), origin.unwrap_or(crate::Origin::Manifest));
        };
        if let Some(text) = package.labels_text() {
            self.write("labels.txt", text.as_bytes())?;
            say(&mut settings, "model.labels", "labels.txt");
        }
        if let Some(anchors) = package.anchor_file()? {
            self.copy(&anchors, "anchors.txt")?;
            say(&mut settings, "decoder.anchor_file", "anchors.txt");
        }
        say(&mut settings, "model.name", &package.name);
        let manifest = manifest_text(&settings, files, golden);
        self.write(MANIFEST, format!("{head}{manifest}").as_bytes())
    }

    /// Makes the package visible as the target: a directory, or an archive of it.
    ///
    /// # Errors
    /// Files that cannot be read, written or moved.
    pub fn publish(self, packing: Packing) -> Result<PathBuf, WriteError> {
        if packing == Packing::Directory {
            return self.replace_directory();
        }
        let wrong = |error| WriteError::Write { path: self.target.clone(), error };
        let archive = self.staging.path().join("archive");
        pack(&self.path(), &archive, packing).map_err(wrong)?;
        fs::rename(&archive, &self.target).map_err(wrong)?;
        Ok(self.target)
    }

    fn replace_directory(self) -> Result<PathBuf, WriteError> {
        let wrong = |error| WriteError::Write { path: self.target.clone(), error };
        if self.target.is_dir() {
            // What was there goes with the staging directory.
            fs::rename(&self.target, self.staging.path().join("replaced")).map_err(wrong)?;
        }
        fs::rename(self.path(), &self.target).map_err(wrong)?;
        Ok(self.target)
    }
}

/// Licence texts at the top of a package, which belong to its weights.
fn licences(root: &Path) -> Vec<String> {
    let names = fs::read_dir(root).into_iter().flatten().flatten();
    let names = names.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_licence = |name: &String| {
        let upper = name.to_ascii_uppercase();
        ["LICENSE", "LICENCE", "NOTICE", "COPYING"].iter().any(|word| upper.starts_with(word))
    };
    names.filter(is_licence).collect()
}

/// The sha256 of a file's content, in lowercase hex.
pub(crate) fn checksum(path: &Path) -> Result<String, PackageError> {
    identity::digest(path).map(|(_, digest)| digest)
}
