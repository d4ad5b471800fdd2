//! Engines' libraries that are brought to this device: fetched with the machine's own package
//! client, or taken from a file. Only the library is kept, and none of it runs in this process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use sedge_package::unpack_into;
use tempfile::{NamedTempFile, TempDir};

/// Most bytes that a Python package unpacks to: onnxruntime's takes a tenth of it.
const MOST_BYTES: u64 = 1 << 30;
/// Longest time that a library may take to be loaded and to tell its version.
const PATIENCE: Duration = Duration::from_secs(30);

/// A library that an engine loads at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The runtime of SageMaker Neo's packages
    Dlr,
    /// The second engine for all other models
    Onnxruntime,
}

impl Kind {
    pub(crate) const ALL: [Kind; 2] = [Kind::Dlr, Kind::Onnxruntime];

    /// Its name: of the engine, and of the Python package that carries it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Dlr => "dlr",
            Kind::Onnxruntime => "onnxruntime",
        }
    }

    /// How its file's name begins.
    fn file(self) -> &'static str {
        match self {
            Kind::Dlr => "libdlr.so",
            Kind::Onnxruntime => "libonnxruntime.so",
        }
    }

    /// What is fetched when nobody names a version. Packages of Neo were made for the DLR of their
    /// time; 1.6 is the one whose behaviour is known best (`docs/formats/neo.md`).
    fn usual_version(self) -> Option<&'static str> {
        match self {
            Kind::Dlr => Some("1.6.0"),
            Kind::Onnxruntime => None,
        }
    }

    /// Where a version of it lies, as its engine looks for it.
    fn place(self, directory: &Path, version: &str) -> PathBuf {
        let directory = directory.join(self.name());
        match self {
            Kind::Dlr => directory.join(version).join(self.file()),
            Kind::Onnxruntime => directory.join(format!("{}.{version}", self.file())),
        }
    }

    /// The installed ones, with their versions.
    pub(crate) fn installed(self, directory: &Path) -> Vec<(String, PathBuf)> {
        let entries =
            std::fs::read_dir(directory.join(self.name())).into_iter().flatten().flatten();
        let version = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_str()?.to_owned();
            let version = match self {
                Kind::Dlr => name,
                Kind::Onnxruntime => name.strip_prefix(self.file())?.strip_prefix('.')?.to_owned(),
            };
            let file = self.place(directory, &version);
            file.is_file().then_some((version, file))
        };
        let mut found: Vec<_> = entries.filter_map(version).collect();
        found.sort();
        found
    }
}

/// Brings a library below `directory`, from a wheel or library at `from`, else with pip. Says its
/// version and where it lies.
pub(crate) fn install(
    kind: Kind,
    version: Option<&str>,
    from: Option<&Path>,
    directory: &Path,
) -> Result<(String, PathBuf)> {
    let scratch = TempDir::with_prefix("sedge-runtime-")?;
    let file = match from {
        Some(path) => path.to_owned(),
        None => download(kind, version.or(kind.usual_version()), scratch.path())?,
    };
    let library = match sedge_package::is_archive(&file) {
        true => unpacked(kind, &file, &scratch.path().join("unpacked"))?,
        false => file,
    };
    let told = probe(kind, &library).map_err(|reason| anyhow::anyhow!(reason))?;
    let is_version = |text: &str| text.contains('.') && text.split('.').all(is_number);
    let found = [version, Some(told.as_str())].into_iter().flatten().find(|text| is_version(text));
    let found = found.with_context(|| {
        format!("{} does not tell its version. Hint: give it with --version", library.display())
    })?;
    let target = kind.place(directory, found);
    keep(&library, &target).with_context(|| format!("cannot write {}", target.display()))?;
    Ok((found.to_owned(), target))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Has pip bring the Python package, of which nothing runs.
fn download(kind: Kind, version: Option<&str>, scratch: &Path) -> Result<PathBuf> {
    let wanted = match version {
        Some(version) if version.split('.').all(is_number) => format!("{}=={version}", kind.name()),
        Some(version) => bail!("'{version}' is no version. Hint: numbers, as in 1.6.0"),
        None => kind.name().to_owned(),
    };
    let directory = scratch.join("wheel");
    std::fs::create_dir(&directory)?;
    let output = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--dest"])
        .args([directory.as_os_str(), wanted.as_ref()])
        .output();
    let by_hand = "Hint: fetch the wheel elsewhere, and name it: sedge runtime install";
    let output = output.with_context(|| {
        format!("cannot run python3 -m pip. {by_hand} {} FILE.whl", kind.name())
    })?;
    if !output.status.success() {
        let words = last_words(&output);
        bail!("pip could not fetch {wanted}: {words}. {by_hand} {} FILE.whl", kind.name());
    }
    let mut files = std::fs::read_dir(&directory)?.flatten().map(|entry| entry.path());
    files.next().context("pip fetched nothing")
}

/// The library in a Python package.
fn unpacked(kind: Kind, wheel: &Path, directory: &Path) -> Result<PathBuf> {
    std::fs::create_dir(directory)?;
    unpack_into(wheel, directory, MOST_BYTES)?;
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind_of_file = entry.file_type()?;
            if kind_of_file.is_dir() {
                open.push(entry.path());
            } else if kind_of_file.is_file() && name.starts_with(kind.file()) {
                return Ok(entry.path());
            }
        }
    }
    bail!("{} holds no {}. Hint: name a wheel of {}", wheel.display(), kind.file(), kind.name())
}

/// Copies a file to its place as a whole: it is there with everything in it, or as it was.
fn keep(library: &Path, target: &Path) -> io::Result<()> {
    let directory = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = NamedTempFile::new_in(directory)?;
    io::copy(&mut File::open(library)?, &mut file)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    Ok(())
}

/// Has a process of its own load a library and say its version.
///
/// # Errors
/// The loader's words, or how the process ended.
pub(crate) fn probe(kind: Kind, library: &Path) -> Result<String, String> {
    let run = || -> io::Result<Option<Output>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["runtime", "probe", kind.name()])
            .arg(std::path::absolute(library)?)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().map(Some)
    };
    match run() {
        Ok(Some(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(Some(output)) if output.status.code().is_some() => Err(last_words(&output)),
        Ok(Some(output)) => Err(format!(
            "{} ended the process that loaded it: {}",
            library.display(),
            output.status
        )),
        Ok(None) => Err(format!("{} was not loaded in time", library.display())),
        Err(error) => Err(error.to_string()),
    }
}

/// The last line that a program wrote, which is mostly the reason.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let line = line.unwrap_or("it says nothing").trim_start_matches("error: ");
    line.trim_start_matches("ERROR: ").trim_end_matches('.').to_owned()
}
