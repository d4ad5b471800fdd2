//! The files packed behind a model: a ZIP archive appended to it.

use std::io::{Cursor, Read};

use bytes::Bytes;
use zip::ZipArchive;

/// More files than any model brings along.
pub(super) const MAX_FILES: usize = 64;
const MAX_BYTES: u64 = 4 << 20;
const MAX_LINES: usize = 1 << 17;

/// The lines of a packed text file; `None` when there is none of this name or it is no text.
pub(super) fn lines(bytes: &Bytes, name: &str) -> Option<Vec<String>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes.as_ref())).ok()?;
    if archive.len() > MAX_FILES {
        return None;
    }
    let mut text = String::new();
    // The size in the archive's directory is a claim; what is read is limited whatever it says.
    archive.by_name(name).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines: Vec<String> =
        text.trim_end().lines().take(MAX_LINES).map(|line| line.trim().to_owned()).collect();
    (!lines.is_empty()).then_some(lines)
}
