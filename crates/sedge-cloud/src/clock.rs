//! Points in time as text, in UTC, and clocks that differ.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Response;

/// Services refuse signatures that differ by 5 minutes, S3 by 15; less than this is none's reason.
const MOST_SKEW_S: i64 = 4 * 60;

/// A point in time, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(SystemTime);

impl Utc {
    /// As the device's clock says.
    #[must_use]
    pub fn now() -> Self {
        // A clock before 1970 is a device whose clock is not set.
        Self(SystemTime::now().max(UNIX_EPOCH))
    }

    /// From seconds since 1970; `None` where no calendar goes.
    pub(crate) fn at(seconds: i64) -> Option<Self> {
        // The year 9999 is the last that has four digits.
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds < 253_402_300_800)?;
        Some(Self(UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    fn seconds(self) -> i64 {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// `2026-02-28T23:59:59Z` (RFC 3339).
    #[must_use]
    pub fn rfc3339(self) -> String {
        humantime::format_rfc3339_seconds(self.0).to_string()
    }

    /// `20260228T235959Z` (ISO 8601, basic form).
    pub(crate) fn basic(self) -> String {
        self.rfc3339().replace(['-', ':'], "")
    }
}

impl From<Utc> for SystemTime {
    fn from(time: Utc) -> Self {
        time.0
    }
}

/// The time by which requests are signed: the device's, until a server shows that it is wrong.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_s: AtomicI64,
    told: AtomicBool,
}

impl Clock {
    pub(crate) fn now(&self) -> Utc {
        let now = Utc::now();
        Utc::at(now.seconds().saturating_add(self.ahead_s.load(Ordering::Relaxed))).unwrap_or(now)
    }

    /// Takes over the time of a refusal; whether it differs so much that it may be the reason.
    pub(crate) fn learn(&self, response: &Response) -> bool {
        let date = response.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
        date.is_some_and(|date| self.adjust(Utc(date), &response.url))
    }

    fn adjust(&self, server: Utc, url: &str) -> bool {
        if (server.seconds() - self.now().seconds()).abs() <= MOST_SKEW_S {
            return false;
        }
        let device = Utc::now();
        self.ahead_s.store(server.seconds() - device.seconds(), Ordering::Relaxed);
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the clock of the device is wrong: it says {} where {} says {}; requests are \
                 signed with that one's time. Hint: set the clock, with NTP",
                device.rfc3339(),
                url.split('?').next().unwrap_or_default(),
                server.rfc3339(),
            );
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_fall_on_their_dates() {
        // From GNU date: `date -u -d @SECONDS +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_440_938_160, "2015-08-30T12:36:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Utc::at(seconds).unwrap().rfc3339(), text);
        }
        assert_eq!((Utc::at(-1), Utc::at(i64::MAX)), (None, None));
    }

    #[test]
    fn clocks_follow_the_server_and_come_back() {
        let clock = Clock::default();
        let ahead = |seconds: i64| Utc::at(Utc::now().seconds() + seconds).unwrap();
        let differs = |clock: &Clock| clock.now().seconds() - Utc::now().seconds();
        assert!(!clock.adjust(ahead(200), "") && differs(&clock) == 0);
        assert!(clock.adjust(ahead(-7200), ""));
        assert!((-7201..=-7199).contains(&differs(&clock)));
        assert!(!clock.adjust(ahead(-7100), ""));
        // The clock was set meanwhile.
        assert!(clock.adjust(ahead(0), ""));
        assert!((-1..=1).contains(&differs(&clock)));
        assert!(clock.adjust(Utc::at(0).unwrap(), "") && clock.now().seconds() < 10);
    }
}
