use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sedge_import::Format;

use crate::{PackageError, identity};

/// The file that makes a directory a package.
pub(crate) const MANIFEST: &str = "model.toml";

/// What macOS puts beside a directory's own files when it packs them.
const MACOS_SIBLING: &str = "__MACOSX";

/// How many names of what is too much an error lists.
const LISTED: usize = 5;

/// What a directory, or an unpacked archive, holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// A manifest in this directory.
    Package(PathBuf),
    /// One model without a manifest.
    Model(PathBuf),
}

/// Finds the package in a directory: its manifest at the top, else the only manifest or model
/// anywhere below.
pub(crate) fn locate(root: &Path) -> Result<Located, PackageError> {
    if root.join(MANIFEST).is_file() {
        return Ok(Located::Package(root.to_owned()));
    }
    let files = identity::files_below(root)?;
    let files: Vec<_> = files.iter().filter(|file| !is_litter(root, file)).collect();
    let manifests = files.iter().filter(|file| file.file_name() == Some(OsStr::new(MANIFEST)));
    let packages: Vec<&Path> = manifests.filter_map(|file| file.parent()).collect();
    let outside = |file: &Path| !packages.iter().any(|package| file.starts_with(package));
    let mut found: Vec<Located> =
        packages.iter().map(|package| Located::Package((*package).to_owned())).collect();
    let models = files.iter().filter(|file| outside(file) && is_model(file));
    found.extend(models.map(|file| Located::Model((*file).clone())));
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    Err(unclear(root, &found))
}

/// The one model file of a package whose manifest does not name it.
pub(crate) fn only_model(root: &Path) -> Result<PathBuf, PackageError> {
    let mut models = identity::files_below(root)?;
    models.retain(|file| !is_litter(root, file) && is_model(file));
    match <[PathBuf; 1]>::try_from(models) {
        Ok([model]) => Ok(model),
        Err(models) => {
            Err(unclear(root, &models.into_iter().map(Located::Model).collect::<Vec<_>>()))
        }
    }
}

fn unclear(root: &Path, found: &[Located]) -> PackageError {
    let path = root.to_owned();
    if found.is_empty() {
        return PackageError::NoModel {
            path,
            found: "no TensorFlow Lite or ONNX file".into(),
            hint: "name a model file, or a directory with one and its model.toml",
        };
    }
    let name = |located: &Located| {
        let path = match located {
            Located::Package(directory) => directory.join(MANIFEST),
            Located::Model(file) => file.clone(),
        };
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

fn is_litter(root: &Path, file: &Path) -> bool {
    let inside = file.strip_prefix(root).unwrap_or(file);
    inside.iter().any(|part| part == MACOS_SIBLING || part.as_encoded_bytes().starts_with(b"._"))
}

fn is_model(path: &Path) -> bool {
    let mut head = Vec::new();
    if File::open(path).and_then(|file| file.take(16).read_to_end(&mut head)).is_err() {
        return false;
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    // A protobuf has no signature, so that other small files could look like one.
    match Format::recognise(&path.to_string_lossy(), &head) {
        Some(Format::Onnx) => extension == "onnx",
        Some(Format::TensorFlow) => matches!(extension.as_str(), "pb" | "graphdef"),
        Some(Format::SavedModel) => path.file_name() == Some(OsStr::new("saved_model.pb")),
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
            (&["notes.md.txt/"][..0], &["no TensorFlow Lite or ONNX file"]),
        ] {
            let root = tree(files);
            let message = locate(root.path()).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{files:?}: {message}");
            }
        }
    }
}
