//! Percentiles of what was measured.

use serde::Serialize;

/// How a set of durations is spread, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) mean: f64,
}

impl Latency {
    /// Of durations in nanoseconds, which are sorted for it.
    pub(crate) fn of(nanos: &mut [u64]) -> Self {
        nanos.sort_unstable();
        let at = |share: f64| percentile(nanos, share) as f64 / 1000.0;
        let sum: u128 = nanos.iter().map(|&n| u128::from(n)).sum();
        let mean = sum as f64 / nanos.len().max(1) as f64 / 1000.0;
        Self { min: at(0.0), p50: at(0.5), p90: at(0.9), p99: at(0.99), mean: round(mean, 3) }
    }
}

/// The smallest value that at least this share of the sorted values does not exceed (nearest
/// rank); 0 when there is none.
pub(crate) fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0)
}

/// The middle value; the mean of the two in the middle; 0 when there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len(), sorted.get(middle)) {
        (_, None) => 0.0,
        (length, Some(&high)) if length % 2 == 1 => high,
        (_, Some(&high)) => f64::midpoint(sorted[middle - 1], high),
    }
}

/// How far the largest and the smallest lie apart, as a share of the median.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    let middle = median(values);
    if middle > 0.0 { round((high - low) / middle, 4) } else { 0.0 }
}

/// Rounded to so many decimals: more would only look exact.
pub(crate) fn round(value: f64, decimals: i32) -> f64 {
    let factor = 10f64.powi(decimals);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut nanos: Vec<u64> = (1..=100).rev().map(|n| n * 1000).collect();
        let latency = Latency::of(&mut nanos);
        assert_eq!((latency.min, latency.p50, latency.p90, latency.p99), (1.0, 50.0, 90.0, 99.0));
        assert_eq!(latency.mean, 50.5);
        let one = Latency::of(&mut [7000]);
        assert_eq!((one.min, one.p50, one.p99), (7.0, 7.0, 7.0));
        assert_eq!(Latency::of(&mut []), Latency::default());
    }

    #[test]
    fn rounds_are_compared_by_their_median() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!((median(&[]), spread(&[])), (0.0, 0.0));
        assert_eq!(spread(&[9.0, 10.0, 12.0]), 0.3);
        assert_eq!(spread(&[5.0]), 0.0);
    }
}
