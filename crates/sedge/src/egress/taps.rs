//! Pictures and answers of services, on their way to samples and messages: a bounded queue to one
//! thread, so that no answer waits for a disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use sedge_feedback::{Configuration, Finding, Sample, SampleMetadata, Sampler, Scores};
use sedge_service::{Prediction, Response, Services, Tap};
use serde_json::json;

use super::outbox::Mailbox;
use super::publish::Publisher;
use super::shortest;

/// Answers that wait for the thread, and the bytes of their pictures.
const MOST_WAITING: usize = 1024;
const MOST_WAITING_BYTES: usize = 64 << 20;

/// What is done with the answers of services.
pub(super) struct Taps {
    shared: Arc<Shared>,
    sender: Mutex<Option<SyncSender<Seen>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// By service.
    rules: RwLock<BTreeMap<String, Arc<Rules>>>,
    waiting_bytes: AtomicUsize,
    /// Answers that were not looked at, as too many waited.
    missed: AtomicU64,
}

/// What is done with the answers of one service.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) samples: Vec<Configuration>,
    /// What is published, and where it waits.
    pub(super) publisher: Option<(Publisher, Mailbox)>,
}

/// A picture and what was said about it.
struct Seen {
    service: String,
    picture: Bytes,
    prediction: Prediction,
    probabilities: Option<Vec<f32>>,
    time: (Instant, SystemTime),
}

/// The tap of one service.
struct OfService {
    name: String,
    shared: Arc<Shared>,
    sender: SyncSender<Seen>,
}

impl Tap for OfService {
    fn answered(&self, picture: &Bytes, response: &Response) {
        let Some(prediction) = response.prediction.clone() else { return };
        let waiting = &self.shared.waiting_bytes;
        let miss = || {
            if self.shared.missed.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(service = self.name, "answers come faster than they can be kept");
            }
        };
        let bytes = picture.len();
        if waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST_WAITING_BYTES {
            waiting.fetch_sub(bytes, Ordering::Relaxed);
            return miss();
        }
        let seen = Seen {
            service: self.name.clone(),
            picture: picture.clone(),
            prediction,
            probabilities: response.probabilities.clone(),
            time: (Instant::now(), SystemTime::now()),
        };
        if self.sender.try_send(seen).is_err() {
            waiting.fetch_sub(bytes, Ordering::Relaxed);
            miss();
        }
    }
}

impl Taps {
    /// Begins to look.
    pub(super) fn start(sampler: Sampler) -> std::io::Result<Self> {
        let (sender, seen) = sync_channel(MOST_WAITING);
        let shared = Arc::new(Shared {
            rules: RwLock::default(),
            waiting_bytes: AtomicUsize::new(0),
            missed: AtomicU64::new(0),
        });
        let keeper = Keeper { shared: shared.clone(), sampler };
        let thread = std::thread::Builder::new().name("egress".into());
        let thread = thread.spawn(move || keeper.run(&seen))?;
        Ok(Self { shared, sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Looks at the answers of these services from now on, and at no others.
    pub(super) fn set(&self, services: &Services, rules: BTreeMap<String, Rules>) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for service in services.all() {
            let name = service.name().to_owned();
            let tap = rules.contains_key(&name).then(|| sender.clone()).flatten().map(|sender| {
                Arc::new(OfService { name, shared: self.shared.clone(), sender }) as Arc<dyn Tap>
            });
            service.set_tap(tap);
        }
        let rules = rules.into_iter().map(|(name, rules)| (name, Arc::new(rules))).collect();
        *self.shared.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Answers that were not looked at.
    pub(super) fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }

    /// Keeps what waits, and ends.
    pub(super) fn stop(&self, services: &Services) {
        services.all().iter().for_each(|service| service.set_tap(None));
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// The thread that keeps what is to leave.
struct Keeper {
    shared: Arc<Shared>,
    sampler: Sampler,
}

impl Keeper {
    fn run(&self, seen: &Receiver<Seen>) {
        while let Ok(seen) = seen.recv() {
            self.shared.waiting_bytes.fetch_sub(seen.picture.len(), Ordering::Relaxed);
            let rules = self.shared.rules.read().unwrap_or_else(PoisonError::into_inner);
            let rules = rules.get(&seen.service).cloned();
            if let Some(rules) = rules {
                self.keep(&seen, &rules);
            }
        }
    }

    fn keep(&self, seen: &Seen, rules: &Rules) {
        let id = sedge_greengrass::uuid();
        if let Some((publisher, mailbox)) = &rules.publisher
            && let Some(told) = publisher.message(&seen.prediction, &id, seen.time.0, seen.time.1)
            && let Err(error) = mailbox.keep(&told.topic, told.qos, told.retain, &told.payload)
        {
            tracing::error!(service = seen.service, "a prediction is not published: {error}");
        }
        for configuration in &rules.samples {
            let sample = Sample {
                id: id.clone(),
                name: sedge_greengrass::uuid(),
                origin: format!("service:{}", seen.service),
                bytes: &seen.picture,
                prediction: None,
                scores: Some(scores(&seen.prediction, seen.probabilities.as_deref())),
                metadata: metadata(&seen.prediction),
                time: seen.time.1,
            };
            if let Err(error) = self.sampler.consider(configuration, sample) {
                let (service, feedback) = (&seen.service, &configuration.id);
                tracing::error!(service, feedback, "a sample is not kept: {error}");
            }
        }
    }
}

/// What strategies look at, of what a model said and the probabilities of all its classes.
pub(crate) fn scores(prediction: &Prediction, probabilities: Option<&[f32]>) -> Scores {
    if let Some(objects) = &prediction.objects {
        let finding = |object: &sedge_vision::Object| Finding {
            class: object.index as i64,
            label: object.label.clone(),
            score: shortest(object.score),
        };
        return Scores::of_objects(objects.iter().map(finding).collect());
    }
    let classes = prediction.classes.as_deref().unwrap_or_default();
    let values = match probabilities {
        Some(all) => all.iter().map(|score| shortest(*score)).collect(),
        None => classes.iter().map(|class| shortest(class.score)).collect(),
    };
    let best = classes.first().map(|class| Finding {
        class: class.index as i64,
        label: class.label.clone(),
        score: shortest(class.score),
    });
    Scores { values, findings: best.into_iter().collect() }
}

/// What is kept with a sample: who said what.
fn metadata(prediction: &Prediction) -> SampleMetadata {
    let mut said = SampleMetadata::new();
    said.insert("service".into(), json!(prediction.service));
    said.insert("model".into(), json!(prediction.model));
    let class = prediction.classes.as_ref().and_then(|all| all.first());
    let best = class.map(|class| (class.index, class.label.as_deref(), class.score));
    let object = prediction.objects.as_ref().and_then(|all| all.first());
    let best = best.or(object.map(|object| (object.index, object.label.as_deref(), object.score)));
    if let Some((index, label, score)) = best {
        said.insert("index".into(), json!(index));
        said.insert("score".into(), json!(shortest(score)));
        said.extend(label.map(|label| ("label".into(), json!(label))));
    }
    if let Some(objects) = &prediction.objects {
        said.insert("objects".into(), json!(objects.len()));
    }
    said
}
