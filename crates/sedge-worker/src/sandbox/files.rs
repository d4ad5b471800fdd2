use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use sedge_service::Guard;

const NAME: &str = "landlock";

/// What engines and the C library read: libraries, and what the processor is. Nothing of it is
/// anybody's secret.
const LIBRARIES: [&str; 17] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm",
    "/sys/devices/system",
    "/dev/null",
    "/dev/urandom",
    "/dev/zero",
];

/// Lets this thread and those it starts read the libraries, itself and `readable`, and nothing else;
/// write nothing, connect to nothing, and signal nobody outside.
pub(super) fn restrict(readable: &[PathBuf]) -> Guard {
    let (holds, detail) = match try_restrict(readable) {
        Ok(RulesetStatus::FullyEnforced) => {
            (true, "reads its model and libraries, writes nothing".to_owned())
        }
        Ok(RulesetStatus::PartiallyEnforced) => {
            (true, "reads its model and libraries, writes nothing; this kernel knows a part".into())
        }
        Ok(RulesetStatus::NotEnforced) => (false, "this kernel has no Landlock".to_owned()),
        Err(error) => (false, error.to_string()),
    };
    Guard { name: NAME.into(), holds, detail }
}

fn try_restrict(readable: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let abi = ABI::V6;
    let own = PathBuf::from(format!("/proc/{}", std::process::id()));
    let program = std::env::current_exe().unwrap_or_default();
    let read = AccessFs::from_read(abi);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    let all = LIBRARIES.iter().map(Path::new);
    for path in all.chain(readable.iter().map(PathBuf::as_path)).chain([&*own, &*program]) {
        // What is not there cannot be read either.
        let Ok(descriptor) = PathFd::new(path) else { continue };
        let access = if path.is_dir() { read } else { read & AccessFs::from_file(abi) };
        rules = rules.add_rule(PathBeneath::new(descriptor, access))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}
