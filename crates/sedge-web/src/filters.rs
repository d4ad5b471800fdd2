//! How values are written for people; the page's script writes them the same way.

#![allow(unreachable_pub)] // what askama's attribute makes of these functions

use std::fmt::Display;

use askama::{Result, Values};
use sedge_api::{BrokerStatus, Leaving, LeavingLane};

/// `image-classification` as `Image classification`.
#[askama::filter_fn]
pub(crate) fn words(text: impl Display, _: &dyn Values) -> Result<String> {
    let text = text.to_string().replace('-', " ");
    let mut letters = text.chars();
    Ok(letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect()))
}

/// Microseconds with three digits and a fitting unit; a dash for none.
#[askama::filter_fn]
pub(crate) fn micros(micros: &Option<u64>, _: &dyn Values) -> Result<String> {
    Ok(micros.map_or_else(|| "–".to_owned(), duration))
}

/// Dimensions as `1 × 224 × 224 × 3`, `?` where they vary.
#[askama::filter_fn]
pub(crate) fn shape(shape: &[i64], _: &dyn Values) -> Result<String> {
    let size = |&size: &i64| if size < 0 { "?".to_owned() } else { size.to_string() };
    Ok(shape.iter().map(size).collect::<Vec<_>>().join(" × "))
}

fn duration(micros: u64) -> String {
    let (value, unit) = match micros {
        0..1_000 => return format!("{micros} µs"),
        1_000..1_000_000 => (micros as f64 / 1e3, "ms"),
        _ => (micros as f64 / 1e6, "s"),
    };
    let digits = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.digits$} {unit}")
}

/// Bytes as `64 MiB`.
#[askama::filter_fn]
pub(crate) fn size(bytes: &u64, _: &dyn Values) -> Result<String> {
    Ok(match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", *bytes as f64 / 1024.0),
        _ => mebibytes(*bytes),
    })
}

/// Seconds as `5 min`; a dash for none.
#[askama::filter_fn]
pub(crate) fn age(seconds: &Option<f64>, _: &dyn Values) -> Result<String> {
    Ok(seconds.map_or_else(|| "–".to_owned(), ago))
}

/// What of a lane will never arrive.
#[askama::filter_fn]
pub(crate) fn dropped(lane: &LeavingLane, _: &dyn Values) -> Result<u64> {
    let gone = [lane.refused, lane.dropped_by_size, lane.dropped_by_age, lane.lost];
    Ok(gone.iter().sum())
}

/// The mean time until a broker acknowledged; a dash before the first.
#[askama::filter_fn]
pub(crate) fn mean(broker: &BrokerStatus, _: &dyn Values) -> Result<String> {
    let count: u64 = broker.latency_counts.iter().sum();
    Ok(match count {
        0 => "–".to_owned(),
        count => duration((broker.latency_sum_s * 1e6 / count as f64) as u64),
    })
}

/// Why something waits; empty where all is well.
#[askama::filter_fn]
pub(crate) fn problem(leaving: &Leaving, _: &dyn Values) -> Result<String> {
    let broker = leaving.broker.as_ref().and_then(|broker| broker.problem.clone());
    let bucket = || {
        let waits = leaving.buckets.iter().find(|bucket| bucket.problem.is_some())?;
        Some(format!("Samples for {} wait: {}", waits.bucket, waits.problem.as_ref()?))
    };
    Ok(broker.or_else(bucket).unwrap_or_default())
}

fn ago(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// A limit in bytes as `64 MiB`.
pub(crate) fn mebibytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_fitting_unit() {
        let written = [0, 999, 1_000, 12_345, 123_456, 1_234_567].map(duration);
        assert_eq!(written, ["0 µs", "999 µs", "1.00 ms", "12.3 ms", "123 ms", "1.23 s"]);
        assert_eq!(mebibytes(64 << 20), "64 MiB");
        let written = [0.4, 119.0, 300.0, 7200.0, 200_000.0].map(ago);
        assert_eq!(written, ["0 s", "119 s", "5 min", "2 h", "2 days"]);
    }
}
