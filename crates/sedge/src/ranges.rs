//! What numbers may be, on the command line and in the configuration file alike.

/// The numbers a key takes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Its name in the configuration file; the flag is the same word with hyphens.
    key: &'static str,
    least: u64,
    most: u64,
}

/// Threads of one inference.
pub(crate) const THREADS: Range = Range { key: "threads", least: 1, most: 1024 };
/// Requests that run side by side; each has a thread.
pub(crate) const INSTANCES: Range = Range { key: "instances", least: 1, most: 256 };
/// Requests that wait; each may hold a body.
pub(crate) const QUEUE: Range = Range { key: "queue", least: 1, most: 65_536 };
/// Up to an hour.
pub(crate) const TIMEOUT_MS: Range = Range { key: "timeout_ms", least: 1, most: 3_600_000 };
/// Four of them still have addresses on 32 bits.
pub(crate) const MAX_BODY_MIB: Range = Range { key: "max_body_mib", least: 1, most: 1024 };
/// Four bytes for each pixel still have addresses on 32 bits.
pub(crate) const MAX_MEGAPIXELS: Range = Range { key: "max_megapixels", least: 1, most: 1000 };
/// The smallest program takes ten.
pub(crate) const MEMORY_MIB: Range = Range { key: "memory_mib", least: 16, most: 1 << 24 };
/// Classes or objects of one answer.
pub(crate) const TOP_K: Range = Range { key: "top_k", least: 1, most: 1_000_000 };

impl Range {
    pub(crate) const fn new(key: &'static str, least: u64, most: u64) -> Self {
        Self { key, least, most }
    }

    fn parse<T: TryFrom<u64>>(self, text: &str) -> Result<T, String> {
        let number = text.parse().ok().filter(|&number| self.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("{} takes {}", self.key, self.takes()))
    }

    /// What reads a flag's value, for clap.
    pub(crate) fn parser<T: TryFrom<u64>>(
        self,
    ) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
        move |text| self.parse(text)
    }

    pub(crate) fn contains(self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    /// What it takes, for people.
    pub(crate) fn takes(self) -> String {
        format!("whole numbers from {} to {}", self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_included_and_nothing_else() {
        for (text, fits) in [
            ("1", true),
            ("1024", true),
            ("0", false),
            ("1025", false),
            ("-1", false),
            ("x", false),
        ] {
            assert_eq!(THREADS.parse::<usize>(text).is_ok(), fits, "{text}");
        }
        let message = QUEUE.parse::<usize>("0").unwrap_err();
        assert_eq!(message, "queue takes whole numbers from 1 to 65536");
    }
}
