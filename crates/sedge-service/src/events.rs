use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::{Prediction, Timings};

/// Events a slow listener may be behind before it loses the oldest.
const CAPACITY: usize = 256;
/// Events kept for those who come later.
const KEPT: usize = 32;
/// Classes and objects an event carries.
const MOST_FINDINGS: usize = 20;

/// One request that ended, as listeners see it: the page, publishing, traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Counts events of this process from 1.
    pub sequence: u64,
    /// When it ended, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Name of the service.
    pub service: String,
    /// How it ended: `ok`, or the kind of error.
    pub outcome: String,
    /// What the caller was told went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Identifier under which logs know the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The caller's place in a distributed trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<TraceParent>,
    /// What was found in the picture: at most the best twenty classes or objects, no tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// Where the time went.
    pub timings_us: Timings,
}

/// The caller's span in W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceParent {
    /// Identifier of the span.
    pub span_id: u64,
    /// Whether the caller records this trace.
    pub sampled: bool,
}

/// Tells whoever listens about requests that ended. Cheap to clone; never waits for a listener.
#[derive(Clone, Debug)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sender: broadcast::Sender<Arc<Answered>>,
    kept: Mutex<VecDeque<Arc<Answered>>>,
    count: AtomicU64,
}

impl Default for Events {
    fn default() -> Self {
        let (sender, _) = broadcast::channel(CAPACITY);
        let kept = Mutex::new(VecDeque::with_capacity(KEPT));
        Self { shared: Arc::new(Shared { sender, kept, count: AtomicU64::new(0) }) }
    }
}

impl Events {
    /// The last events, oldest first, and those that come from now on. A listener that falls
    /// behind by more than 256 events loses the oldest and is told how many.
    pub fn listen(&self) -> (Vec<Arc<Answered>>, broadcast::Receiver<Arc<Answered>>) {
        let kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.iter().cloned().collect(), self.shared.sender.subscribe())
    }

    /// Tells all listeners; fills in sequence and time.
    pub(crate) fn tell(&self, mut event: Answered) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        event.unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        event.sequence = self.shared.count.fetch_add(1, Ordering::Relaxed) + 1;
        let event = Arc::new(event);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Under the lock, so that listeners meet events in their order.
        let _ = self.shared.sender.send(event);
    }
}

/// The part of a prediction that an event carries.
pub(crate) fn summary(prediction: &Prediction) -> Prediction {
    let first = |count: usize| count.min(MOST_FINDINGS);
    Prediction {
        image: prediction.image.clone(),
        service: prediction.service.clone(),
        model: prediction.model.clone(),
        task: prediction.task.clone(),
        classes: prediction.classes.as_ref().map(|all| all[..first(all.len())].to_vec()),
        objects: prediction.objects.as_ref().map(|all| all[..first(all.len())].to_vec()),
        outputs: None,
        explain: None,
        timings_us: prediction.timings_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(service: &str) -> Answered {
        Answered {
            sequence: 0,
            unix_ms: 0,
            service: service.into(),
            outcome: "ok".into(),
            error: None,
            trace_id: None,
            trace_parent: None,
            prediction: None,
            timings_us: Timings::default(),
        }
    }

    #[test]
    fn who_comes_late_gets_the_last_events_and_then_the_new_ones() {
        let events = Events::default();
        for _ in 0..KEPT + 8 {
            events.tell(event("early"));
        }
        let (kept, mut coming) = events.listen();
        let sequences: Vec<_> = kept.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, (9..=KEPT as u64 + 8).collect::<Vec<_>>());
        events.tell(event("late"));
        let next = coming.try_recv().unwrap();
        assert_eq!((next.sequence, &*next.service), (KEPT as u64 + 9, "late"));
        assert!(next.unix_ms > 0);
    }

    #[test]
    fn a_listener_that_sleeps_holds_nobody_up() {
        let events = Events::default();
        let (_, mut coming) = events.listen();
        for _ in 0..2 * CAPACITY {
            events.tell(event("busy"));
        }
        assert!(matches!(coming.try_recv(), Err(broadcast::error::TryRecvError::Lagged(256))));
    }
}
