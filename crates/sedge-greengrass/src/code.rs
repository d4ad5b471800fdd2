//! Where the code of functions lies, and what of it is missing.

mod python;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sedge_package::{identity_of, unpack_into};

use crate::FunctionArn;
use crate::group::{Function, Group, Problem, Severity};

/// Most bytes that the code of a function unpacks to; AWS Lambda itself allows 250 MiB.
const MOST_BYTES: u64 = 1 << 30;
/// Entries of a directory that are looked at.
const MOST_ENTRIES: usize = 10_000;

/// A function's code, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCode {
    /// Directory of the code, in which the function is started.
    pub directory: PathBuf,
    /// `module.function` in it.
    pub handler: String,
}

/// Code as it was found, and what is odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The code, unless something of it is missing, which the problems tell.
    pub code: Option<FunctionCode>,
    /// What is missing or odd.
    pub problems: Vec<Problem>,
}

/// Finds the code of all functions of a group, as [`find`] does, and gives those a handler whose
/// definition does not say it: the directories by the functions' ids, and what is missing or odd.
pub fn find_all(
    group: &mut Group,
    lambda_dir: &Path,
    unpacked: &Path,
) -> (BTreeMap<String, PathBuf>, Vec<Problem>) {
    let (mut directories, mut problems) = (BTreeMap::new(), Vec::new());
    for function in &mut group.functions {
        let found = find(function, lambda_dir, unpacked);
        problems.extend(found.problems);
        if let Some(FunctionCode { directory, handler }) = found.code {
            function.handler = Some(handler);
            directories.insert(function.id.clone(), directory);
        }
    }
    (directories, problems)
}

/// What tells the code of functions from the same after a change, which other sizes and times of
/// its files are. Functions may write other files beside their code.
pub fn identity<'a>(directories: impl Iterator<Item = &'a PathBuf>) -> String {
    let mut left: Vec<PathBuf> = directories.cloned().collect();
    let (mut files, mut looked) = (Vec::new(), 0);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            looked += 1;
            if looked > MOST_ENTRIES {
                break;
            }
            let path = entry.path();
            let is_code = path.extension().is_some_and(|end| end == "py" || end == "so");
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => left.push(path),
                Ok(metadata) if is_code => {
                    let when = format!("{}.{}", metadata.mtime(), metadata.mtime_nsec());
                    files.push((path.display().to_string(), metadata.len(), when));
                }
                _ => {}
            }
        }
    }
    files.sort();
    identity_of(files)
}

/// Finds the code of a function below `lambda_dir`: a directory or `.zip` with the name of its ARN
/// with version, `name:version`, or `name`; in this order, and the ARN with colons or, as a core
/// writes it, with periods. For an alias it may be any version, of which the highest is taken: a
/// core's directory has the number that the alias stood for. Another number than the one that is
/// asked for is taken, too, where there is nothing else, and told.
///
/// An archive is unpacked below `unpacked`, once for each content, and stays.
pub fn find(function: &Function, lambda_dir: &Path, unpacked: &Path) -> Found {
    let mut found = Found { code: None, problems: Vec::new() };
    let mut tell = |severity, value: String, rule: String, hint: String| {
        found.problems.push(Problem {
            severity,
            file: lambda_dir.display().to_string(),
            path: function.arn.to_string(),
            value,
            rule,
            hint,
        });
    };
    let Some(Place { path: place, instead }) = place(&function.arn, lambda_dir) else {
        let name = &function.arn.name;
        tell(
            Severity::Error,
            String::new(),
            format!("there is no code of the function '{name}'"),
            format!("copy its folder or zip to {}", lambda_dir.join(name).display()),
        );
        return found;
    };
    let directory = match place.is_dir() {
        true => place.clone(),
        false => match unpack(&function.arn, &place, unpacked) {
            Ok(directory) => directory,
            Err(error) => {
                let (rule, hint) = split_hint(&error);
                tell(Severity::Error, place.display().to_string(), rule, hint);
                return found;
            }
        },
    };
    let shown = place.display().to_string();
    if let Some((wanted, taken)) = instead {
        let rule =
            format!("the definition says version {wanted}, and the code here is version {taken}'s");
        let hint = format!(
            "bring version {wanted}, or write {taken} in the definition; of a template's \
             AWS::Lambda::Version only the cloud knows the number: give it by --parameter"
        );
        tell(Severity::Warning, shown.clone(), rule, hint);
    }
    match python::handler(function.handler.as_deref(), &directory) {
        Ok(python::Handler { handler, note }) => {
            if let Some((rule, hint)) = note {
                tell(Severity::Warning, shown, rule, hint);
            }
            found.code = Some(FunctionCode { directory, handler });
        }
        Err((rule, hint)) => tell(Severity::Error, shown, rule, hint),
    }
    found
}

/// The directory or archive of a function.
struct Place {
    path: PathBuf,
    /// The number that was asked for and the one that was found, where that is another.
    instead: Option<(String, u64)>,
}

fn place(arn: &FunctionArn, lambda_dir: &Path) -> Option<Place> {
    let there = |name: &str| {
        let plain = lambda_dir.join(name);
        let zip = lambda_dir.join(format!("{name}.zip"));
        let file = plain.is_file() && plain.extension().is_some_and(|end| end == "zip");
        (plain.is_dir() || file).then_some(plain).or_else(|| zip.is_file().then_some(zip))
    };
    let name = match &arn.qualifier {
        Some(qualifier) => format!("{}:{qualifier}", arn.name),
        None => arn.name.clone(),
    };
    let whole = arn.to_string();
    let exact = [whole.clone(), whole.replace(':', "."), name];
    let found = |path| Place { path, instead: None };
    if let Some(path) = exact.iter().find_map(|name| there(name)) {
        return Some(found(path));
    }
    let numbered = arn.qualifier.as_deref().filter(|qualifier| qualifier.parse::<u64>().is_ok());
    let plain = there(&arn.name).map(found);
    let latest = || latest(arn, lambda_dir);
    match numbered {
        // A name without a number may be any version, another number is not the one.
        Some(wanted) => plain.or_else(|| {
            let (version, path) = latest()?;
            Some(Place { path, instead: Some((wanted.to_owned(), version)) })
        }),
        None => latest().map(|(_, path)| found(path)).or(plain),
    }
}

/// Of the versions of a function that are there, the highest.
fn latest(arn: &FunctionArn, lambda_dir: &Path) -> Option<(u64, PathBuf)> {
    let bare = arn.unqualified().to_string();
    let starts =
        [format!("{bare}:"), format!("{bare}:").replace(':', "."), format!("{}:", arn.name)];
    let entries = fs::read_dir(lambda_dir).ok()?.take(MOST_ENTRIES).flatten();
    let versions = entries.filter_map(|entry| {
        let path = entry.path();
        let name = entry.file_name().into_string().ok()?;
        let name = if path.is_dir() { name.as_str() } else { name.strip_suffix(".zip")? };
        let version = starts.iter().find_map(|start| name.strip_prefix(start.as_str()))?;
        Some((version.parse::<u64>().ok()?, path))
    });
    versions.max_by_key(|(version, _)| *version)
}

/// Unpacks the code of a function, unless the same was before.
fn unpack(arn: &FunctionArn, archive: &Path, unpacked: &Path) -> Result<PathBuf, String> {
    let told = |error: io::Error| format!("its code cannot be unpacked: {error}");
    // Another archive under the name has another time, size or inode.
    let metadata = archive.metadata().map_err(told)?;
    let when = format!("{}.{} {}", metadata.mtime(), metadata.mtime_nsec(), metadata.ino());
    let identity = identity_of([(archive.display().to_string(), metadata.len(), when)]);
    let target = unpacked.join(format!("{}-{}", arn.name, &identity[..12]));
    if target.is_dir() {
        return Ok(target);
    }
    fs::create_dir_all(unpacked).map_err(told)?;
    let staging = tempfile::tempdir_in(unpacked).map_err(told)?;
    unpack_into(archive, staging.path(), MOST_BYTES).map_err(|error| error.to_string())?;
    let made = staging.keep();
    // Functions may run as another user.
    readable(&made).map_err(told)?;
    match fs::rename(&made, &target) {
        Err(_) if target.is_dir() => {
            let _ = fs::remove_dir_all(&made);
            Ok(target)
        }
        done => done.map(|()| target).map_err(told),
    }
}

fn readable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}

/// What an error says, and its hint.
fn split_hint(error: &str) -> (String, String) {
    let (rule, hint) = error.split_once(" Hint: ").unwrap_or((error, ""));
    let hint = if hint.is_empty() { "pack it anew: `zip -r function.zip .`" } else { hint };
    (rule.trim_end_matches('.').to_owned(), hint.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::group::{Options, read_texts};

    fn function(qualifier: &str, handler: &str) -> Function {
        let text = format!(
            "[{{\"Id\": \"a\", \"FunctionArn\": \"arn:aws:lambda:eu-west-1:1:function:sorter:\
             {qualifier}\", \"Handler\": \"{handler}\", \"FunctionConfiguration\": \
             {{\"MemorySize\": 20000}}}}]"
        );
        let reading = read_texts(&[("a".into(), text)], &Options::default());
        reading.group.functions.into_iter().next().unwrap()
    }

    fn write(directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("sorter.py"), "def handler(event, context):\n    pass\n").unwrap();
    }

    #[test]
    fn code_is_found_by_every_name_that_a_core_gives_it() {
        for (qualifier, name) in [
            ("3", "arn:aws:lambda:eu-west-1:1:function:sorter:3"),
            ("3", "arn.aws.lambda.eu-west-1.1.function.sorter.3"),
            ("3", "sorter:3"),
            ("3", "sorter"),
            ("live", "arn:aws:lambda:eu-west-1:1:function:sorter:12"),
            ("live", "arn.aws.lambda.eu-west-1.1.function.sorter.12"),
            ("live", "sorter:live"),
            ("live", "sorter"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let lambda = root.path().join("lambda");
            write(&lambda.join(name));
            write(&lambda.join("arn:aws:lambda:eu-west-1:1:function:sorter-two:9"));
            let found = find(&function(qualifier, "sorter.handler"), &lambda, root.path());
            assert_eq!(found.problems, [], "{name}");
            let code = found.code.unwrap();
            assert_eq!(
                (code.directory, code.handler),
                (lambda.join(name), "sorter.handler".into())
            );
        }
    }

    #[test]
    fn an_alias_is_the_highest_version() {
        let root = tempfile::tempdir().unwrap();
        for version in [2, 10, 9] {
            write(&root.path().join(format!("sorter:{version}")));
        }
        let found = find(&function("live", "sorter.handler"), root.path(), root.path());
        assert_eq!(found.code.unwrap().directory, root.path().join("sorter:10"));
    }

    #[test]
    fn another_number_than_the_wanted_one_is_told() {
        let root = tempfile::tempdir().unwrap();
        for version in [3, 5] {
            write(&root.path().join(format!("sorter:{version}")));
        }
        let found = |qualifier: &str| {
            find(&function(qualifier, "sorter.handler"), root.path(), root.path())
        };
        assert_eq!(found("3").problems, []);
        let other = found("4");
        assert_eq!(other.code.unwrap().directory, root.path().join("sorter:5"));
        let [problem] = other.problems.as_slice() else { panic!("{:?}", other.problems) };
        assert_eq!(problem.severity, Severity::Warning);
        assert!(problem.rule.contains("says version 4"), "{problem}");
        assert!(problem.rule.contains("is version 5"), "{problem}");
        // A name without a number may well be the one.
        write(&root.path().join("sorter"));
        assert_eq!(found("4").code.unwrap().directory, root.path().join("sorter"));
        assert_eq!(found("4").problems, []);
    }

    #[test]
    fn changed_code_is_other_code() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("sorter");
        write(&place);
        let now = || identity(std::iter::once(&place));
        let first = now();
        fs::create_dir(place.join("__pycache__")).unwrap();
        fs::write(place.join("__pycache__/sorter.pyc"), "").unwrap();
        fs::write(place.join("seen.txt"), "a picture").unwrap();
        assert_eq!(now(), first, "what running it writes is no change");
        fs::write(place.join("sorter.py"), "def handler(event, context):\n    return 1\n").unwrap();
        assert_ne!(now(), first);
    }

    #[test]
    fn what_is_missing_is_told() {
        let root = tempfile::tempdir().unwrap();
        let lambda = root.path().join("lambda");
        let told = |handler: &str| {
            let found = find(&function("1", handler), &lambda, root.path());
            assert_eq!(found.code, None);
            found.problems[0].to_string()
        };
        assert!(told("sorter.handler").contains("no code of the function 'sorter'"));
        fs::create_dir(&lambda).unwrap();
        fs::write(lambda.join("sorter.zip"), "no archive").unwrap();
        assert!(told("sorter.handler").contains("it is no archive"));
        write(&lambda.join("sorter"));
        assert!(told("sort.handler").contains("no module 'sort'"), "{}", told("sort.handler"));
        assert!(told("sorter.handle").contains("no function 'handle'"));
        assert!(told("handler").contains("module.function"));
    }
}
