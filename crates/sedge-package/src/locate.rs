use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sedge_import::{Foreign, Format, foreign};

use crate::choose::main_files;
use crate::{Neo, PackageError, identity};

/// The file that makes a directory a package.
pub(crate) const MANIFEST: &str = "model.toml";

/// What macOS puts beside a directory's own files when it packs them.
const MACOS_SIBLING: &str = "__MACOSX";

/// How many names of what is too much an error lists.
const LISTED: usize = 5;

/// How many bytes of a file tell its format.
const HEAD_BYTES: u64 = 16;

/// What a directory, or an unpacked archive, holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Located {
    /// A manifest in this directory.
    Package(PathBuf),
    /// One model without a manifest.
    Model(PathBuf),
}

impl Located {
    /// Where it is, for people.
    fn path(&self) -> PathBuf {
        match self {
            Located::Package(directory) => directory.join(MANIFEST),
            Located::Model(file) => file.clone(),
        }
    }
}

/// Finds the package in a directory: its manifest at the top, else the only manifest or model
/// anywhere below. Which file of several is the model is [`main_files`]'s to say.
pub(crate) fn locate(root: &Path) -> Result<Located, PackageError> {
    if root.join(MANIFEST).is_file() {
        return Ok(Located::Package(root.to_owned()));
    }
    let files = identity::files_below(root)?;
    let files: Vec<_> = files.into_iter().filter(|file| !is_litter(root, file)).collect();
    let manifests = files.iter().filter(|file| file.file_name() == Some(OsStr::new(MANIFEST)));
    let packages: Vec<&Path> = manifests.filter_map(|file| file.parent()).collect();
    let outside = |file: &PathBuf| !packages.iter().any(|package| file.starts_with(package));
    let rest: Vec<PathBuf> = files.iter().filter(|file| outside(file)).cloned().collect();
    let mut found: Vec<Located> =
        packages.iter().map(|package| Located::Package((*package).to_owned())).collect();
    let neo = neo_packages(&rest);
    let compiled = |file: &PathBuf| neo.iter().any(|neo| file.parent() == Some(&neo.path));
    let models = rest.iter().filter(|file| !compiled(file) && is_model(file));
    found.extend(only_main(root, models).into_iter().map(Located::Model));
    found.extend(neo.iter().map(|neo| Located::Model(neo.main_file())));
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    Err(unclear(root, &found, &rest))
}

/// The one model file of a package whose manifest does not name it.
pub(crate) fn only_model(root: &Path) -> Result<PathBuf, PackageError> {
    let mut files = identity::files_below(root)?;
    files.retain(|file| !is_litter(root, file));
    let neo = neo_packages(&files);
    let compiled = |file: &PathBuf| neo.iter().any(|neo| file.parent() == Some(&neo.path));
    let mut models = only_main(root, files.iter().filter(|file| !compiled(file) && is_model(file)));
    models.extend(neo.iter().map(Neo::main_file));
    match <[PathBuf; 1]>::try_from(models) {
        Ok([model]) => Ok(model),
        Err(models) => {
            let found: Vec<_> = models.into_iter().map(Located::Model).collect();
            Err(unclear(root, &found, &files))
        }
    }
}

/// Neo packages among files, one per directory.
fn neo_packages(files: &[PathBuf]) -> Vec<Neo> {
    let libraries = files.iter().filter(|file| {
        let extension = file.extension().unwrap_or_default();
        ["so", "params", "ro"].iter().any(|end| extension == *end)
    });
    let directories: BTreeSet<&Path> = libraries.filter_map(|file| file.parent()).collect();
    directories.into_iter().filter_map(Neo::in_directory).collect()
}

fn only_main<'a>(root: &Path, models: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let names = models.map(|file| identity::relative(root, file)).collect();
    main_files(names).into_iter().map(|name| root.join(name)).collect()
}

fn unclear(root: &Path, found: &[Located], files: &[PathBuf]) -> PackageError {
    let path = root.to_owned();
    if found.is_empty() {
        return no_model(path, files);
    }
    let name = |located: &Located| {
        let path = located.path();
        path.strip_prefix(root).unwrap_or(&path).display().to_string()
    };
    let mut names: Vec<String> = found.iter().map(name).collect();
    names.sort();
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(LISTED);
    let kind = match found.iter().any(|located| matches!(located, Located::Package(_))) {
        true => "several packages or model files",
        false => "several model files",
    };
    PackageError::NoModel {
        path,
        found: format!("{kind}: {}{more}", names.join(", ")),
        hint: "name the one that is meant",
    }
}

fn no_model(path: PathBuf, files: &[PathBuf]) -> PackageError {
    let known = |file: &PathBuf| -> Option<(String, &'static Foreign)> {
        let name = identity::relative(&path, file);
        let foreign = foreign(&name, &head(file)?)?;
        Some((name, foreign))
    };
    let mut known: Vec<_> = files.iter().filter_map(known).collect();
    known.sort_by(|a, b| a.0.cmp(&b.0));
    let (found, hint) = match known.first() {
        None => (
            "no file of a format that is imported".to_owned(),
            "name a model file, or a directory with one and its model.toml",
        ),
        Some((name, foreign)) => {
            let Foreign { name: kind, hint } = foreign;
            (format!("no file of a format that is imported: {name} is {kind}"), *hint)
        }
    };
    PackageError::NoModel { path, found, hint }
}

fn is_litter(root: &Path, file: &Path) -> bool {
    let inside = file.strip_prefix(root).unwrap_or(file);
    inside.iter().any(|part| part == MACOS_SIBLING || part.as_encoded_bytes().starts_with(b"._"))
}

/// The first bytes of a file.
fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    Some(head)
}

fn is_model(path: &Path) -> bool {
    let Some(head) = head(path) else { return false };
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    // A protobuf has no signature, so that other small files could look like one.
    match Format::recognise(&path.to_string_lossy(), &head) {
        Some(Format::Onnx) => extension == "onnx",
        Some(Format::TensorFlow) => matches!(extension.as_str(), "pb" | "graphdef"),
        // The weights of a graph are no model of their own.
        Some(Format::Mxnet) => extension == "json",
        Some(Format::SavedModel) => path.file_name() == Some(OsStr::new("saved_model.pb")),
        // Weights alone, or tensors of a golden case; what is compiled is found by directories.
        Some(Format::Chainer | Format::Neo) => false,
        Some(_) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TFLITE: &[u8] = b"\x1c\0\0\0TFL3\0\0\0\0\0\0\0\0";

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, TFLITE).unwrap();
        }
        root
    }

    #[test]
    fn packages_are_found_at_any_depth() {
        for (files, package) in [
            (&["model.toml", "sub/model.toml", "m.tflite"][..], ""),
            (&["a/b/c/model.toml", "a/b/c/m.tflite"], "a/b/c"),
            (&["p/model.toml", "p/m.tflite", "__MACOSX/p/._model.toml", "._p"], "p"),
            (&["p/model.toml", "__MACOSX/p/model.toml"], "p"),
        ] {
            let root = tree(files);
            let want = Located::Package(root.path().join(package));
            assert_eq!(locate(root.path()).unwrap(), want, "{files:?}");
        }
        let bare = tree(&["sub/m.tflite", "__MACOSX/sub/._m.tflite"]);
        let want = Located::Model(bare.path().join("sub/m.tflite"));
        assert_eq!(locate(bare.path()).unwrap(), want);
    }

    #[test]
    fn what_is_unclear_is_named() {
        for (files, words) in [
            (&["a/model.toml", "b/model.toml"][..], &["a/model.toml", "b/model.toml"][..]),
            (&["p/model.toml", "m.tflite"], &["several packages", "p/model.toml", "m.tflite"]),
            (&["a.tflite", "b.tflite"], &["several model files", "a.tflite, b.tflite"]),
            (
                &["a/1.tflite", "2.tflite", "3.tflite", "4.tflite", "5.tflite", "6.tflite"],
                &["1 more"],
            ),
            (&["notes.md.txt/"][..0], &["no file of a format that is imported"]),
        ] {
            let root = tree(files);
            let message = locate(root.path()).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{files:?}: {message}");
            }
        }
    }
}
