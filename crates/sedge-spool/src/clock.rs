//! The spool's own clock, by which records grow old.
//!
//! While a process runs it goes with the steady clock, so that nobody who sets the wall clock makes
//! a record older. From one process to the next it goes on by the wall clock's difference if that
//! can be true: never backwards, and not from or to a time before this was written, as devices
//! have it that start without knowing the time.

use std::time::Duration;

use crate::record::{Head, MAX_NUMBER};
use crate::system::Now;

/// 2025-01-01: a wall clock before it was never set.
const SET_AFTER_MS: u64 = 1_735_689_600_000;

#[derive(Debug)]
pub(crate) struct Clock {
    started_ms: u64,
    steady_ms: u64,
}

impl Clock {
    /// Goes on from the newest record there is.
    pub(crate) fn new(newest: Option<Head>, now: Now) -> Self {
        let started_ms = newest.map_or(now.wall_ms, |newest| {
            let set = newest.wall_ms >= SET_AFTER_MS && now.wall_ms >= SET_AFTER_MS;
            let passed = if set { now.wall_ms.saturating_sub(newest.wall_ms) } else { 0 };
            newest.clock_ms.saturating_add(passed)
        });
        Self { started_ms: started_ms.min(MAX_NUMBER), steady_ms: now.steady_ms }
    }

    /// Milliseconds since a moment that only this spool knows.
    pub(crate) fn ms(&self, now: Now) -> u64 {
        let passed = now.steady_ms.saturating_sub(self.steady_ms);
        self.started_ms.saturating_add(passed).min(MAX_NUMBER)
    }

    /// How old a record is.
    pub(crate) fn age(&self, head: &Head, now: Now) -> Duration {
        Duration::from_millis(self.ms(now).saturating_sub(head.clock_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_wall_clock_makes_nothing_old() {
        let day = 86_400_000;
        let newest = |wall_ms| {
            let head = Head {
                headers_bytes: 0,
                body_bytes: 0,
                checksum: 0,
                number: 1,
                order: 1,
                wall_ms,
                clock_ms: 5_000,
            };
            Some(head)
        };
        let at = |wall_ms| Now { wall_ms, steady_ms: 700 };
        let today = SET_AFTER_MS + 100 * day;
        for (then, now, age) in [
            (today, today + day, day),
            // Set back in between.
            (today, today - day, 0),
            // Started in 1970, and written in 1970.
            (today, 3_000, 0),
            (3_000, today, 0),
        ] {
            let head = newest(then);
            let clock = Clock::new(head, at(now));
            let aged = clock.age(&head.unwrap(), at(now));
            assert_eq!(aged, Duration::from_millis(age), "{then} to {now}");
            // Jumps while it runs count for nothing.
            let later = Now { wall_ms: now + 1000 * day, steady_ms: 700 + 60_000 };
            let aged = clock.age(&head.unwrap(), later);
            assert_eq!(aged, Duration::from_millis(age + 60_000));
        }
    }
}
