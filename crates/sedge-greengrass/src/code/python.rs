//! What can be seen of a Python function without running it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a module that are read.
const MOST_BYTES: u64 = 4 << 20;
/// Files of a directory that are looked at for a handler.
const MOST_FILES: usize = 200;

/// A rule that is broken, and what to do.
type Told = (String, String);

/// `module.function`, and what is odd about it.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) handler: String,
    pub(super) note: Option<Told>,
}

/// Makes sure that a handler is there; without a name for it, the only one that the code can mean
/// is taken.
pub(super) fn handler(stated: Option<&str>, directory: &Path) -> Result<Handler, Told> {
    let Some(handler) = stated else { return guessed(directory) };
    let Some((module, function)) = split(handler) else {
        return Err((
            format!("its handler '{handler}' is not of the form module.function"),
            "write \"Handler\": \"module.function\" for the function".to_owned(),
        ));
    };
    let path = directory.join(module.replace('.', "/"));
    let source = path.with_added_extension("py");
    let text = if source.is_file() { read(&source) } else { read(&path.join("__init__.py")) };
    let Some(text) = text else {
        // Compiled modules say nothing without being run. A directory without an `__init__` can be
        // imported, and has no functions.
        if is_compiled(&path) || is_compiled(&path.join("__init__")) {
            return Ok(Handler { handler: handler.to_owned(), note: None });
        }
        let hint = match (candidates(directory).as_slice(), deeper(directory, module)) {
            (_, Some(folder)) => format!(
                "it is in the folder {folder}: pack what is in that folder, not the folder itself"
            ),
            ([], None) => format!("copy {module}.py with the rest of the code"),
            (known, None) => format!("the code has {}", known.join(", ")),
        };
        return Err((format!("there is no module '{module}' for its handler"), hint));
    };
    if !mentions(&text, function) {
        let hint = match functions(&text).as_slice() {
            [] => format!("define it: def {function}(event, context)"),
            known => format!("{module} has {}", known.join(", ")),
        };
        return Err((format!("the module '{module}' has no function '{function}'"), hint));
    }
    Ok(Handler { handler: handler.to_owned(), note: None })
}

/// Whether there is a compiled module of that name: `name.pyc`, `name.so`, or with the interpreter
/// that it was made for in its name, as `name.cpython-37m-x86_64-linux-gnu.so`.
fn is_compiled(path: &Path) -> bool {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let start = format!("{}.", name.to_string_lossy());
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.take(MOST_FILES).any(|entry| {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        file.starts_with(&start) && (file.ends_with(".so") || *file == format!("{start}pyc"))
    })
}

/// The folder in which a module lies that should lie beside it.
fn deeper(directory: &Path, module: &str) -> Option<String> {
    let file = format!("{}.py", module.replace('.', "/"));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let folder = entries.take(MOST_FILES).map(|entry| entry.path());
    let folder = folder.filter(|path| path.is_dir()).find(|path| path.join(&file).is_file())?;
    Some(folder.file_name()?.to_string_lossy().into_owned())
}

fn split(handler: &str) -> Option<(&str, &str)> {
    let (module, function) = handler.rsplit_once('.')?;
    let word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    };
    let fits = module.split(['.', '/']).all(word) && word(function);
    fits.then_some((module, function))
}

fn guessed(directory: &Path) -> Result<Handler, Told> {
    let rule = "its definition does not say its handler".to_owned();
    let hint = |handler: &str| {
        format!(
            "write \"Handler\": \"{handler}\" for the function, or give what \
             `aws lambda get-function-configuration` prints, too"
        )
    };
    match candidates(directory).as_slice() {
        [only] => Ok(Handler {
            handler: only.clone(),
            note: Some((format!("{rule}, and {only} is taken"), hint(only))),
        }),
        [] => Err((rule, hint("module.function"))),
        [first, ..] => Err((rule, hint(first))),
    }
}

/// Functions of the directory's modules that look like handlers.
fn candidates(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .take(MOST_FILES)
        .filter_map(|entry| {
            let path = entry.path();
            path.extension().filter(|end| *end == "py")?;
            let module = path.file_stem()?.to_str()?.to_owned();
            let names = functions(&read(&path)?).into_iter();
            Some(
                names
                    .filter(|name| name.ends_with("handler"))
                    .map(move |name| format!("{module}.{name}"))
                    .collect::<Vec<_>>(),
            )
        })
        .flatten()
        .collect();
    found.sort();
    found
}

/// Functions that a module defines at its top level with two parameters.
fn functions(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("def "));
    let named = lines.filter_map(|line| {
        let (name, rest) = line.split_once('(')?;
        let parameters = rest.split_once(')').map_or(rest, |(inner, _)| inner);
        (parameters.split(',').count() == 2).then(|| name.trim().to_owned())
    });
    named.collect()
}

/// Whether a name is there as a word, or may come from elsewhere.
fn mentions(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.contains("import *") || text.split(|c| !part(c)).any(|word| word == name)
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_only_handler_is_taken_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        assert!(handler(None, directory.path()).is_err());
        write("helper.py", "def load(a, b):\n    def inner_handler(x, y): pass\n");
        write("main.py", "import x\n\ndef function_handler(event, context):\n    return 1\n");
        let found = handler(None, directory.path()).unwrap();
        assert_eq!(found.handler, "main.function_handler");
        assert!(found.note.unwrap().0.contains("is taken"));
        write("other.py", "def handler(event, context): pass");
        assert!(handler(None, directory.path()).unwrap_err().1.contains("main.function_handler"));
    }

    #[test]
    fn a_module_one_folder_deeper_is_told() {
        let directory = tempfile::tempdir().unwrap();
        for folder in ["sorter", "release-1"] {
            let inner = directory.path().join(folder);
            std::fs::create_dir(&inner).unwrap();
            std::fs::write(inner.join("sorter.py"), "def handler(event, context): pass").unwrap();
            let (rule, hint) = handler(Some("sorter.handler"), directory.path()).unwrap_err();
            assert!(rule.contains("no module 'sorter'"), "{rule}");
            assert!(hint.contains(&format!("in the folder {folder}")), "{hint}");
            std::fs::remove_dir_all(&inner).unwrap();
        }
    }

    #[test]
    fn modules_are_files_packages_and_compiled() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("pack/inner")).unwrap();
        std::fs::write(at("pack/inner/__init__.py"), "from .x import handler").unwrap();
        std::fs::write(at("pack/mod.py"), "handler = lambda e, c: 1").unwrap();
        std::fs::write(at("fast.cpython-37m-x86_64-linux-gnu.so"), "").unwrap();
        std::fs::write(at("star.py"), "from x import *").unwrap();
        for name in [
            "pack.inner.handler",
            "pack/mod.handler",
            "pack.mod.handler",
            "fast.handler",
            "star.handler",
        ] {
            assert!(handler(Some(name), directory.path()).is_ok(), "{name}");
        }
        for name in ["pack.mod.other", "../pack.mod", ".handler", "a..b", "star/../../x.h"] {
            assert!(handler(Some(name), directory.path()).is_err(), "{name}");
        }
    }
}
