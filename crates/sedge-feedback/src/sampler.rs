use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sedge_spool::{Entry, Priority, Spool, SpoolError};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::budget::Budgets;
use crate::known::{self, Known, Print};
use crate::parcel::{self, PUBLISH_TS};
use crate::{Configuration, Counts, Head, NoScores, SampleMetadata, Scores};

/// What all configurations together have of a day's bytes.
const TOGETHER: &str = "";

/// Something that a model was asked about, and what it said.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    /// Identifier of the request.
    pub id: String,
    /// Name of the object, unique for ever: a UUID.
    pub name: String,
    /// Who is to be told, in words of [`Outcomes`](crate::Outcomes).
    pub origin: String,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What the model said, to be passed on as it is.
    pub prediction: Option<Box<RawValue>>,
    /// The same as scores, where they are known already; else they are read from it.
    pub scores: Option<Scores>,
    /// What the caller says of it.
    pub metadata: SampleMetadata,
    /// When it came.
    pub time: SystemTime,
}

/// What was decided about a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits in the spool.
    Queued,
    /// The strategy did not take it.
    NotTaken,
    /// There is no budget left for it today.
    OverBudget,
    /// It would have left, were it not for a dry run.
    Dry,
}

/// Why nothing could be decided, or the sample not be kept.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    /// A strategy needs scores.
    #[error(transparent)]
    NoScores(#[from] NoScores),
    /// A sample or what is said of it is too large, or the disk is full.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// What is said of it is no JSON.
    #[error("what is said of the sample cannot be written: {0}")]
    Head(#[from] serde_json::Error),
}

/// Chooses samples and hands them to the spool.
#[derive(Clone, Debug)]
pub struct Sampler {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    spool: Spool,
    budgets: Budgets,
    known: Known,
    counts: Counts,
    daily_bytes: Mutex<Option<u64>>,
}

impl Sampler {
    /// A sampler that keeps its state in `directory`, which must be there. All configurations
    /// together take at most `daily_bytes` a day.
    pub fn new(spool: Spool, directory: &Path, daily_bytes: Option<u64>) -> Self {
        let daily_bytes = Mutex::new(daily_bytes);
        let (budgets, known) = (Budgets::open(directory), Known::open(directory));
        let counts = Counts::default();
        Self { inner: Arc::new(Inner { spool, budgets, known, counts, daily_bytes }) }
    }

    /// Most bytes that all configurations together take a day from now on.
    pub fn set_daily_bytes(&self, most: Option<u64>) {
        *self.inner.daily_bytes.lock().unwrap_or_else(PoisonError::into_inner) = most;
    }

    /// What became of samples.
    pub fn counts(&self) -> &Counts {
        &self.inner.counts
    }

    /// Decides about a sample and keeps it when it is taken: when this returns, it outlives the
    /// process. It writes a file and may block for that long.
    ///
    /// # Errors
    /// When nothing can be decided, or the spool does not take it.
    pub fn consider(
        &self,
        configuration: &Configuration,
        sample: Sample<'_>,
    ) -> Result<Verdict, FeedbackError> {
        let verdict = self.decide(configuration, sample)?;
        self.inner.counts.count(&configuration.id, |counted| {
            counted.considered += 1;
            match verdict {
                Verdict::Queued => counted.queued += 1,
                Verdict::NotTaken => counted.not_taken += 1,
                Verdict::OverBudget => counted.over_budget += 1,
                Verdict::Dry => counted.dry += 1,
            }
        });
        Ok(verdict)
    }

    fn decide(
        &self,
        configuration: &Configuration,
        sample: Sample<'_>,
    ) -> Result<Verdict, FeedbackError> {
        let strategy = &configuration.strategy;
        let scores = match (&sample.scores, &sample.prediction) {
            _ if !strategy.needs_scores() => Scores::default(),
            (Some(scores), _) => scores.clone(),
            (None, Some(prediction)) => Scores::of_json(prediction)?,
            (None, None) => return Err(NoScores.into()),
        };
        let takes = strategy.takes(&scores, fastrand::f64());
        if configuration.dry_run {
            let measure = strategy.measure(&scores);
            let (id, bytes) = (&configuration.id, sample.bytes.len());
            tracing::info!(configuration = id, bytes, measure, takes, "a dry run");
        }
        match (takes, configuration.dry_run) {
            (false, _) => return Ok(Verdict::NotTaken),
            (true, true) => return Ok(Verdict::Dry),
            (true, false) => {}
        }
        let print = configuration
            .once
            .then(|| known::print(&configuration.id, &configuration.bucket, sample.bytes));
        let there = print.as_ref().and_then(|print| self.inner.known.key(print));
        if there.is_none() && !self.affords(configuration, &sample) {
            return Ok(Verdict::OverBudget);
        }
        self.keep(configuration, sample, print, there)?;
        Ok(Verdict::Queued)
    }

    fn affords(&self, configuration: &Configuration, sample: &Sample<'_>) -> bool {
        let bytes = sample.bytes.len() as u64;
        let budgets = &self.inner.budgets;
        let of = |name: &str, most: Option<u64>| {
            most.is_none_or(|most| budgets.take(name, bytes, most, sample.time))
        };
        let all = *self.inner.daily_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        of(&configuration.id, configuration.daily_bytes) && of(TOGETHER, all)
    }

    fn keep(
        &self,
        configuration: &Configuration,
        sample: Sample<'_>,
        print: Option<Print>,
        there: Option<String>,
    ) -> Result<(), FeedbackError> {
        let mut metadata = sample.metadata;
        metadata.insert(PUBLISH_TS.to_owned(), Value::from(publish_ts(sample.time)));
        let is_there = there.is_some();
        let head = Head {
            id: sample.id,
            origin: sample.origin,
            configuration: configuration.id.clone(),
            bucket: configuration.bucket.clone(),
            key: there.unwrap_or_else(|| configuration.key(&sample.name, sample.bytes)),
            content_type: configuration.content_type(sample.bytes),
            metadata,
            prediction: sample.prediction,
            print: print.map(|print| known::hex(&print)),
            is_there,
        };
        let body = parcel::pack(&head, if is_there { &[] } else { sample.bytes })?;
        let told = format!("s3://{}/{} for {}", head.bucket, head.key, head.configuration);
        let headers = &told.as_bytes()[..told.len().min(sedge_spool::MAX_HEADERS_BYTES)];
        let destination = destination(&head.bucket);
        let priority = Priority::Normal;
        self.inner.spool.append(&Entry {
            destination: &destination,
            priority,
            headers,
            body: &body,
        })?;
        Ok(())
    }

    pub(crate) fn known(&self) -> &Known {
        &self.inner.known
    }
}

/// What the names begin with under which samples for buckets wait.
const PREFIX: &str = "s3.";

/// Name under which the samples for a bucket wait.
pub fn destination(bucket: &str) -> String {
    format!("{PREFIX}{bucket}")
}

/// The bucket for which samples wait under a name; `None` where it is another's.
pub fn bucket(destination: &str) -> Option<&str> {
    destination.strip_prefix(PREFIX)
}

/// The time of a sample as the connector of Greengrass V1 writes it: `2019-07-11 00:12:48.816752`,
/// in UTC.
fn publish_ts(time: SystemTime) -> String {
    // The year 9999 is the last that has four digits.
    let latest = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let time = humantime::format_rfc3339_micros(time.clamp(UNIX_EPOCH, latest)).to_string();
    time.replace('T', " ").trim_end_matches('Z').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sedge_spool::Options;
    use serde_json::json;

    use super::*;
    use crate::Strategy;

    fn sample<'a>(bytes: &'a [u8], prediction: &str) -> Sample<'a> {
        Sample {
            id: "request".into(),
            name: "name".into(),
            origin: "test".into(),
            bytes,
            prediction: Some(RawValue::from_string(prediction.into()).unwrap()),
            scores: None,
            metadata: json!({"some": "thing"}).as_object().unwrap().clone(),
            time: UNIX_EPOCH + Duration::from_micros(1_562_803_968_816_752),
        }
    }

    fn sampler(place: &Path, daily_bytes: Option<u64>) -> (Sampler, Spool) {
        let spool = Spool::open(&place.join("spool"), Options::default()).unwrap();
        (Sampler::new(spool.clone(), place, daily_bytes), spool)
    }

    #[test]
    fn what_is_taken_waits_with_all_that_is_known_of_it() {
        let place = tempfile::tempdir().unwrap();
        let (sampler, spool) = sampler(place.path(), None);
        let mut configuration = Configuration::new("unsure", "samples", "image/jpeg");
        configuration.strategy = Strategy::LeastConfidence { threshold: 0.6 };
        let says = |prediction| sampler.consider(&configuration, sample(b"picture", prediction));
        assert_eq!(says("[0.3,0.7]").unwrap(), Verdict::NotTaken);
        assert_eq!(says("[0.5,0.50000000000000001]").unwrap(), Verdict::Queued);
        assert!(says("{}").unwrap_err().to_string().contains("Hint"));
        let record = spool.consumer("s3.samples").unwrap().try_next().unwrap().unwrap();
        let (head, bytes) = parcel::unpack(&record.body).unwrap();
        assert_eq!((bytes, head.key.as_str()), (&b"picture"[..], "name"));
        assert_eq!(head.prediction.unwrap().get(), "[0.5,0.50000000000000001]");
        assert_eq!(head.metadata["publish-ts"], "2019-07-11 00:12:48.816752");
        let counted = sampler.counts().all()["unsure"];
        assert_eq!((counted.considered, counted.not_taken, counted.queued), (2, 1, 1));
    }

    #[test]
    fn budgets_and_dry_runs_keep_samples_here() {
        let place = tempfile::tempdir().unwrap();
        let (sampler, spool) = sampler(place.path(), Some(10));
        let mut small = Configuration::new("small", "samples", "image/jpeg");
        small.daily_bytes = Some(5);
        let large = Configuration::new("large", "samples", "image/jpeg");
        let says = |configuration: &Configuration, bytes| {
            sampler.consider(configuration, sample(bytes, "7")).unwrap()
        };
        assert_eq!(says(&small, b"12345"), Verdict::Queued);
        assert_eq!(says(&small, b"1"), Verdict::OverBudget);
        assert_eq!(says(&large, b"123456"), Verdict::OverBudget, "all together");
        assert_eq!(says(&large, b"12345"), Verdict::Queued);
        let dry = Configuration { dry_run: true, ..large };
        assert_eq!(says(&dry, b"1"), Verdict::Dry);
        assert_eq!(spool.status().lanes[0].records, 2);
    }
}
