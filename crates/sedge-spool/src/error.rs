use std::io;
use std::path::{Path, PathBuf};

use crate::{MAX_BODY_BYTES, MAX_DESTINATIONS, MAX_HEADERS_BYTES};

/// Why the spool could not be opened, or a record not be taken or handed out. Records that were
/// there before are still there.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process, or another part of this one, has the spool open.
    #[error(
        "the spool {directory} is in use by {holder}. Hint: stop that first; `sedge spool list`, \
         `inspect` and `verify` read beside it"
    )]
    InUse {
        /// The spool's directory.
        directory: PathBuf,
        /// The other process, as it wrote itself down.
        holder: String,
    },
    /// Files of a version of the format that is not known here.
    #[error(
        "{path} was written by a newer version of Sedge. \
         Hint: go back to that version, or drain the spool with it before you change to this one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("cannot {act} {path}: {error}")]
    Io {
        /// What was being done, as a verb.
        act: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The bound on bytes is reached, and nothing may be dropped for the record: the policy rejects,
    /// or what waits has a higher priority or is handed out.
    #[error(
        "the spool is full: {waiting} of {max} bytes wait, and a record of {record} bytes may \
         displace none of them. Hint: see with `sedge spool list` what waits, and raise the bound, \
         or drop the oldest"
    )]
    Full {
        /// Bytes of what waits.
        waiting: u64,
        /// The bound on them.
        max: u64,
        /// Bytes that the record takes.
        record: u64,
    },
    /// The disk is full. Nothing of the record is there, and appending works again with free space.
    #[error(
        "there is no space for {path}: {error}. \
         Hint: free space there, or give the spool a smaller bound than the disk has room for"
    )]
    NoSpace {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A record larger than any may be, or than the spool.
    #[error(
        "a record of {bytes} bytes is too large: the spool takes {max}, of them {MAX_BODY_BYTES} of \
         body and {MAX_HEADERS_BYTES} of headers at most. Hint: send less at a time, or raise the \
         bound"
    )]
    TooLarge {
        /// Bytes that the record takes.
        bytes: u64,
        /// Bytes that a spool takes as a whole.
        max: u64,
    },
    /// A name that no destination can have.
    #[error(
        "'{name}' cannot be a destination's name. Hint: take 1 to 64 letters, digits, '.', '_' and \
         '-' of ASCII, the first of them a letter or digit"
    )]
    Destination {
        /// The name.
        name: String,
    },
    /// More destinations than there may be.
    #[error(
        "there are {MAX_DESTINATIONS} destinations in {directory} already. Hint: see with `sedge \
         spool list` which are in use; stop the server and remove the directories of others"
    )]
    TooManyDestinations {
        /// The spool's directory.
        directory: PathBuf,
    },
    /// A destination has its consumer already.
    #[error("the destination {destination} has a consumer already. Hint: drop that one first")]
    ConsumerTaken {
        /// Its name.
        destination: String,
    },
    /// A record that was settled is not handed out.
    #[error("{id} is not handed out: it was settled or returned before, or is another consumer's")]
    NotHandedOut {
        /// The record.
        id: crate::Id,
    },
}

impl SpoolError {
    /// The system's refusal, with no space told from the rest.
    pub(crate) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| match is_no_space(&error) {
            true => Self::NoSpace { path, error },
            false => Self::Io { act, path, error },
        }
    }
}

pub(crate) fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
