//! Points in time as text, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utc(SystemTime);

impl Utc {
    pub(crate) fn now() -> Self {
        // A clock before 1970 is a device whose clock is not set.
        Self(SystemTime::now().max(UNIX_EPOCH))
    }

    /// From seconds since 1970.
    #[cfg(test)]
    pub(crate) fn at(seconds: u64) -> Self {
        Self(UNIX_EPOCH + std::time::Duration::from_secs(seconds))
    }

    /// `2026-02-28T23:59:59Z` (RFC 3339).
    pub(crate) fn rfc3339(self) -> String {
        humantime::format_rfc3339_seconds(self.0).to_string()
    }

    /// `20260228T235959Z` (ISO 8601, basic form).
    pub(crate) fn basic(self) -> String {
        self.rfc3339().replace(['-', ':'], "")
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
            assert_eq!(Utc::at(seconds).rfc3339(), text);
        }
    }
}
