//! The support bundle: what somebody else needs to know to help, without secrets.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use sedge_package::Package;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use toml::Table;

use super::Host;
use super::redact::{REDACTED, Redactor, without_serial_numbers};
use crate::config::Config;

/// The directory everything is in once unpacked.
const TOP: &str = "sedge-bundle";

/// The end of a log is what matters.
const MAX_LOG_BYTES: u64 = 1 << 20;

/// Files in which the machine describes itself, and no person.
const SYSTEM_FILES: [&str; 12] = [
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/version",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/self/cgroup",
    "/proc/self/limits",
    "/proc/self/status",
    "/sys/devices/system/cpu/online",
    "/sys/fs/cgroup/cgroup.controllers",
    "/etc/os-release",
    "/etc/debian_version",
];

/// Variables whose values are told; of all others only the name is.
const TOLD_VARIABLES: [&str; 14] = [
    "CLICOLOR",
    "COLUMNS",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "MALLOC_ARENA_MAX",
    "NO_COLOR",
    "PATH",
    "RUST_BACKTRACE",
    "SEDGE_LOG",
    "SEDGE_ONNXRUNTIME",
    "SEDGE_DLR",
    "TERM",
    "TMPDIR",
];

/// What goes into a bundle besides what `sedge doctor` finds.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) host: &'a Host,
    /// The report as it is printed.
    pub(crate) json: &'a Value,
    pub(crate) text: &'a str,
    pub(crate) config: Option<&'a Path>,
    pub(crate) model: Option<&'a Path>,
    pub(crate) log: Option<&'a Path>,
    pub(crate) environment: &'a [(String, String)],
}

/// A file of the bundle: its path in it, and its bytes.
pub(crate) type Entry = (String, Vec<u8>);

/// Everything that will be in the bundle, redacted.
pub(crate) fn collect(sources: &Sources<'_>) -> Result<Vec<Entry>> {
    let variables = sources.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut redactor = Redactor::new(variables)?;
    let config = sources.config.map(read_config);
    if let Some(Ok(table)) = &config {
        redactor.learn_table(table);
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut add = |path: &str, text: String| entries.push((format!("{TOP}/{path}"), text.into()));
    add("doctor.txt", redactor.text(sources.text));
    add("doctor.json", format!("{:#}\n", redactor.json(sources.json)));
    add("version.json", format!("{:#}\n", redactor.json(&crate::version::build())));
    add("environment.txt", redactor.text(&environment(sources.environment)));
    match &config {
        Some(Ok(table)) => add("config.toml", redactor.table(table).to_string()),
        // What cannot be read as TOML cannot be redacted by its keys, so only the error is told.
        Some(Err(error)) => add("config-error.txt", redactor.text(error)),
        None => {}
    }
    let models = models(sources, &redactor);
    if !models.is_empty() {
        add("models.json", format!("{:#}\n", Value::from(models)));
    }
    for path in SYSTEM_FILES {
        if let Some(text) = sources.host.read(path) {
            add(&format!("system{path}"), redactor.text(&without_serial_numbers(&text)));
        }
    }
    if let Some(log) = sources.log {
        let text = tail(log).with_context(|| format!("cannot read {}", log.display()))?;
        add("log.txt", redactor.text(&text));
    }
    let list: String = entries.iter().map(|(path, _)| format!("  {path}\n")).collect();
    let readme = format!(
        "A support bundle of Sedge, made by `sedge doctor --bundle`.\n\n\
         Values of keys that sound like secrets, user names and queries in URLs, names of home\n\
         directories, serial numbers and values of environment variables were taken out. Read it\n\
         before you hand it on.\n\n{list}"
    );
    entries.insert(0, (format!("{TOP}/README.txt"), readme.into()));
    Ok(entries)
}

/// Writes the archive beside `path` and gives it its name when it is whole; only the owner may read
/// it.
pub(crate) fn write(path: &Path, entries: &[Entry]) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory)
        .with_context(|| format!("cannot write into {}", directory.display()))?;
    let mut archive = tar::Builder::new(GzEncoder::new(&mut file, Compression::default()));
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(seconds.as_ref().map_or(0, std::time::Duration::as_secs));
        archive.append_data(&mut header, name, bytes.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()?;
    file.as_file().sync_all()?;
    // Temporary files are made with mode 0600.
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(failed) if failed.error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is already there. Hint: name a file that is not", path.display())
        }
        Err(failed) => {
            Err(failed.error).with_context(|| format!("cannot write {}", path.display()))
        }
    }
}

fn read_config(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    // Without the lines it quotes, see `toml::de::Error::message`.
    text.parse::<Table>().map_err(|error| {
        let at = error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count());
        format!("line {at}: {}\n", error.message())
    })
}

fn environment(variables: &[(String, String)]) -> String {
    let mut variables: Vec<_> = variables.iter().collect();
    variables.sort();
    let line = |(name, value): &&(String, String)| {
        let told = TOLD_VARIABLES.contains(&name.as_str());
        format!("{name}={}\n", if told { value.as_str() } else { REDACTED })
    };
    variables.iter().map(line).collect()
}

/// Names and identities of the models, never their weights.
fn models(sources: &Sources<'_>, redactor: &Redactor) -> Vec<Value> {
    let mut paths: Vec<PathBuf> = sources.model.iter().map(|path| path.to_path_buf()).collect();
    if let Some(Ok(config)) = sources.config.map(Config::read) {
        paths.extend(config.service.into_iter().map(|service| service.model));
    }
    let one = |path: &PathBuf| {
        let shown = redactor.text(&path.to_string_lossy());
        match Package::open(path, &[]) {
            Ok(package) => json!({
                "path": shown,
                "name": redactor.text(&package.name),
                "identity": package.identity,
                "format": package.format.name(),
                "task": package.task().to_string(),
                "bytes": package.bytes,
            }),
            Err(error) => json!({"path": shown, "error": redactor.text(&error.to_string())}),
        }
    };
    paths.iter().map(one).collect()
}

/// The last part of a log, from the beginning of a line.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(MAX_LOG_BYTES);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(MAX_LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match text.split_once('\n') {
        Some((_, rest)) if skipped > 0 => rest.to_owned(),
        _ => text.into_owned(),
    })
}
