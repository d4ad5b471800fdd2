use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::{RunnerError, Timings};

/// How a request ended, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Ok,
    /// It has no answer, by the kind of [`RunnerError`].
    Error(&'static str),
    /// The caller went away before the answer.
    Cancelled,
}

impl Outcome {
    /// Every outcome, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Error("picture"),
        Self::Error("unprepared"),
        Self::Error("tensors"),
        Self::Error("failed"),
        Self::Error("overloaded"),
        Self::Error("deadline"),
        Self::Error("crashed"),
        Self::Error("memory"),
        Self::Error("broken"),
        Self::Error("stopping"),
        Self::Cancelled,
    ];

    /// One word for labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error(kind) => kind,
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome of a finished request.
    pub fn of<T>(result: &Result<T, RunnerError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(error) => Self::Error(error.kind()),
        }
    }
}

/// A stage of a request, as [`Timings`] names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stage {
    Queue,
    Decode,
    Preprocess,
    Inference,
    Postprocess,
}

impl Stage {
    /// Every stage, in the order of a request.
    pub const ALL: [Self; 5] =
        [Self::Queue, Self::Decode, Self::Preprocess, Self::Inference, Self::Postprocess];

    /// The name that [`Timings`] gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Inference => "inference",
            Self::Postprocess => "postprocess",
        }
    }

    /// What a request spent in it, in microseconds.
    pub fn of(self, timings: &Timings) -> u64 {
        match self {
            Self::Queue => timings.queue,
            Self::Decode => timings.decode,
            Self::Preprocess => timings.preprocess,
            Self::Inference => timings.inference,
            Self::Postprocess => timings.postprocess,
        }
    }

    /// True for the stages that tensors skip: there is no picture to decode or prepare, and
    /// nothing is made of the outputs.
    pub fn is_of_pictures(self) -> bool {
        matches!(self, Self::Decode | Self::Preprocess | Self::Postprocess)
    }
}

/// Upper bounds of a latency histogram's buckets in microseconds, each 2 to 2.5 times the one
/// before: from a queue that is empty to a model that takes its time on a small device.
pub const BUCKET_BOUNDS_US: [u64; 20] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// Counts of durations by bucket; threads record side by side without waiting.
#[derive(Debug)]
pub struct Histogram {
    /// One more than there are bounds: the last is for everything above.
    buckets: [AtomicU64; BUCKET_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
    least_us: AtomicU64,
    most_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let (buckets, sum_us, most_us) = Default::default();
        Self { buckets, sum_us, least_us: AtomicU64::new(u64::MAX), most_us }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, micros: u64) {
        self.least_us.fetch_min(micros, Ordering::Relaxed);
        self.most_us.fetch_max(micros, Ordering::Relaxed);
        let bucket = BUCKET_BOUNDS_US.partition_point(|&bound| bound < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts per bucket, not cumulated, and the sum of all durations in microseconds.
    pub fn read(&self) -> (Vec<u64>, u64) {
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        (counts, self.sum_us.load(Ordering::Relaxed))
    }

    /// An estimate of a quantile (0..=1) in microseconds, linear within the part of its bucket that
    /// lies between the shortest and the longest duration; `None` before the first.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let (counts, _) = self.read();
        let total: u64 = counts.iter().sum();
        let rank = (quantile.clamp(0.0, 1.0) * total as f64).max(1.0);
        let mut before = 0;
        for (bucket, &count) in counts.iter().enumerate() {
            if count > 0 && (before + count) as f64 >= rank {
                let low = bucket.checked_sub(1).map_or(0, |below| BUCKET_BOUNDS_US[below]);
                let high = BUCKET_BOUNDS_US.get(bucket).copied().unwrap_or(u64::MAX);
                let high = high.min(self.most_us.load(Ordering::Relaxed)).max(low);
                let low = low.max(self.least_us.load(Ordering::Relaxed)).min(high);
                let share = (rank - before as f64) / count as f64;
                return Some(low + ((high - low) as f64 * share) as u64);
            }
            before += count;
        }
        None
    }
}

/// What a service did since it began. Reading is never exact while requests run: each number is
/// right, their sum may be one apart.
#[derive(Debug, Default)]
pub struct Statistics {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    stages: [Histogram; Stage::ALL.len()],
    requests: Histogram,
    running: AtomicUsize,
    most_waiting: AtomicUsize,
}

impl Statistics {
    /// Requests that ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        let index = Outcome::ALL.iter().position(|&known| known == outcome);
        index.map_or(0, |index| self.outcomes[index].load(Ordering::Relaxed))
    }

    /// What requests spent in a stage.
    pub fn stage(&self, stage: Stage) -> &Histogram {
        &self.stages[stage as usize]
    }

    /// From admission to answer, of requests that were answered.
    pub fn requests(&self) -> &Histogram {
        &self.requests
    }

    /// Requests that run now.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// The longest the queue has been.
    pub fn most_waiting(&self) -> usize {
        self.most_waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn admitted(&self, waiting: usize) {
        self.most_waiting.fetch_max(waiting, Ordering::Relaxed);
    }

    pub(crate) fn started(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a request's end, and where its time went when it was answered.
    pub(crate) fn finished(&self, outcome: Outcome, timings: Option<(&Timings, bool)>) {
        if let Some(index) = Outcome::ALL.iter().position(|&known| known == outcome) {
            self.outcomes[index].fetch_add(1, Ordering::Relaxed);
        }
        let Some((timings, picture)) = timings else { return };
        for stage in Stage::ALL.into_iter().filter(|stage| picture || !stage.is_of_pictures()) {
            self.stage(stage).record(stage.of(timings));
        }
        self.requests.record(timings.total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_the_bucket_of_their_rank() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.5), None);
        for micros in [10, 11, 25, 26, 30_000_001] {
            histogram.record(micros);
        }
        let (counts, sum) = histogram.read();
        assert_eq!((&counts[..3], counts[20], sum), (&[1, 2, 1][..], 1, 30_000_073));
        assert_eq!(histogram.quantile_us(0.0), Some(10));
        assert!((10..=25).contains(&histogram.quantile_us(0.5).unwrap()));
        assert_eq!(histogram.quantile_us(1.0), Some(30_000_001));
        let single = Histogram::default();
        single.record(161_000);
        assert_eq!([0.5, 0.99].map(|at| single.quantile_us(at)), [Some(161_000); 2]);
    }

    #[test]
    fn every_error_has_an_outcome() {
        let errors = [
            RunnerError::Picture(String::new()),
            RunnerError::Unprepared(String::new()),
            RunnerError::Tensors(String::new()),
            RunnerError::Failed(String::new()),
            RunnerError::Overloaded { waiting: 1, retry_after_s: 1 },
            RunnerError::Deadline { timeout_ms: 1 },
            RunnerError::Crashed(String::new()),
            RunnerError::Memory { limit_mib: 1, used_mib: 2, suggested_mib: 3 },
            RunnerError::Broken(String::new()),
            RunnerError::Stopping,
        ];
        for error in errors {
            let outcome = Outcome::of::<()>(&Err(error));
            assert!(Outcome::ALL.contains(&outcome), "{outcome:?}");
        }
    }

    #[test]
    fn stages_are_found_at_their_index() {
        let statistics = Statistics::default();
        let timings = Timings { queue: 1, inference: 2, total: 3, ..Timings::default() };
        statistics.finished(Outcome::Ok, Some((&timings, false)));
        let counted = |stage| statistics.stage(stage).read().0.iter().sum::<u64>();
        assert_eq!(Stage::ALL.map(counted), [1, 0, 0, 1, 0]);
        assert_eq!(statistics.count(Outcome::Ok), 1);
    }
}
