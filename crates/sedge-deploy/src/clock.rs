//! Points in time as text, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time as years, months and so on, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utc {
    year: u64,
    month: u64,
    day: u64,
    seconds_of_day: u64,
}

impl Utc {
    pub(crate) fn now() -> Self {
        // A clock before 1970 is a device whose clock is not set.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(since.as_secs())
    }

    /// From seconds since 1970. The calendar repeats every 400 years (146 097 days); counted from
    /// 1 March, leap days come last and months follow one formula (Howard Hinnant,
    /// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
    pub(crate) fn at(seconds: u64) -> Self {
        // 719 468 days lie between 1 March of the year 0 and 1970.
        let days = seconds / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            seconds_of_day: seconds % 86_400,
        }
    }

    /// `2026-02-28T23:59:59Z` (RFC 3339).
    pub(crate) fn rfc3339(self) -> String {
        let Self { year, month, day, seconds_of_day: s } = self;
        let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Utc {
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
