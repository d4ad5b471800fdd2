//! Which log events go together, and which go nowhere.

use super::LogEvent;
use crate::Batches;

// Limits of "PutLogEvents", Amazon CloudWatch Logs API Reference.
const MOST_EVENTS: usize = 10_000;
const MOST_BYTES: usize = 1_048_576;
/// What an event counts beside its message.
const OVERHEAD_BYTES: usize = 26;
const HOUR_MS: i64 = 3_600_000;
const LONGEST_MS: i64 = 24 * HOUR_MS;
const OLDEST_MS: i64 = 14 * 24 * HOUR_MS;
/// Ahead of the time, which is an age below nothing.
const NEWEST_MS: i64 = -2 * HOUR_MS;

/// Splits events into requests that CloudWatch takes at the time `now_ms`: 10,000 events, 1 MiB
/// and 24 hours at most, in the order of their times, which is also the order of the requests.
/// Those that it would not keep are left out, of a message that is too long its end.
#[must_use]
pub fn log_batches(events: impl IntoIterator<Item = LogEvent>, now_ms: i64) -> Batches<LogEvent> {
    let mut batches = Batches::default();
    let mut events: Vec<LogEvent> = events.into_iter().collect();
    // Stable: events of one moment stay as they came.
    events.sort_by_key(|event| event.timestamp_ms);
    let mut bytes = 0;
    for mut event in events {
        let age_ms = now_ms.saturating_sub(event.timestamp_ms);
        let problem = match age_ms {
            _ if event.timestamp_ms < 0 => Some("it was before 1970. Hint: check the clock"),
            _ if event.message.is_empty() => Some("it has no text"),
            OLDEST_MS.. => Some("it is older than 14 days"),
            ..=NEWEST_MS => Some("it is more than 2 hours ahead. Hint: check the clock"),
            _ => None,
        };
        if let Some(problem) = problem {
            batches.leave_out(event, problem);
            continue;
        }
        if event.message.len() > MOST_BYTES - OVERHEAD_BYTES {
            let end = event.message.floor_char_boundary(MOST_BYTES - OVERHEAD_BYTES);
            let rest = LogEvent { message: event.message.split_off(end), ..event };
            batches.leave_out(rest, "this is the end of a message of more than 1 MiB");
        }
        let size = event.message.len() + OVERHEAD_BYTES;
        let at_ms = event.timestamp_ms;
        batches.add(event, |last| {
            let first_ms = last.first().map_or(at_ms, |first| first.timestamp_ms);
            let fits = last.len() < MOST_EVENTS
                && bytes + size <= MOST_BYTES
                && at_ms - first_ms < LONGEST_MS;
            if !fits {
                bytes = 0;
            }
            fits
        });
        bytes += size;
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn event(age_ms: i64, message: &str) -> LogEvent {
        LogEvent { timestamp_ms: NOW_MS - age_ms, message: message.to_owned() }
    }

    #[test]
    fn what_is_not_kept_is_left_out_alone() {
        for (bad, words) in [
            (event(0, ""), "it has no text"),
            (event(15 * 24 * HOUR_MS, "a"), "older than 14 days"),
            (event(-3 * HOUR_MS, "a"), "2 hours ahead"),
            (LogEvent { timestamp_ms: i64::MIN, message: "a".to_owned() }, "before 1970"),
            (LogEvent { timestamp_ms: i64::MAX, message: "a".to_owned() }, "2 hours ahead"),
        ] {
            let batches = log_batches([event(1, "good"), bad.clone()], NOW_MS);
            assert_eq!(batches.requests, [[event(1, "good")]]);
            assert_eq!(batches.left_out[0].what, bad);
            assert!(batches.left_out[0].problem.contains(words), "{:?}", batches.left_out);
        }
        let long = "ä".repeat(600_000);
        let batches = log_batches([event(0, &long)], NOW_MS);
        let (kept, rest) = (&batches.requests[0][0].message, &batches.left_out[0].what.message);
        assert!(kept.len() <= MOST_BYTES - 26 && kept.len() > MOST_BYTES - 30);
        assert_eq!(format!("{kept}{rest}"), long);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn requests_keep_the_limits_and_nothing_is_lost(
            events in proptest::collection::vec(
                (-4 * HOUR_MS..16 * 24 * HOUR_MS, 0..3_usize, 1..200_000_usize, "\\PC{0,5}"), 0..60),
            times in 1..600_usize,
        ) {
            let all: Vec<_> = (0..times)
                .flat_map(|_| &events)
                .map(|(age_ms, kind, length, text)| match kind {
                    0 if times < 5 => event(*age_ms, &text.repeat(*length)),
                    1 => event(age_ms % HOUR_MS, text),
                    _ => event(*age_ms, text),
                })
                .collect();
            let batches = log_batches(all.clone(), NOW_MS);
            let mut sent: Vec<LogEvent> = Vec::new();
            for request in &batches.requests {
                prop_assert!(!request.is_empty() && request.len() <= MOST_EVENTS);
                let bytes: usize = request.iter().map(|e| e.message.len() + OVERHEAD_BYTES).sum();
                prop_assert!(bytes <= MOST_BYTES);
                let (first, last) = (&request[0], &request[request.len() - 1]);
                prop_assert!(last.timestamp_ms - first.timestamp_ms < LONGEST_MS);
                sent.extend_from_slice(request);
            }
            prop_assert!(sent.is_sorted_by_key(|event| event.timestamp_ms));
            let bytes = |events: &mut dyn Iterator<Item = &LogEvent>| -> usize {
                events.map(|event| event.message.len()).sum()
            };
            let left = bytes(&mut batches.left_out.iter().map(|left| &left.what));
            prop_assert_eq!(bytes(&mut sent.iter()) + left, bytes(&mut all.iter()));
            let ends = batches.left_out.iter().filter(|l| l.problem.starts_with("this is the end"));
            prop_assert_eq!(sent.len() + batches.left_out.len() - ends.count(), all.len());
        }
    }
}
