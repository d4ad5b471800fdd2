use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::{Keeping, LogSink, word};
use crate::group::Level;

/// One log: a file, and its predecessor with `.1` at the end, which together stay within their
/// space.
pub(crate) struct LogFile {
    path: PathBuf,
    keeping: Keeping,
    /// Where its lines go as well, and its name there.
    sink: Option<(Arc<dyn LogSink>, String)>,
    open: Mutex<Option<Open>>,
    /// Told once that it cannot be written.
    is_lost: AtomicBool,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: usize,
}

impl LogFile {
    pub(super) fn new(
        path: &Path,
        keeping: Keeping,
        sink: Option<(Arc<dyn LogSink>, String)>,
    ) -> Self {
        let (path, open) = (path.to_owned(), Mutex::default());
        Self { path, keeping, sink, open, is_lost: AtomicBool::new(false) }
    }

    /// Whether lines of that level are kept, here or in the cloud.
    pub(crate) fn keeps(&self, level: Level) -> bool {
        level >= self.keeping.level || self.sends(level)
    }

    fn sends(&self, level: Level) -> bool {
        self.keeping.cloud.is_some_and(|least| level >= least)
    }

    /// Writes a text, each of its lines as one.
    pub(crate) fn write(&self, level: Level, text: &str) {
        let mut lines = String::new();
        text.lines().for_each(|text| line(&mut lines, level, text));
        self.append(level, lines.as_bytes());
    }

    /// Writes lines made with [`line`].
    pub(crate) fn append(&self, level: Level, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if let Some((sink, log)) = self.sink.as_ref().filter(|_| self.sends(level)) {
            sink.take(log, lines);
        }
        if level < self.keeping.level {
            return;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.try_append(&mut open, lines) {
            *open = None;
            // Whoever writes has no better place for it, and goes on.
            if !self.is_lost.swap(true, Ordering::Relaxed) {
                let path = self.path.display();
                tracing::warn!(%path, "a log of functions cannot be written: {error}");
            }
        }
    }

    fn try_append(&self, open: &mut Option<Open>, mut lines: &[u8]) -> io::Result<()> {
        let most = usize::try_from(self.keeping.space_bytes / 2).unwrap_or(usize::MAX).max(1);
        // Of what is larger than the space, the end says more.
        lines = &lines[lines.len().saturating_sub(2 * most)..];
        while !lines.is_empty() {
            let now = match open {
                Some(now) => now,
                None => open.insert(self.open()?),
            };
            let room = most.saturating_sub(now.bytes).min(lines.len());
            let mut fits = room;
            if room < lines.len() {
                let line_end = lines[..room].iter().rposition(|byte| *byte == b'\n');
                // A line that alone is too long is cut.
                fits = line_end.map_or(if now.bytes == 0 { room } else { 0 }, |at| at + 1);
            }
            now.file.write_all(&lines[..fits])?;
            now.bytes += fits;
            lines = &lines[fits..];
            if !lines.is_empty() {
                *open = None;
                fs::rename(&self.path, self.path.with_extension("log.1"))?;
            }
        }
        Ok(())
    }

    fn open(&self) -> io::Result<Open> {
        self.path.parent().map_or(Ok(()), make_directory)?;
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?;
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        Ok(Open { file, bytes })
    }
}

/// Makes a directory for logs, which may hold what is nobody else's business.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(path)
}

/// Adds `[2019-08-28T21:29:03.757Z][WARN]-text` to lines.
pub(crate) fn line(lines: &mut String, level: Level, text: &str) {
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    // V1 pads no fractions of seconds.
    let time = now.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    lines.push('[');
    lines.push_str(time);
    lines.push_str("Z][");
    lines.push_str(word(level));
    lines.push_str("]-");
    // A line stays one, whatever it holds.
    lines.extend(text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }));
    lines.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_stays_within_its_space() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/f.log");
        let keeping = Keeping { level: Level::Info, space_bytes: 2000, cloud: None };
        let log = LogFile::new(&path, keeping, None);
        for number in 0..100 {
            log.write(Level::Info, &format!("number {number}\nof many"));
            log.write(Level::Debug, "not kept");
        }
        let now = fs::read_to_string(&path).unwrap();
        let before = fs::read_to_string(path.with_extension("log.1")).unwrap();
        assert!(now.len() + before.len() <= 2000);
        assert!(before.len() > 800);
        let all = before + &now;
        assert!(all.ends_with("[INFO]-number 99\n") || all.ends_with("[INFO]-of many\n"), "{all}");
        assert!(all.contains("number 98\n") && !all.contains("not kept"));
        log.write(Level::Error, &"x".repeat(10_000));
        assert!(fs::metadata(&path).unwrap().len() <= 1000);
    }

    #[test]
    fn a_line_is_one_line() {
        let mut lines = String::new();
        line(&mut lines, Level::Warn, "a\r\x1b[31mb\tc");
        let (time, rest) = lines.split_once(']').unwrap();
        assert_eq!(rest, "[WARN]-a  [31mb\tc\n");
        assert!(time.starts_with("[20") && time.ends_with('Z'), "{time}");
    }
}
