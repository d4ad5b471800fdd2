use std::time::{Duration, Instant};

/// Times consecutive stages of one request in microseconds.
pub(crate) struct Clock {
    last: Instant,
    total: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { last: Instant::now(), total: Duration::ZERO }
    }

    pub(crate) fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let lap = now.duration_since(self.last);
        self.last = now;
        self.count(lap)
    }

    /// Counts what took so long elsewhere.
    pub(crate) fn count(&mut self, took: Duration) -> u64 {
        self.total += took;
        micros(took)
    }

    /// Leaves what was done since the last lap out of all times.
    pub(crate) fn skip(&mut self) {
        self.last = Instant::now();
    }

    pub(crate) fn total(&self) -> u64 {
        micros(self.total)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
