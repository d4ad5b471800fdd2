//! What a library writes to standard error.
//!
//! DLR 1.4 to 1.13 tell why a package was refused there and nowhere else.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::stdio::{dup2_stderr, stderr};

/// Most bytes that are read of what was written.
const MOST_BYTES: u64 = 64 << 10;

/// Does something, and gives what was written to standard error meanwhile, by whichever thread.
/// Nothing where the system has no memory files (Linux before 3.17).
pub(super) fn captured<T>(act: impl FnOnce() -> T) -> (T, String) {
    let turned = (|| {
        let kept = rustix::io::dup(stderr())?;
        let file = memfd_create("stderr", MemfdFlags::CLOEXEC)?;
        dup2_stderr(&file)?;
        Ok::<_, rustix::io::Errno>((kept, File::from(file)))
    })();
    let done = act();
    let Ok((kept, mut file)) = turned else { return (done, String::new()) };
    let _ = dup2_stderr(&kept);
    let mut bytes = Vec::new();
    let _ = file.seek(SeekFrom::Start(0));
    let _ = file.take(MOST_BYTES).read_to_end(&mut bytes);
    (done, String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a line to this process's log, which is standard error.
pub(super) fn log(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", line.trim_end());
}
