use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Gid, Uid};

use super::account::group_number;
use super::mount_points::MountPoints;
use super::process::{Identity, Mount};
use super::python;
use crate::FunctionArn;
use crate::group::{Function, Level, Permission, Resource, ResourceData};
use crate::log::word;

/// The version of the protocol that is spoken, as the SDKs ask for it.
const INTERFACE: &str = "1.5";
/// The last version of the core that spoke it (specification, section 9.1: Python 3.8 since 1.11).
const CORE_VERSION: &str = "1.11.6";

/// What all functions find around them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `ggc` and the rest of the core are below it.
    pub(crate) directory: PathBuf,
    pub(crate) python: Option<PathBuf>,
    pub(crate) port: u16,
    pub(crate) level: Option<Level>,
    /// `AWS_IOT_THING_NAME` and what else is the same for all of them.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) resources: Vec<Resource>,
    /// Where the models are, by the id of their resource.
    pub(crate) models: BTreeMap<String, PathBuf>,
    /// User and group of functions that say none; `None` for the core's own.
    pub(crate) account: Option<(u32, u32)>,
    pub(crate) may_be_root: bool,
}

/// How one function is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) arn: FunctionArn,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: PathBuf,
    pub(crate) memory_bytes: Option<u64>,
    /// Longest time for one call.
    pub(crate) timeout: Duration,
    pub(super) identity: Option<Identity>,
    pub(super) mounts: Vec<Mount>,
}

/// Why a function cannot even be tried.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LaunchError {
    #[error(
        "its runtime '{0}' is not supported. Hint: functions in Python 3 are (python3.7 and later)"
    )]
    Runtime(String),
    #[error(
        "there is no Python 3 on this device. Hint: apt-get install python3, or name the interpreter"
    )]
    NoPython,
    #[error("its code is not here. Hint: put it below the functions' directory as {0}")]
    NoCode(String),
    #[error("its code is not at {0}: {1}")]
    Code(PathBuf, #[source] io::Error),
    #[error(
        "its handler is not known. Hint: add \"Handler\": \"module.function\" to its definition"
    )]
    NoHandler,
    #[error(
        "it is to run as root. Hint: another RunAs, or allow_root = true below [greengrass] of the configuration"
    )]
    Root,
    #[error("it is to run as user {0} and group {1}, which takes a core that runs as root")]
    Account(u32, u32),
    #[error("its resource '{0}' is not ready: {1}")]
    Resource(String, String),
}

impl Launch {
    /// Finds out how a function is started whose code is in `code`.
    ///
    /// # Errors
    /// When something is missing that it cannot be without.
    pub(crate) fn new(
        function: &Function,
        code: Option<&Path>,
        around: &Surroundings,
    ) -> Result<Self, LaunchError> {
        let arn = function.arn.clone();
        let program = python::interpreter(around.python.as_deref(), function.runtime.as_deref())?;
        let code = code.ok_or_else(|| LaunchError::NoCode(arn.to_string()))?;
        let code = fs::canonicalize(code).map_err(|error| LaunchError::Code(code.into(), error))?;
        let handler = function.handler.as_deref().ok_or(LaunchError::NoHandler)?;
        let runtime = around.directory.join("python");
        let arguments = vec![
            runtime.join("lambda_runtime.py").into_os_string(),
            format!("--handler={handler}").into(),
            format!("--timeout={}", function.timeout.as_secs_f64()).into(),
        ];
        let identity = identity(function, around)?;
        let mut environment = environment(function, around);
        environment.insert("PYTHONPATH".into(), python_path(&runtime, &code, function));
        Ok(Self {
            arn,
            program,
            arguments,
            environment: environment.into_iter().collect(),
            directory: code,
            memory_bytes: function.memory_bytes,
            timeout: function.timeout,
            identity,
            mounts: Vec::new(),
        })
    }

    /// Puts a function's resources where it finds them; to be done when they are there, before it
    /// is started.
    ///
    /// # Errors
    /// Which one is not there, and why.
    pub(crate) fn place(
        &mut self,
        function: &Function,
        around: &Surroundings,
    ) -> Result<(), LaunchError> {
        let places = Places::of(function, around)?;
        if let Some(identity) = &mut self.identity {
            let groups = places.groups.iter().filter(|gid| is_usable(**gid));
            identity.groups.extend(groups.map(|gid| Gid::from_raw(*gid)));
        }
        self.environment.push(("AWS_GG_RESOURCE_PREFIX".into(), places.prefix.into()));
        self.mounts = places.mounts;
        Ok(())
    }
}

/// The modules of the core come before those of the same names that packages of old bring along.
fn python_path(runtime: &Path, code: &Path, function: &Function) -> OsString {
    let own = function.variables.get("PYTHONPATH").map(String::as_str).unwrap_or_default();
    let own = std::env::split_paths(own).filter(|path| !path.as_os_str().is_empty());
    let paths = [runtime.to_owned(), code.to_owned()].into_iter().chain(own);
    // The code of a name with colons is found by the runtime, which begins in it.
    let paths = paths.filter(|path| !path.as_os_str().as_bytes().contains(&b':'));
    std::env::join_paths(paths).unwrap_or_else(|_| runtime.into())
}

fn environment(function: &Function, around: &Surroundings) -> BTreeMap<OsString, OsString> {
    let mut environment = BTreeMap::new();
    for name in ["PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR"] {
        environment.extend(std::env::var_os(name).map(|value| (name.into(), value)));
    }
    environment.entry("PATH".into()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".into());
    let variables = &function.variables;
    environment.extend(variables.iter().map(|(name, value)| (name.into(), value.into())));
    let arn = &function.arn;
    let encoding = if function.binary { "binary" } else { "json" };
    let own = [
        ("MY_FUNCTION_ARN", arn.to_string()),
        ("ENCODING_TYPE", encoding.to_owned()),
        ("ROUTER_FUNCTION_ARN", crate::router::ARN.to_owned()),
        ("SHADOW_FUNCTION_ARN", crate::shadow::ARN.to_owned()),
        ("SECRETS_MANAGER_FUNCTION_ARN", crate::secrets::ARN.to_owned()),
        ("GGC_MAX_INTERFACE_VERSION", INTERFACE.to_owned()),
        ("GGC_VERSION", CORE_VERSION.to_owned()),
        ("GG_DAEMON_PORT", around.port.to_string()),
        ("AWS_REGION", arn.region.clone()),
        ("AWS_DEFAULT_REGION", arn.region.clone()),
        ("LOG_LEVEL", word(around.level.unwrap_or(Level::Info)).to_owned()),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://localhost:{}/2016-11-01/credentialprovider/", around.port),
        ),
        // What is printed is to be in the log when it was printed.
        ("PYTHONUNBUFFERED", "1".to_owned()),
    ];
    environment.extend(own.map(|(name, value)| (name.into(), value.into())));
    let common = around.variables.iter();
    environment.extend(common.map(|(name, value)| (name.into(), value.into())));
    environment
}

fn identity(function: &Function, around: &Surroundings) -> Result<Option<Identity>, LaunchError> {
    let is_root = rustix::process::geteuid().is_root();
    let Some((uid, gid)) = function.run_as.or(around.account.filter(|_| is_root)) else {
        return Ok(None);
    };
    if !is_usable(uid) || !is_usable(gid) {
        return Err(LaunchError::Account(uid, gid));
    }
    if uid == 0 && !around.may_be_root {
        return Err(LaunchError::Root);
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if is_root {
        return Ok(Some(Identity { uid, gid, groups: Vec::new() }));
    }
    let is_own = (uid, gid) == (rustix::process::geteuid(), rustix::process::getegid());
    is_own.then_some(None).ok_or(LaunchError::Account(uid.as_raw(), gid.as_raw()))
}

/// The highest number means "unchanged" to the kernel (setuid(2)).
fn is_usable(number: u32) -> bool {
    number != u32::MAX
}

/// Where a function finds its resources, and the groups that let it use them.
struct Places {
    prefix: PathBuf,
    mounts: Vec<Mount>,
    groups: Vec<u32>,
    points: MountPoints,
}

impl Places {
    fn of(function: &Function, around: &Surroundings) -> Result<Self, LaunchError> {
        let is_mounted = function.container && may_mount();
        let prefix = around.directory.join("resources").join(&function.arn.name);
        let points = MountPoints::new(&around.directory);
        let (mounts, groups) = Default::default();
        let mut places = Self { prefix: prefix.clone(), mounts, groups, points };
        if is_mounted {
            places.prefix = "/".into();
        } else {
            // What is left of resources that it had before.
            let _ = fs::remove_dir_all(&prefix);
        }
        for access in &function.resources {
            let found = around.resources.iter().find(|resource| resource.id == access.resource);
            let error = |why: String| LaunchError::Resource(access.resource.clone(), why);
            let resource = found.ok_or_else(|| error("the group has none of that id".into()))?;
            let io_error = |error: io::Error| {
                LaunchError::Resource(access.resource.clone(), error.to_string())
            };
            match &resource.data {
                ResourceData::Model { destination, owner, .. } => {
                    let model = around.models.get(&resource.id);
                    let model = model.ok_or_else(|| error("its model was not brought".into()))?;
                    places.groups.extend(owner.map(|(gid, _)| gid));
                    let permission = access.permission.or(owner.map(|(_, permission)| permission));
                    let read_only = permission != Some(Permission::ReadWrite);
                    if is_mounted {
                        places.mount(model, destination, read_only).map_err(io_error)?;
                    } else {
                        link(model, &prefix, destination).map_err(io_error)?;
                    }
                }
                ResourceData::Volume { source, destination, add_group_owner, group } => {
                    let metadata = fs::metadata(source).map_err(io_error)?;
                    places.add_group(*add_group_owner, group.as_deref(), metadata.gid());
                    let read_only = access.permission != Some(Permission::ReadWrite);
                    if is_mounted && source != destination {
                        places.mount(source, destination, read_only).map_err(io_error)?;
                    }
                }
                ResourceData::Device { source, add_group_owner, group } => {
                    let metadata = fs::metadata(source).map_err(io_error)?;
                    places.add_group(*add_group_owner, group.as_deref(), metadata.gid());
                }
                ResourceData::Secret { .. } => {}
            }
        }
        Ok(places)
    }

    fn add_group(&mut self, owner: bool, named: Option<&str>, owner_gid: u32) {
        self.groups.extend(owner.then_some(owner_gid));
        self.groups.extend(named.and_then(group_number));
    }

    /// Shows `source` at its destination, to this function alone.
    fn mount(&mut self, source: &Path, destination: &Path, read_only: bool) -> io::Result<()> {
        let is_directory = fs::metadata(source)?.is_dir();
        // Names another one after an update, which the next process sees.
        let source = std::path::absolute(source)?;
        self.points.make(destination, is_directory)?;
        let text =
            |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
        let (source, destination) = (text(&source)?, text(destination)?);
        self.mounts.push(Mount { source, destination, read_only });
        Ok(())
    }
}

/// Links a model to its destination below the prefix.
fn link(model: &Path, prefix: &Path, destination: &Path) -> io::Result<()> {
    let below = destination.strip_prefix("/").unwrap_or(destination);
    if below.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Err(io::Error::other("its destination is no plain absolute path"));
    }
    let path = prefix.join(below);
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::metadata(model)?;
    std::os::unix::fs::symlink(std::path::absolute(model)?, path)
}

/// Whether this process may mount: `CAP_SYS_ADMIN`, 21 (capabilities(7)).
pub(crate) fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & 1 << 21 != 0)
}
