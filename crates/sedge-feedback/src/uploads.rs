//! From the spool to the bucket: a thread for each bucket, which goes on until the sample is there
//! or refused for good.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sedge_cloud::{AwsError, Body, PutObject, S3, Stop, Stored, back_off};
use sedge_spool::{Consumer, Record, Settled, Spool, SpoolError};

use crate::known;
use crate::parcel;
use crate::sampler::{self, destination};
use crate::{Head, Sampler};

/// How long a thread waits before it looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Who is told what became of samples. Called by the threads that upload, and may block.
pub trait Outcomes: Send + Sync {
    /// Whether what becomes of the sample can be told. It is uploaded when that is so.
    ///
    /// # Errors
    /// Why it cannot; it is asked again later.
    fn is_ready(&self, head: &Head) -> Result<(), String>;

    /// A sample is in its bucket: what is to be told of it must be kept when this returns, as the
    /// sample is forgotten then. After a crash it may be told twice. `stored` is what the bucket
    /// said, and nothing where the same sample was there already.
    ///
    /// # Errors
    /// When it cannot be kept; it is told again later.
    fn uploaded(&self, head: &Head, bytes: usize, stored: Option<&Stored>) -> Result<(), String>;

    /// A sample was refused for good.
    ///
    /// # Errors
    /// When that cannot be kept; it is told again later.
    fn refused(&self, head: &Head, bytes: usize, error: &AwsError) -> Result<(), String>;
}

/// How the uploads to one bucket do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketStatus {
    /// Objects that were put there.
    pub uploads: u64,
    /// What that took, all together.
    pub time: Duration,
    /// Why the sample that is next did not get there yet.
    pub waits_for: Option<String>,
    /// Why the last sample was refused for good, until another one gets there.
    pub refused: Option<String>,
}

/// Threads that bring samples to buckets.
pub struct Uploads {
    shared: Arc<Shared>,
    threads: Mutex<BTreeMap<String, JoinHandle<()>>>,
}

struct Shared {
    spool: Spool,
    sampler: Sampler,
    s3: S3,
    outcomes: Arc<dyn Outcomes>,
    stop: Stop,
    buckets: Mutex<BTreeMap<String, BucketStatus>>,
}

impl Uploads {
    /// Begins with the buckets for which something waits; others are [told](Self::serve).
    ///
    /// # Errors
    /// When a thread cannot be started, or somebody else consumes what waits.
    pub fn start(
        spool: &Spool,
        sampler: &Sampler,
        s3: S3,
        outcomes: Arc<dyn Outcomes>,
    ) -> Result<Self, SpoolError> {
        let shared = Arc::new(Shared {
            spool: spool.clone(),
            sampler: sampler.clone(),
            s3,
            outcomes,
            stop: Stop::default(),
            buckets: Mutex::default(),
        });
        let uploads = Self { shared, threads: Mutex::default() };
        for lane in spool.status().lanes {
            if let Some(bucket) = sampler::bucket(&lane.destination) {
                uploads.serve(bucket)?;
            }
        }
        Ok(uploads)
    }

    /// Brings samples to this bucket, too.
    ///
    /// # Errors
    /// When somebody else consumes what waits for it.
    pub fn serve(&self, bucket: &str) -> Result<(), SpoolError> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.contains_key(bucket) {
            return Ok(());
        }
        let consumer = self.shared.spool.consumer(&destination(bucket))?;
        let (shared, name) = (self.shared.clone(), bucket.to_owned());
        let thread = std::thread::Builder::new()
            .name("upload".to_owned())
            .spawn(move || Lane { shared: &shared, bucket: &name, consumer }.run());
        match thread {
            Ok(thread) => {
                threads.insert(bucket.to_owned(), thread);
            }
            Err(error) => tracing::error!(bucket, "no thread for uploads: {error}"),
        }
        Ok(())
    }

    /// How each bucket does.
    pub fn status(&self) -> BTreeMap<String, BucketStatus> {
        self.shared.buckets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the threads; what is on its way waits for the next start. Whoever owns the connection
    /// to the cloud ends requests that hang.
    pub fn stop(&self) {
        self.shared.stop.stop();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, thread) in std::mem::take(&mut *threads) {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").finish_non_exhaustive()
    }
}

/// What goes to one bucket.
struct Lane<'a> {
    shared: &'a Shared,
    bucket: &'a str,
    consumer: Consumer,
}

impl Lane<'_> {
    fn run(&self) {
        while !self.shared.stop.wait(Duration::ZERO) {
            match self.consumer.next(LOOK_EVERY) {
                Ok(Some(record)) => self.bring(&record),
                Ok(None) => {}
                Err(error) => {
                    self.waits_for(Some(error.to_string()));
                    let _ = self.shared.stop.wait(Duration::from_secs(10));
                }
            }
        }
    }

    /// Brings a sample there, however long that takes.
    fn bring(&self, record: &Record) {
        let Some((head, bytes)) = parcel::unpack(&record.body) else {
            tracing::error!(bucket = self.bucket, id = %record.id, "what waits is no sample");
            return self.settle(record, Settled::Refused);
        };
        for attempt in 1.. {
            let pause = match self.attempt(&head, bytes, attempt) {
                Ok(settled) => {
                    self.waits_for(None);
                    return self.settle(record, settled);
                }
                Err(pause) => pause,
            };
            if self.shared.stop.wait(pause.min(LONGEST_PAUSE)) {
                return;
            }
        }
    }

    /// One attempt, the first or a later one; a pause before the next where it failed.
    fn attempt(&self, head: &Head, bytes: &[u8], attempt: u32) -> Result<Settled, Duration> {
        let counts = self.shared.sampler.counts();
        let outcomes = &self.shared.outcomes;
        let kept = |told: Result<(), String>| {
            told.map_err(|why| {
                self.waits_for(Some(why));
                back_off(attempt).max(Duration::from_secs(1))
            })
        };
        kept(outcomes.is_ready(head))?;
        if let Some(there) = self.is_there(head) {
            kept(outcomes.uploaded(&there, bytes.len(), None))?;
            counts.count(&head.configuration, |counted| counted.repeated += 1);
            return Ok(Settled::Delivered);
        }
        let begun = Instant::now();
        match self.shared.s3.put(&object(head, bytes)) {
            Ok(stored) => {
                for cut in &stored.cut {
                    let (name, problem) = (&cut.name, cut.problem);
                    tracing::warn!(bucket = self.bucket, key = head.key, name, "{problem}");
                }
                self.status(|status| {
                    status.uploads += 1;
                    status.time += begun.elapsed();
                    status.refused = None;
                });
                if let Some(print) = head.print.as_deref().and_then(known::parse) {
                    self.shared.sampler.known().insert(print, &head.key);
                }
                kept(outcomes.uploaded(head, bytes.len(), Some(&stored)))?;
                counts.count(&head.configuration, |counted| {
                    counted.uploaded += 1;
                    counted.uploaded_bytes += bytes.len() as u64;
                });
                Ok(Settled::Delivered)
            }
            Err(error) => match error.pause(attempt) {
                Some(pause) => {
                    self.waits_for(Some(error.to_string()));
                    Err(pause)
                }
                None => {
                    let (id, key) = (&head.configuration, &head.key);
                    tracing::error!(configuration = id, key, "a sample was refused: {error}");
                    self.status(|status| status.refused = Some(error.to_string()));
                    kept(outcomes.refused(head, bytes.len(), &error))?;
                    counts.count(&head.configuration, |counted| counted.refused += 1);
                    Ok(Settled::Refused)
                }
            },
        }
    }

    /// The head with the key under which the sample is there already, if it is.
    fn is_there(&self, head: &Head) -> Option<Head> {
        if head.is_there {
            return Some(head.clone());
        }
        let print = head.print.as_deref().and_then(known::parse)?;
        let key = self.shared.sampler.known().key(&print)?;
        Some(Head { key, ..head.clone() })
    }

    fn settle(&self, record: &Record, settled: Settled) {
        if let Err(error) = self.consumer.settle(record.id, settled) {
            tracing::error!(bucket = self.bucket, "a sample may be uploaded again: {error}");
        }
    }

    fn waits_for(&self, reason: Option<String>) {
        self.status(|status| {
            match (&status.waits_for, &reason) {
                (None, Some(reason)) => {
                    tracing::warn!(bucket = self.bucket, "samples wait: {reason}");
                }
                (Some(_), None) => tracing::info!(bucket = self.bucket, "samples arrive again"),
                _ => {}
            }
            status.waits_for = reason;
        });
    }

    fn status(&self, change: impl FnOnce(&mut BucketStatus)) {
        let mut buckets = self.shared.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        change(buckets.entry(self.bucket.to_owned()).or_default());
    }
}

fn object(head: &Head, bytes: &[u8]) -> PutObject {
    PutObject {
        bucket: head.bucket.clone(),
        key: head.key.clone(),
        body: Body::from(bytes.to_vec()),
        content_type: Some(head.content_type.clone()),
        metadata: head.object_metadata(),
        encryption: None,
    }
}
