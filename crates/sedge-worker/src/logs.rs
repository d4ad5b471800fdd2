use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Lines that are kept of what a service's processes wrote.
const KEPT: usize = 500;
/// Bytes of a line; the rest is cut off.
const MOST_BYTES: usize = 1024;

/// A line that a service's process wrote to its standard output or error, or what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// The process.
    pub pid: u32,
    /// What it wrote.
    pub text: String,
}

/// The last lines of a service's processes.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    lines: Mutex<VecDeque<LogLine>>,
}

impl Logs {
    pub(crate) fn add(&self, pid: u32, text: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(LogLine { unix_ms, pid, text: text.to_owned() });
    }

    pub(crate) fn read(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The last line of a process.
    pub(crate) fn last_of(&self, pid: u32) -> Option<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().rev().find(|line| line.pid == pid).map(|line| line.text.clone())
    }

    /// Keeps what comes through a pipe until it ends. A process that writes without bound only
    /// keeps its own pipe full.
    pub(crate) async fn follow(&self, service: &str, pid: u32, mut pipe: impl AsyncRead + Unpin) {
        let mut buffer = [0; 4096];
        let mut line = Vec::new();
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            for &byte in &buffer[..count] {
                if byte == b'\n' {
                    self.line(service, pid, &std::mem::take(&mut line));
                } else if line.len() < MOST_BYTES {
                    line.push(byte);
                }
            }
            // Whoever floods gets no more of the core's time than this.
            tokio::task::yield_now().await;
        }
        self.line(service, pid, &line);
    }

    fn line(&self, service: &str, pid: u32, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if !text.trim().is_empty() {
            tracing::debug!(service, pid, "{text}");
            self.add(pid, &text);
        }
    }
}
