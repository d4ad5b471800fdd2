//! A download that is not finished: its bytes so far, and of what.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::DeployError;
use crate::error::io_error;
use crate::store::disk;

const MOST_NOTE_BYTES: u64 = 16 << 10;

/// Which content the bytes are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    /// Its whole size.
    pub(super) bytes: Option<u64>,
}

impl Content {
    /// What a server promises to be the same bytes; weak tags only promise the same meaning.
    pub(super) fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| etag.starts_with('"'))
    }
}

/// An unfinished file in the directory of those, with a note beside it of what it is.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    note: PathBuf,
    file: File,
    hasher: Sha256,
    pub(super) bytes: u64,
    pub(super) content: Content,
}

impl Part {
    /// Opens what there is of `name`: all of its bytes are hashed again, which also says how many
    /// were really written. Without its note it begins anew.
    pub(super) fn open(directory: &Path, name: &str) -> Result<Self, DeployError> {
        let path = directory.join(format!("{name}.part"));
        let note = directory.join(format!("{name}.json"));
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let mut file = options.open(&path).map_err(io_error("open", &path))?;
        let content: Option<Content> = read_note(&note);
        let resumable = content.as_ref().is_some_and(|content| content.strong_etag().is_some());
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        if resumable {
            bytes = disk::feed(&mut file, &mut hasher).map_err(io_error("read", &path))?;
        }
        let content = content.unwrap_or_default();
        let mut part = Self { path, note, file, hasher, bytes, content };
        let too_many = part.content.bytes.is_some_and(|whole| part.bytes > whole);
        if !resumable || too_many {
            part.restart(Content::default())?;
        }
        Ok(part)
    }

    /// Forgets all bytes and begins with those of `content`.
    pub(super) fn restart(&mut self, content: Content) -> Result<(), DeployError> {
        self.file.set_len(0).map_err(io_error("write", &self.path))?;
        (self.bytes, self.hasher) = (0, Sha256::new());
        self.content = content;
        let note = serde_json::to_vec(&self.content)
            .map_err(|error| io_error("write", &self.note)(error.into()))?;
        disk::write_whole(&self.note, &note)
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DeployError> {
        let written = self.file.write_all(bytes);
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            let left = self.content.bytes.unwrap_or(0).saturating_sub(self.bytes);
            let free = disk::usable_bytes(&self.path)?;
            return Err(DeployError::NoSpace {
                path: self.path.clone(),
                needed: left.max(bytes.len() as u64),
                free,
            });
        }
        written.map_err(io_error("write", &self.path))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Whether all is there: then it was not used, for whatever reason.
    pub(super) fn is_whole(&self) -> bool {
        self.content.strong_etag().is_some() && self.content.bytes == Some(self.bytes)
    }

    /// Where it lies.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Gives the whole file another place, and says its sha256.
    pub(super) fn finish(self, target: &Path) -> Result<String, DeployError> {
        std::fs::rename(&self.path, target).map_err(io_error("write", target))?;
        disk::remove(&self.note)?;
        Ok(sedge_package::hex(&self.hasher.finalize()))
    }

    /// Removes what is of no use to any later download.
    pub(super) fn discard(self) -> Result<(), DeployError> {
        disk::remove(&self.path)?;
        disk::remove(&self.note)
    }
}

fn read_note(path: &Path) -> Option<Content> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MOST_NOTE_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
