//! Directories and files that were made so that something can be mounted over them.
//!
//! Mounts are seen by one function alone and go with it; what they were mounted over is in the
//! device's own file system and would stay. Each is written down before it is made, so that what a
//! core that was ended has left is taken away by the next one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of the list that are read: it is as long as a group has destinations.
const MOST_BYTES: u64 = 1 << 20;

/// What was made, in the order in which it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct MountPoints {
    /// A path for each line, as JSON writes texts.
    list: PathBuf,
}

impl MountPoints {
    /// Those of a core with this directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { list: directory.join("mount-points") }
    }

    /// Makes a place for a directory or file, and all above it that is missing.
    ///
    /// # Errors
    /// When it, or the note of it, cannot be written.
    pub(crate) fn make(&self, path: &Path, is_directory: bool) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
        for (depth, path) in missing.into_iter().enumerate().rev() {
            self.note(path)?;
            match is_directory || depth > 0 {
                true => fs::create_dir(path)?,
                false => fs::write(path, "")?,
            }
        }
        Ok(())
    }

    fn note(&self, path: &Path) -> io::Result<()> {
        // Destinations come from definitions, which are text.
        let Some(text) = path.to_str() else { return Ok(()) };
        let mut list = OpenOptions::new().create(true).append(true).open(&self.list)?;
        writeln!(list, "{}", serde_json::Value::from(text))
    }

    /// Takes away what was made and is empty: what somebody has put something into stays.
    pub(crate) fn clear(&self) {
        let Ok(list) = File::open(&self.list) else { return };
        let lines = BufReader::new(list.take(MOST_BYTES)).lines().map_while(Result::ok);
        let made: Vec<PathBuf> =
            lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
        for path in made.iter().rev() {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let _ = match (metadata.is_dir(), metadata.is_file() && metadata.len() == 0) {
                (true, _) => fs::remove_dir(path),
                (_, true) => fs::remove_file(path),
                _ => Ok(()),
            };
        }
        let _ = fs::remove_file(&self.list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("there")).unwrap();
        let points = MountPoints::new(place.path());
        points.make(&at("there/deep/model"), true).unwrap();
        points.make(&at("there/deep/labels.txt"), false).unwrap();
        points.make(&at("used/model"), true).unwrap();
        points.make(&at("there"), true).unwrap();
        fs::write(at("used/mine"), "kept").unwrap();
        // As the next core does after one that was ended.
        MountPoints::new(place.path()).clear();
        assert!(at("there").is_dir() && !at("there/deep").exists());
        assert!(at("used/mine").exists() && !at("used/model").exists());
        assert!(!at("mount-points").exists());
        points.clear();
    }
}
