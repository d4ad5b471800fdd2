use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use super::LogFile;
use super::file::line;
use crate::group::Level;

/// Bytes that a process may write in a second on each descriptor; more waits in its pipe, and then
/// the process does. It is eight times a log's whole space.
const BYTES_PER_SECOND: u32 = 1 << 20;
/// Bytes of a line; a longer one goes on in the next.
const MOST_LINE_BYTES: usize = 16 << 10;

/// Writes what comes through a pipe to a log until the pipe ends. The last line is left in `last`.
pub(crate) async fn follow(
    mut pipe: impl AsyncRead + Unpin,
    level: Level,
    file: Arc<LogFile>,
    last: Arc<Mutex<String>>,
) {
    let mut buffer = vec![0; 32 << 10];
    let mut rest = Vec::new();
    let mut pace = Pace::default();
    loop {
        let length = match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        rest.extend_from_slice(&buffer[..length]);
        let lines = take_lines(&mut rest, false, level, &last);
        write(&file, level, lines).await;
        if let Some(until) = pace.wait_until(length, Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }
    let lines = take_lines(&mut rest, true, level, &last);
    write(&file, level, lines).await;
}

/// A slow disk must hold up neither requests nor other functions.
async fn write(file: &Arc<LogFile>, level: Level, lines: String) {
    if file.keeps(level) && !lines.is_empty() {
        let file = file.clone();
        let _ = tokio::task::spawn_blocking(move || file.append(level, lines.as_bytes())).await;
    }
}

/// What is complete of the bytes as lines of a log, and the rest when it is the end.
fn take_lines(rest: &mut Vec<u8>, all: bool, level: Level, last: &Mutex<String>) -> String {
    let mut lines = String::new();
    let mut begin = 0;
    while begin < rest.len() {
        let piece = &rest[begin..rest.len().min(begin + MOST_LINE_BYTES)];
        let (length, skip) = match piece.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at, at + 1),
            None if all || piece.len() == MOST_LINE_BYTES => (piece.len(), piece.len()),
            None => break,
        };
        let text = String::from_utf8_lossy(&piece[..length]);
        if !text.trim().is_empty() {
            line(&mut lines, level, &text);
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            last.clear();
            last.extend(text.trim().chars().take(500));
        }
        begin += skip;
    }
    rest.drain(..begin);
    lines
}

/// Slows a writer down to its rate.
#[derive(Default)]
struct Pace {
    /// When everything up to now will have been due.
    due: Option<Instant>,
}

impl Pace {
    /// Until when to wait after so many bytes, if at all.
    fn wait_until(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let cost = Duration::from_secs(1) * bytes / BYTES_PER_SECOND;
        let due = self.due.map_or(now, |due| due.max(now)) + cost;
        self.due = Some(due);
        // A second's worth may come at once.
        let until = due - Duration::from_secs(1);
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines() {
        let last = Mutex::default();
        let take = |bytes: &[u8], all: bool| {
            let mut rest = bytes.to_vec();
            let lines = take_lines(&mut rest, all, Level::Info, &last);
            let texts: Vec<String> =
                lines.lines().map(|line| line.split_once("]-").unwrap().1.to_owned()).collect();
            (texts, rest.len())
        };
        assert_eq!(take(b"a\n\n b\nc", false), (vec!["a".into(), " b".into()], 1));
        assert_eq!(take(b"a\xff\nc", true), (vec!["a\u{fffd}".into(), "c".into()], 0));
        let (texts, left) = take(&[b'x'; 2 * MOST_LINE_BYTES + 5], false);
        assert_eq!((texts.len(), left), (2, 5));
        assert_eq!(*last.lock().unwrap(), "x".repeat(500));
    }

    #[test]
    fn a_flood_is_slowed_down() {
        let begun = Instant::now();
        let mut now = begun;
        let mut pace = Pace::default();
        for _ in 0..256 {
            now = pace.wait_until(32 << 10, now).unwrap_or(now);
        }
        assert_eq!((now - begun).as_secs(), 7, "8 MiB, of which the first may come at once");
        assert_eq!(pace.wait_until(1000, now + Duration::from_secs(5)), None);
    }
}
