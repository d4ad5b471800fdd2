//! Where the library may lie.

use std::path::{Path, PathBuf};

const FILE: &str = "libdlr.so";

/// The file that a variable of the environment names, whether or not it is there.
pub(super) fn named(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty())?;
    let path = PathBuf::from(path);
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// The newest of those that were installed below a directory, each in one named for its version.
pub(super) fn installed(directory: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(directory).ok()?.flatten();
    let files = versions.map(|entry| entry.path().join(FILE)).filter(|file| file.is_file());
    let numbers = |file: &PathBuf| -> Vec<u32> {
        let version = version(file).unwrap_or_default();
        version.split('.').map_while(|number| number.parse().ok()).collect()
    };
    files.max_by_key(numbers)
}

/// What a directory with a version for a name says of the library in it.
pub(super) fn version(file: &Path) -> Option<String> {
    let name = file.parent()?.file_name()?.to_str()?;
    let is_version = name.contains('.') && name.split('.').all(|n| n.parse::<u32>().is_ok());
    is_version.then(|| name.to_owned())
}

/// A library among the system's.
pub(super) fn usual() -> Option<PathBuf> {
    let triple = match std::env::consts::ARCH {
        "arm" => "arm-linux-gnueabihf".to_owned(),
        arch => format!("{arch}-linux-gnu"),
    };
    let multiarch = format!("/usr/lib/{triple}");
    ["/usr/local/lib", &multiarch, "/usr/lib64", "/usr/lib"]
        .iter()
        .map(|place| Path::new(place).join(FILE))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_the_one_with_the_highest_version() {
        let directory = std::env::temp_dir().join(format!("sedge-dlr-{}", std::process::id()));
        for version in ["1.6.0", "1.13.0", "1.9.1", "notes"] {
            std::fs::create_dir_all(directory.join(version)).unwrap();
            std::fs::write(directory.join(version).join(FILE), "").unwrap();
        }
        let found = installed(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(version(&found).as_deref(), Some("1.13.0"));
    }
}
