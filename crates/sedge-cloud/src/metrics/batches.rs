//! Which metrics go together, and which go nowhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::form::{member, request};
use super::{Measured, Metric};
use crate::Batches;

// Limits of "PutMetricData" and "MetricDatum", Amazon CloudWatch API Reference. Nobody says
// whether a compressed request may be larger before, so that none is.
const MOST_METRICS: usize = 1000;
const MOST_BYTES: usize = 1_000_000;
const MOST_VALUES: usize = 150;
const MOST_DIMENSIONS: usize = 30;
const OLDEST: Duration = Duration::from_secs(14 * 24 * 3600);
const NEWEST: Duration = Duration::from_secs(2 * 3600);

/// Units of metrics ("MetricDatum", Amazon CloudWatch API Reference).
pub const METRIC_UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

/// Splits metrics of a namespace into requests that CloudWatch takes at the time `now`: 1000
/// metrics, 1 MB and 150 values of one metric at most. Those that it would refuse, for which it
/// refuses a whole request, are left out.
#[must_use]
pub fn metric_batches(
    namespace: &str,
    metrics: impl IntoIterator<Item = Metric>,
    now: SystemTime,
) -> Batches<Metric> {
    let mut batches = Batches::default();
    let head = request(namespace, &[]).len();
    let mut bytes = head;
    for metric in metrics.into_iter().flat_map(parts) {
        if let Some(problem) = problem(&metric, now) {
            batches.leave_out(metric, problem);
            continue;
        }
        let mut form = String::new();
        member(&mut form, &metric, MOST_METRICS);
        if head + form.len() > MOST_BYTES {
            batches.leave_out(metric, "it is larger than a request");
            continue;
        }
        batches.add(metric, |last| {
            let fits = last.len() < MOST_METRICS && bytes + form.len() <= MOST_BYTES;
            if !fits {
                bytes = head;
            }
            fits
        });
        bytes += form.len();
    }
    batches
}

/// A metric with more values than one may have, as some that have no more.
fn parts(metric: Metric) -> Vec<Metric> {
    match &metric.value {
        Measured::Many(values) if values.len() > MOST_VALUES => values
            .chunks(MOST_VALUES)
            .map(|part| Metric { value: Measured::Many(part.to_vec()), ..metric.clone() })
            .collect(),
        _ => vec![metric],
    }
}

/// Why CloudWatch would refuse a metric, if it would.
fn problem(metric: &Metric, now: SystemTime) -> Option<String> {
    let word = |text: &str, most: usize| {
        text.len() <= most
            && text.bytes().any(|byte| byte.is_ascii_graphic())
            && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    };
    if !word(&metric.name, 255) {
        return Some("its name is not 1 to 255 characters of ASCII".to_owned());
    }
    if metric.dimensions.len() > MOST_DIMENSIONS {
        return Some(format!("it has more than {MOST_DIMENSIONS} dimensions"));
    }
    for (index, (name, value)) in metric.dimensions.iter().enumerate() {
        if !word(name, 255) || name.starts_with(':') || !word(value, 1024) {
            return Some(format!(
                "its dimension '{name}' is not up to 255 characters of ASCII, without a colon \
                 before them, with a value of 1 to 1024"
            ));
        }
        if metric.dimensions[..index].iter().any(|(other, _)| other == name) {
            return Some(format!("it has the dimension '{name}' twice"));
        }
    }
    if let Some(unit) = metric.unit.as_deref().filter(|unit| !METRIC_UNITS.contains(unit)) {
        return Some(format!("'{unit}' is no unit of CloudWatch"));
    }
    if let Some(timestamp) = metric.timestamp {
        // What is written ends with the year 9999.
        let writable = timestamp >= UNIX_EPOCH && now.checked_add(NEWEST).is_some();
        if !writable || now.duration_since(timestamp).is_ok_and(|age| age > OLDEST) {
            return Some("it is older than 2 weeks".to_owned());
        }
        if timestamp.duration_since(now).is_ok_and(|ahead| ahead > NEWEST) {
            return Some("it is more than 2 hours ahead. Hint: check the clock".to_owned());
        }
    }
    let number = |value: f64| value.is_finite() && value.abs() <= 360_f64.exp2();
    let (numbers, counts): (Vec<f64>, Vec<f64>) = match &metric.value {
        Measured::One(value) => (vec![*value], vec![]),
        Measured::Many(values) => values.iter().copied().unzip(),
        Measured::Summary { samples, sum, minimum, maximum } => {
            (vec![*sum, *minimum, *maximum], vec![*samples])
        }
    };
    if numbers.is_empty() {
        return Some("it has no value".to_owned());
    }
    if !numbers.iter().chain(&counts).all(|value| number(*value)) {
        return Some("it has a value that is no number between -2^360 and 2^360".to_owned());
    }
    counts.iter().any(|count| *count <= 0.0).then(|| "it was not seen more than 0 times".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metric(name: &str, value: f64) -> Metric {
        Metric {
            name: name.to_owned(),
            dimensions: Vec::new(),
            timestamp: None,
            value: Measured::One(value),
            unit: None,
            high_resolution: false,
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn what_is_refused_is_left_out_alone() {
        let at = |seconds: i64| {
            let time = now().checked_add_signed(seconds);
            Metric { timestamp: Some(time), ..metric("m", 1.0) }
        };
        let with = |name: &str, value: &str| Metric {
            dimensions: vec![(name.to_owned(), value.to_owned())],
            ..metric("m", 1.0)
        };
        let unit = |unit: &str| Metric { unit: Some(unit.to_owned()), ..metric("m", 1.0) };
        let many =
            |values: Vec<(f64, f64)>| Metric { value: Measured::Many(values), ..metric("m", 1.0) };
        for (metric, words) in [
            (metric("", 1.0), "its name"),
            (metric("ä", 1.0), "its name"),
            (metric("m", f64::NAN), "no number"),
            (metric("m", f64::INFINITY), "no number"),
            (metric("m", 1e200), "no number"),
            (at(-14 * 24 * 3600 - 1), "older than 2 weeks"),
            (at(2 * 3600 + 1), "2 hours ahead"),
            (with(":a", "b"), "its dimension ':a'"),
            (with("a", ""), "its dimension 'a'"),
            (with("a", &"b".repeat(1025)), "its dimension 'a'"),
            (unit("Pieces"), "'Pieces' is no unit"),
            (many(vec![]), "it has no value"),
            (many(vec![(1.0, 0.0)]), "more than 0 times"),
        ] {
            let good = self::metric("good", 1.0);
            let batches = metric_batches("n", [good.clone(), metric.clone()], now());
            assert_eq!(batches.requests, [[good]]);
            assert_eq!(batches.left_out[0].what.name, metric.name);
            assert!(batches.left_out[0].problem.contains(words), "{:?}", batches.left_out);
        }
        for good in [at(-14 * 24 * 3600), at(7200), unit("Count/Second"), metric("m", -1e108)] {
            assert_eq!(metric_batches("n", [good], now()).left_out, []);
        }
    }

    trait Shift {
        fn checked_add_signed(&self, seconds: i64) -> SystemTime;
    }

    impl Shift for SystemTime {
        fn checked_add_signed(&self, seconds: i64) -> SystemTime {
            let time = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { *self - time } else { *self + time }
        }
    }

    prop_compose! {
        fn any_metric()(
            name in ".{0,20}|n{200,260}",
            dimensions in proptest::collection::vec(("[a-z:]{1,9}", "[ -~]{0,1100}"), 0..32),
            age in proptest::option::of(-10_000_i64..1_300_000),
            values in proptest::collection::vec((any::<f64>(), 0.5..9.0_f64), 1..400),
            kind in 0..3,
        ) -> Metric {
            let value = match kind {
                0 => Measured::One(values[0].0),
                1 => Measured::Many(values.iter().map(|(value, n)| (value % 1e9, *n)).collect()),
                _ => Measured::Summary { samples: 1.0, sum: 2.0, minimum: 3.0, maximum: 4.0 },
            };
            let timestamp = age.map(|age| now().checked_add_signed(-age));
            Metric { name, dimensions, timestamp, value, unit: None, high_resolution: true }
        }
    }

    fn values(metrics: &[Metric]) -> usize {
        let count = |metric: &Metric| match &metric.value {
            Measured::Many(values) => values.len(),
            _ => 1,
        };
        metrics.iter().map(count).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn requests_keep_the_limits_and_nothing_is_lost(
            metrics in proptest::collection::vec(any_metric(), 0..60),
            times in 1..40_usize,
        ) {
            let all: Vec<_> = metrics.iter().cloned().cycle().take(metrics.len() * times).collect();
            let batches = metric_batches("some namespace", all.clone(), now());
            let mut seen = 0;
            for sent in &batches.requests {
                prop_assert!(!sent.is_empty() && sent.len() <= MOST_METRICS);
                prop_assert!(request("some namespace", sent).len() <= MOST_BYTES);
                prop_assert!(sent.iter().all(|metric| problem(metric, now()).is_none()));
                prop_assert!(sent.iter().all(|metric| values(std::slice::from_ref(metric)) <= MOST_VALUES));
                seen += values(sent);
            }
            let left: Vec<_> = batches.left_out.into_iter().map(|left| left.what).collect();
            prop_assert_eq!(seen + values(&left), values(&all));
        }
    }
}
