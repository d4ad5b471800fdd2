use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::queue::Queue;
use crate::{Payload, Request, Response, Runner, RunnerError, Statistics};

/// Handing a request to another thread and its answer back takes about 50 us; whoever is done
/// sooner is not handed over.
const QUICK: Duration = Duration::from_micros(100);
/// Larger tensors may take longer than those before them.
const QUICK_BYTES: usize = 64 << 10;

/// What the threads of a service share.
pub(crate) struct State {
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) queue: Queue<Job>,
    pub(crate) stopping: AtomicBool,
    pub(crate) statistics: Statistics,
    /// Moving average of what one request takes, in microseconds; 0 before the first.
    typical_us: AtomicU64,
}

/// A request on its way to a thread.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) admitted: Instant,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Response, RunnerError>>,
}

impl State {
    pub(crate) fn new(runner: Arc<dyn Runner>, queue: usize) -> Self {
        Self {
            runner,
            queue: Queue::new(queue),
            stopping: AtomicBool::default(),
            statistics: Statistics::default(),
            typical_us: AtomicU64::default(),
        }
    }

    /// What one request takes, as far as it is known.
    pub(crate) fn typical(&self) -> Duration {
        Duration::from_micros(self.typical_us.load(Ordering::Relaxed))
    }

    /// True for a request that will be answered before another thread could have been woken: small
    /// tensors for a model that was as fast so far, and nobody before them. Never a picture, whose
    /// few bytes may be many pixels.
    pub(crate) fn is_quick(&self, request: &Request) -> bool {
        let Payload::Tensors(tensors) = &request.payload else { return false };
        let typical = self.typical();
        !typical.is_zero()
            && typical <= QUICK
            && tensors.iter().map(|(_, tensor)| tensor.bytes().len()).sum::<usize>() <= QUICK_BYTES
            && self.queue.len() == 0
    }

    /// Answers a request on this thread, counts it and keeps its time.
    pub(crate) fn run(
        &self,
        request: &Request,
        admitted: Instant,
    ) -> Result<Response, RunnerError> {
        let started = Instant::now();
        let queued = started.duration_since(admitted).as_micros() as u64;
        self.statistics.started();
        let result = catch_unwind(AssertUnwindSafe(|| self.runner.run(request)));
        self.statistics.ended();
        let mut result = result.unwrap_or_else(|_| {
            Err(RunnerError::Failed("the request made the pipeline panic".into()))
        });
        if let Ok(response) = &mut result {
            response.timings_us.queue = queued;
            response.timings_us.total += queued;
            if let Some(prediction) = &mut response.prediction {
                prediction.timings_us = response.timings_us;
            }
        }
        self.learn(started.elapsed());
        result
    }

    fn learn(&self, took: Duration) {
        // Not 0, which means that nothing is known.
        let took = (took.as_micros() as u64).max(1);
        let typical = self.typical_us.load(Ordering::Relaxed);
        let average = if typical == 0 { took } else { (typical * 7 + took).div_ceil(8) };
        self.typical_us.store(average, Ordering::Relaxed);
    }

    /// Answers what comes through the queue until it is closed.
    pub(crate) fn work(&self) {
        while let Some(Job { request, admitted, deadline, reply }) = self.queue.pop() {
            // Nobody waits for what is late or was given up.
            if reply.is_closed() || Instant::now() >= deadline {
                continue;
            }
            let _ = reply.send(self.run(&request, admitted));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sedge_tensor::Tensor;

    use super::*;
    use crate::{ModelInfo, Timings};

    /// Takes as long as it is told, one request after the other.
    struct Sleeper {
        info: ModelInfo,
        naps: Mutex<Vec<Duration>>,
    }

    impl Runner for Sleeper {
        fn info(&self) -> &ModelInfo {
            &self.info
        }

        fn run(&self, _request: &Request) -> Result<Response, RunnerError> {
            std::thread::sleep(self.naps.lock().unwrap().pop().unwrap());
            Ok(Response {
                prediction: None,
                probabilities: None,
                outputs: Vec::new(),
                timings_us: Timings::default(),
            })
        }
    }

    fn tensors(elements: usize) -> Request {
        let zeros = Tensor::new([elements], vec![0u8; elements]).unwrap();
        Request::tensors("s", vec![("x".into(), zeros)])
    }

    #[test]
    fn only_small_tensors_for_a_model_known_to_be_fast_are_quick() {
        let nap = Duration::from_millis(20);
        let naps = Mutex::new(vec![nap, Duration::ZERO]);
        let state = State::new(Arc::new(Sleeper { info: ModelInfo::default(), naps }), 1);
        assert!(!state.is_quick(&tensors(8)), "nothing is known yet");
        state.typical_us.store(3, Ordering::Relaxed);
        state.run(&tensors(8), Instant::now()).unwrap();
        state.typical_us.store(3, Ordering::Relaxed);
        assert!(state.is_quick(&tensors(8)));
        assert!(!state.is_quick(&tensors(QUICK_BYTES + 1)));
        assert!(!state.is_quick(&Request::picture("s", vec![0; 8].into())));
        state.run(&tensors(8), Instant::now()).unwrap();
        assert!(!state.is_quick(&tensors(8)), "one long run is noticed");
    }
}
