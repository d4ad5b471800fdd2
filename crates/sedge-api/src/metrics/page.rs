use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, MetricFamily, MetricType};
use prometheus::{Result, TextEncoder};
use sedge_service::BUCKET_BOUNDS_US;

use super::table::{ALL, Kind, Metric};

const MICROS: f64 = 1e6;

/// Samples on their way to text, grouped by metric as the format wants it.
#[derive(Debug)]
pub(super) struct Page {
    /// One per entry of [`ALL`].
    samples: Vec<Vec<prometheus::proto::Metric>>,
}

impl Default for Page {
    fn default() -> Self {
        Self { samples: vec![Vec::new(); ALL.len()] }
    }
}

impl Page {
    /// One sample of a counter or gauge, with values for the metric's labels.
    pub(super) fn add(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        let mut sample = labelled(metric, labels);
        if metric.kind == Kind::Counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            sample.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            sample.set_gauge(gauge);
        }
        self.push(metric, sample);
    }

    /// One histogram, in seconds.
    pub(super) fn histogram(
        &mut self,
        metric: &Metric,
        labels: &[&str],
        measured: &sedge_service::Histogram,
    ) {
        let (counts, sum_us) = measured.read();
        let bounds: Vec<f64> =
            BUCKET_BOUNDS_US.iter().map(|&bound| bound as f64 / MICROS).collect();
        self.counted(metric, labels, &bounds, &counts, sum_us as f64 / MICROS);
    }

    /// The same of counts by upper bound, in seconds; the last count is of what is above all.
    pub(super) fn counted(
        &mut self,
        metric: &Metric,
        labels: &[&str],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (&bound, count) in bounds.iter().zip(counts) {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut sample = labelled(metric, labels);
        sample.set_histogram(histogram);
        self.push(metric, sample);
    }

    fn push(&mut self, metric: &Metric, sample: prometheus::proto::Metric) {
        let index = ALL.iter().position(|known| std::ptr::eq(*known, metric));
        if let Some(samples) = index.and_then(|index| self.samples.get_mut(index)) {
            samples.push(sample);
        }
    }

    /// The text; metrics without a sample are left out.
    pub(super) fn text(self) -> Result<String> {
        let families = ALL.iter().zip(self.samples).filter(|(_, samples)| !samples.is_empty());
        let families: Vec<_> = families.map(|(metric, samples)| family(metric, samples)).collect();
        TextEncoder::new().encode_to_string(&families)
    }
}

fn family(metric: &Metric, samples: Vec<prometheus::proto::Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(samples);
    family
}

fn labelled(metric: &Metric, values: &[&str]) -> prometheus::proto::Metric {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    prometheus::proto::Metric::from_label(metric.labels.iter().zip(values).map(pair).collect())
}
