//! Admission, turns, batches and the change between versions, over runners that do as they are told.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sedge_service::{
    Events, Limits, ModelInfo, Outcome, Payload, Request, Response, Runner, RunnerError, Service,
    ServiceState, Timings, Version,
};
use sedge_tensor::Tensor;

/// Sleeps as many milliseconds as a request's picture has bytes; answers its own number.
#[derive(Default)]
struct Sleeper {
    info: ModelInfo,
    number: f32,
    batches: AtomicUsize,
}

impl Sleeper {
    fn new(number: f32) -> Arc<Self> {
        Arc::new(Self { number, ..Self::default() })
    }
}

impl Runner for Sleeper {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn run(&self, request: &Request) -> Result<Response, RunnerError> {
        if let Payload::Picture(bytes) = &request.payload {
            std::thread::sleep(Duration::from_millis(bytes.len() as u64));
        }
        Ok(Response {
            prediction: None,
            probabilities: None,
            outputs: vec![("y".into(), Tensor::scalar(self.number))],
            timings_us: Timings::default(),
        })
    }

    fn run_batch(&self, requests: &[&Request]) -> Vec<Result<Response, RunnerError>> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        requests.iter().map(|request| self.run(request)).collect()
    }
}

fn nap(ms: usize, caller: &str) -> Request {
    let mut request = Request::picture("s", vec![0; ms].into());
    request.caller = Some(caller.into());
    request
}

fn number(answer: &Result<Response, RunnerError>) -> Vec<f32> {
    answer.as_ref().unwrap().outputs[0].1.to_f32().unwrap().to_vec()
}

fn service(runner: Arc<dyn Runner>, limits: Limits) -> Arc<Service> {
    Arc::new(Service::start("naps", runner, limits, Events::default()).unwrap())
}

fn one_at_a_time() -> Limits {
    Limits { queue: 4, instances: 1, timeout_ms: 5000, max_batch: 1, batch_wait_ms: 20 }
}

#[tokio::test]
async fn callers_take_turns_and_who_floods_makes_room() {
    let service = service(Sleeper::new(1.0), one_at_a_time());
    let ask = |caller: &'static str| {
        let service = service.clone();
        tokio::spawn(async move { (caller, service.submit(nap(30, caller)).await, Instant::now()) })
    };
    let flood: Vec<_> = (0..6).map(|_| ask("loud")).collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (_, quiet, quiet_at) = ask("quiet").await.unwrap();
    assert!(quiet.is_ok());
    let mut refused = 0;
    let mut later = 0;
    for task in flood {
        let (_, answer, at) = task.await.unwrap();
        match answer {
            Ok(_) => later += usize::from(at > quiet_at),
            Err(RunnerError::Overloaded { retry_after_s: 1.., .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 2, "one had no place, one gave its place up");
    assert!(later >= 2, "only {later} of the flood came after the other caller");
}

#[tokio::test]
async fn what_cannot_be_done_in_time_is_refused_at_once() {
    let service = service(Sleeper::new(1.0), one_at_a_time());
    service.submit(nap(100, "a")).await.unwrap();
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.submit(nap(100, "a")).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let begun = Instant::now();
    let mut hasty = nap(100, "a");
    hasty.timeout_ms = Some(120);
    let error = service.submit(hasty).await.unwrap_err();
    assert!(matches!(error, RunnerError::Overloaded { waiting: 2, .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_millis(60), "{:?}", begun.elapsed());
    for task in busy {
        task.await.unwrap().unwrap();
    }
    let mut late = nap(100, "a");
    late.timeout_ms = Some(30);
    let error = service.submit(late).await.unwrap_err();
    assert_eq!(
        error,
        RunnerError::Deadline { timeout_ms: 30 },
        "before an empty queue it is tried"
    );
}

#[tokio::test]
async fn a_switch_is_complete_and_the_old_version_finishes() {
    let service = service(Sleeper::new(1.0), one_at_a_time());
    let slow: Vec<_> = (0..3)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.submit(nap(40, "a")).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let next = Version::of_threads(2, "naps", Sleeper::new(2.0), service.desk()).unwrap();
    let before = service.switch(next).unwrap();
    assert_eq!(number(&service.submit(nap(0, "a")).await), [2.0]);
    before.drain().await;
    for task in slow {
        assert_eq!(number(&task.await.unwrap()), [1.0]);
    }
    assert_eq!(before.statistics().count(Outcome::Ok), 3);
    assert_eq!(service.statistics().count(Outcome::Ok), 4);
    let error = service.submit_to(&before, nap(0, "a")).await.unwrap_err();
    assert_eq!(error, RunnerError::Stopping);
    assert_eq!(service.serving().unwrap().number(), 2);
}

#[tokio::test]
async fn requests_wait_for_a_first_version_and_wake_it() {
    let service = Service::new("naps", one_at_a_time(), Events::default()).unwrap();
    let service = Arc::new(service);
    let woken = Arc::new(AtomicUsize::new(0));
    let (of, count) = (Arc::downgrade(&service), woken.clone());
    service.sleep_until_asked(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let service = of.upgrade().unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let version = Version::of_threads(1, "naps", Sleeper::new(3.0), service.desk());
            service.switch(version.unwrap());
        });
    });
    assert_eq!(service.state(), ServiceState::Asleep);
    let (one, two) = tokio::join!(service.submit(nap(0, "a")), service.submit(nap(0, "b")));
    assert_eq!((number(&one), number(&two)), (vec![3.0], vec![3.0]));
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    service.stop().await;
    assert_eq!(service.submit(nap(0, "a")).await.unwrap_err(), RunnerError::Stopping);

    let failed = Service::new("none", one_at_a_time(), Events::default()).unwrap();
    failed.fail_start("the model is gone".into());
    let error = failed.submit(nap(0, "a")).await.unwrap_err();
    assert_eq!(error.to_string(), "the service is broken: the model is gone");
}

#[tokio::test]
async fn requests_run_together_when_there_are_enough_or_when_it_is_time() {
    let runner = Sleeper::new(1.0);
    let limits = Limits { queue: 16, max_batch: 4, ..one_at_a_time() };
    let service = service(runner.clone(), limits);
    let begun = Instant::now();
    service.submit(nap(0, "a")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(20), "one alone waits for others");
    let four = (0..4).map(|_| {
        let service = service.clone();
        tokio::spawn(async move { service.submit(nap(0, "a")).await })
    });
    let begun = Instant::now();
    for task in four.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    assert!(begun.elapsed() < Duration::from_millis(20), "enough do not");
    assert_eq!(runner.batches.load(Ordering::Relaxed), 2);
}

/// Small tensors for a model that was fast are answered on the thread that asks.
#[tokio::test]
async fn what_is_quick_is_not_handed_over() {
    struct Where(ModelInfo);
    impl Runner for Where {
        fn info(&self) -> &ModelInfo {
            &self.0
        }

        fn run(&self, _: &Request) -> Result<Response, RunnerError> {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            Err(RunnerError::Failed(name))
        }
    }
    let service = service(Arc::new(Where(ModelInfo::default())), one_at_a_time());
    let tensors = |bytes: usize| {
        let zeros = Tensor::new([bytes], vec![0u8; bytes]).unwrap();
        Request::tensors("s", vec![("x".into(), zeros)])
    };
    let place = async |request| service.submit(request).await.unwrap_err().to_string();
    assert_eq!(place(tensors(8)).await, "naps-0", "nothing is known yet");
    let here = std::thread::current().name().unwrap().to_owned();
    let mut quick = String::new();
    for _ in 0..50 {
        quick = place(tensors(8)).await;
    }
    assert_eq!(quick, here);
    assert_eq!(place(tensors((64 << 10) + 1)).await, "naps-0");
    assert_eq!(place(nap(0, "a")).await, "naps-0");
}
