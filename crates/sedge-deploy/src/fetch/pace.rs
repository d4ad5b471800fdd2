//! How fast a download may be, and how slow.

use std::time::{Duration, Instant};

use crate::DeployError;
use crate::request::Hooks;

/// Below this a server is as good as silent; the slowest modems had ten times as much.
const LEAST_BYTES_PER_S: u64 = 128;
/// The slowest that can be asked for, well above what counts as silent.
const LEAST_LIMIT: u64 = 1024;

/// The speed of one transfer.
#[derive(Debug)]
pub(super) struct Pace {
    limit: Option<u64>,
    started: Instant,
    bytes: u64,
    patience: Duration,
    window: Instant,
    window_bytes: u64,
}

impl Pace {
    pub(super) fn new(limit: Option<u64>, patience: Duration) -> Self {
        let (limit, now) = (limit.map(|limit| limit.max(LEAST_LIMIT)), Instant::now());
        Self { limit, started: now, bytes: 0, patience, window: now, window_bytes: 0 }
    }

    /// The most to read at once, so that a slow transfer flows instead of coming in bursts.
    pub(super) fn portion(&self) -> usize {
        let most = self.limit.map_or(u64::MAX, |limit| limit / 4);
        usize::try_from(most.clamp(256, 64 << 10)).unwrap_or(256)
    }

    /// Waits until so many bytes more are allowed. What was waited for is on time again.
    pub(super) fn spend(&mut self, bytes: usize, hooks: &Hooks<'_>) -> Result<(), DeployError> {
        self.bytes += bytes as u64;
        self.window_bytes += bytes as u64;
        let Some(limit) = self.limit else { return Ok(()) };
        let due = Duration::from_secs_f64(self.bytes as f64 / limit as f64);
        wait(due.saturating_sub(self.started.elapsed()), hooks)
    }

    /// Says how little came in how long, when that was too little.
    pub(super) fn too_slow(&mut self) -> Option<String> {
        let elapsed = self.window.elapsed();
        if elapsed < self.patience {
            return None;
        }
        let (bytes, least) = (self.window_bytes, LEAST_BYTES_PER_S * elapsed.as_secs());
        (self.window, self.window_bytes) = (Instant::now(), 0);
        (bytes < least).then(|| format!("{bytes} bytes in {:.1} s", elapsed.as_secs_f64()))
    }
}

/// Sleeps, unless it is cancelled.
pub(super) fn wait(time: Duration, hooks: &Hooks<'_>) -> Result<(), DeployError> {
    sedge_cloud::wait(time, hooks.cancel).map_err(|_| DeployError::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_on_average() {
        let mut pace = Pace::new(Some(100_000), Duration::from_secs(9));
        let started = Instant::now();
        for _ in 0..5 {
            pace.spend(10_000, &Hooks::default()).unwrap();
        }
        assert!(started.elapsed() >= Duration::from_millis(490));
        assert_eq!(Pace::new(Some(1), Duration::ZERO).portion(), 256);
    }
}
