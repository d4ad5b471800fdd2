//! What is sent with a request, and how fast.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use super::ClientError;
use crate::{sign, wait};

/// Below this a server is as good as deaf; the slowest modems had ten times as much.
const LEAST_BYTES_PER_S: u64 = 128;
/// The slowest limit that can be asked for, well above what counts as deaf.
const LEAST_LIMIT: u64 = 1024;

/// The body of a request.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file, read once for its digest and again each time it is sent.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// 64 hex digits.
        sha256: String,
    },
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl Body {
    /// A file as it is now; one that changes before it is sent is refused by whoever checks the
    /// signature.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn file(path: &Path) -> Result<Self, ClientError> {
        let refuse = |error: io::Error| ClientError::Body(format!("{}: {error}", path.display()));
        let mut file = File::open(path).map_err(refuse)?;
        let (mut context, mut bytes) = (Context::new(&SHA256), 0);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut buffer).map_err(refuse)?;
            if count == 0 {
                let sha256 = sign::hex(context.finish().as_ref());
                return Ok(Self::File { path: path.to_owned(), bytes, sha256 });
            }
            context.update(&buffer[..count]);
            bytes += count as u64;
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }

    /// Whether nothing is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn sha256(&self) -> String {
        match self {
            Self::None => sign::sha256(&[]),
            Self::Bytes(bytes) => sign::sha256(bytes),
            Self::File { sha256, .. } => sha256.clone(),
        }
    }
}

/// Bytes per second that all uploads of a client share.
#[derive(Debug)]
pub(super) struct Bandwidth {
    bytes_per_s: u64,
    /// When what was sent so far is on time.
    due: Mutex<Instant>,
}

impl Bandwidth {
    pub(super) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(LEAST_LIMIT), due: Mutex::new(Instant::now()) }
    }

    /// The most to send at once, so that a slow transfer flows instead of going in bursts.
    fn portion(&self) -> usize {
        usize::try_from((self.bytes_per_s / 4).clamp(256, 64 << 10)).unwrap_or(256)
    }

    /// Takes so many bytes; how long to wait before they are sent.
    fn take(&self, bytes: usize, now: Instant) -> Duration {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = due.saturating_duration_since(now);
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64);
        // What was not used is lost, else a quiet night would be paid for in the morning.
        *due = (*due).max(now) + cost;
        wait
    }
}

/// A body while it is sent: exactly its size, no faster than allowed, and no slower than a server
/// that listens.
pub(super) struct Sending<'a> {
    source: Box<dyn Read + 'a>,
    left: u64,
    bandwidth: Option<&'a Bandwidth>,
    cancel: &'a AtomicBool,
    patience: Duration,
    window: Instant,
    window_bytes: u64,
    /// Why reading ended, where that was not the network's fault.
    pub(super) fault: Option<ClientError>,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        body: &'a Body,
        bandwidth: Option<&'a Bandwidth>,
        cancel: &'a AtomicBool,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let source: Box<dyn Read + 'a> = match body {
            Body::None => Box::new(io::empty()),
            Body::Bytes(bytes) => Box::new(&bytes[..]),
            Body::File { path, .. } => Box::new(
                File::open(path)
                    .map_err(|error| ClientError::Body(format!("{}: {error}", path.display())))?,
            ),
        };
        let (left, window) = (body.len(), Instant::now());
        Ok(Self { source, left, bandwidth, cancel, patience, window, window_bytes: 0, fault: None })
    }

    /// Sleeps, unless it is cancelled.
    fn wait(&mut self, time: Duration) -> Result<(), ClientError> {
        // Waiting is not the server's fault.
        self.window += time;
        wait(time, self.cancel)
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        let elapsed = self.window.elapsed();
        if elapsed >= self.patience {
            let least = LEAST_BYTES_PER_S * elapsed.as_secs();
            if self.window_bytes < least {
                return Err(ClientError::Stalled {
                    url: String::new(),
                    problem: format!("it took {} bytes in {elapsed:.1?}", self.window_bytes),
                });
            }
            (self.window, self.window_bytes) = (Instant::now(), 0);
        }
        let portion = self.bandwidth.map_or(usize::MAX, Bandwidth::portion).min(buffer.len());
        let portion = portion.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if portion == 0 {
            return Ok(0);
        }
        let wait = self.bandwidth.map(|bandwidth| bandwidth.take(portion, Instant::now()));
        self.wait(wait.unwrap_or_default())?;
        let count = self.source.read(&mut buffer[..portion]);
        let count = count.map_err(|error| ClientError::Body(error.to_string()))?;
        if count == 0 {
            return Err(ClientError::Body("the file has become shorter".to_owned()));
        }
        self.left -= count as u64;
        self.window_bytes += count as u64;
        Ok(count)
    }
}

impl Read for Sending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|fault| {
            let error = io::Error::other(fault.to_string());
            self.fault = Some(fault);
            error
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn bandwidth_is_shared_and_not_saved_up() {
        let bandwidth = Bandwidth::new(10_000);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(bandwidth.take(1000, at(0)), Duration::ZERO);
        for (now_ms, wait_ms) in [(0, 100), (100, 100), (400, 0), (400, 100), (9000, 0)] {
            let wait = bandwidth.take(1000, at(now_ms)).as_secs_f64();
            assert!((wait * 1000.0 - f64::from(wait_ms)).abs() < 1.0, "{now_ms}: {wait}");
        }
        assert_eq!(Bandwidth::new(1).portion(), 256);
    }

    #[test]
    fn bodies_are_sent_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("body");
        std::fs::write(&path, [7; 1000]).unwrap();
        let body = Body::file(&path).unwrap();
        assert_eq!(body.sha256(), Body::from(vec![7; 1000]).sha256());
        let cancel = AtomicBool::new(false);
        let read = |body: &Body| {
            let mut sending = Sending::new(body, None, &cancel, Duration::from_secs(9)).unwrap();
            let read = io::copy(&mut sending, &mut io::sink());
            (read.ok(), sending.fault.map(|fault| fault.to_string()))
        };
        assert_eq!(read(&body), (Some(1000), None));
        // What has come since is not part of what was signed.
        std::fs::write(&path, [7; 2000]).unwrap();
        assert_eq!(read(&body), (Some(1000), None));
        std::fs::write(&path, [7; 10]).unwrap();
        let (read_bytes, fault) = read(&body);
        assert_eq!(read_bytes, None);
        assert!(fault.unwrap().contains("the file has become shorter"));
        cancel.store(true, Ordering::Relaxed);
        assert_eq!(read(&body).1.unwrap(), ClientError::Cancelled.to_string());
        assert!(Body::file(place.path()).is_err());
    }
}
