//! When what failed is tried again, and waiting until then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ClientError;

const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);
/// How long nobody notices that a wait goes on although it was cancelled.
const NAP: Duration = Duration::from_millis(100);

/// How long to wait after so many failures in a row, which are 1 or more: anything up to a time
/// that doubles with each, half a second to half a minute. By chance, so that many devices do not
/// come back together.
///
/// Source: "Exponential backoff and jitter" (full jitter), AWS Architecture Blog.
#[must_use]
pub fn back_off(failures: u32) -> Duration {
    jittered(FIRST, MOST, failures)
}

/// Anything up to a time that doubles with each failure.
pub(crate) fn jittered(first: Duration, most: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(most).mul_f64(fastrand::f64())
}

/// Sleeps, unless it is cancelled.
///
/// # Errors
/// [`ClientError::Cancelled`], at most a tenth of a second after that.
pub fn wait(time: Duration, cancel: &AtomicBool) -> Result<(), ClientError> {
    let end = Instant::now() + time;
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(ClientError::Cancelled);
        }
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return Ok(()),
            left => std::thread::sleep(left.min(NAP)),
        }
    }
}

/// Tells threads that wait, to try again or for something to do, that they are to end.
#[derive(Debug, Default)]
pub struct Stop {
    stops: Mutex<bool>,
    woken: Condvar,
}

impl Stop {
    /// Ends all waits, now and later.
    pub fn stop(&self) {
        *self.stops.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.woken.notify_all();
    }

    /// Waits so long; whether it is to end.
    #[must_use = "whoever goes on although it is to end holds up everybody"]
    pub fn wait(&self, time: Duration) -> bool {
        let stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.woken.wait_timeout_while(stops, time, |stops| !*stops);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_end_when_they_are_told_to() {
        let long = Duration::from_secs(600);
        assert!(wait(Duration::from_millis(1), &AtomicBool::new(false)).is_ok());
        assert!(matches!(wait(long, &AtomicBool::new(true)), Err(ClientError::Cancelled)));
        let stop = Stop::default();
        assert!(!stop.wait(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| stop.wait(long));
            stop.stop();
            assert!(waiting.join().unwrap());
        });
        assert!(stop.wait(long));
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        for (failures, most_ms) in [(0, 500), (1, 500), (2, 1000), (3, 2000), (8, 30_000)] {
            let waits: Vec<_> = (0..200).map(|_| back_off(failures)).collect();
            assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(most_ms)));
            let longer = waits.iter().filter(|wait| **wait > Duration::from_millis(most_ms / 2));
            assert!((50..150).contains(&longer.count()), "{failures}");
        }
        assert!(back_off(u32::MAX) <= MOST);
    }
}
