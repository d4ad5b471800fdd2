use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::document::{Document, ShadowError};

/// Things whose shadows are kept.
const MOST_THINGS: usize = 1000;
/// More than any document takes that was written here, metadata included.
const MOST_FILE_BYTES: u64 = 1 << 20;

/// Shadows as files, one for each thing.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    fn path(&self, thing: &str) -> PathBuf {
        self.directory.join(format!("{thing}.json"))
    }

    /// The shadow of a thing, where there is or was one.
    pub(super) fn read(&self, thing: &str) -> Result<Option<Document>, ShadowError> {
        let path = self.path(thing);
        let error =
            |why: String| ShadowError::Store(format!("cannot read {}: {why}", path.display()));
        match fs::metadata(&path) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
            Err(other) => return Err(error(other.to_string())),
            Ok(file) if file.len() > MOST_FILE_BYTES => {
                return Err(error("it is too large".into()));
            }
            Ok(_) => {}
        }
        let text = fs::read(&path).map_err(|why| error(why.to_string()))?;
        serde_json::from_slice(&text).map(Some).map_err(|why| error(why.to_string()))
    }

    /// Keeps a shadow, whole or not at all.
    pub(super) fn write(&self, thing: &str, document: &Document) -> Result<(), ShadowError> {
        let path = self.path(thing);
        if !path.exists() && fs::read_dir(&self.directory).is_ok_and(|d| d.count() >= MOST_THINGS) {
            let text = format!(
                "{MOST_THINGS} things have shadows already. Hint: remove files in {}",
                self.directory.display()
            );
            return Err(ShadowError::Store(text));
        }
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.directory)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(&serde_json::to_vec(document)?)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|why| ShadowError::Store(format!("cannot write {}: {why}", path.display())))
    }
}
