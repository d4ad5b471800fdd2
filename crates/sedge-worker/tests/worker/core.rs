//! What crosses between core and worker, and how both end.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sedge_service::{
    Events, Limits, Outcome, Request, Response, RunnerError, Service, ServiceState, Version,
};
use sedge_tensor::Tensor;
use sedge_worker::{Launch, LoadSpec, Worker};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("what_is_asked_comes_back", what_is_asked_comes_back),
    ("a_crash_is_the_callers_error_and_nobody_elses", a_crash_is_the_callers_error),
    ("what_crashes_always_is_given_up_until_reset", what_crashes_always_is_given_up),
    ("a_model_that_does_not_load_says_why", a_model_that_does_not_load_says_why),
    ("a_panic_is_an_error_of_its_request", a_panic_is_an_error_of_its_request),
    ("a_worker_that_is_dropped_is_gone", a_worker_that_is_dropped_is_gone),
    ("a_worker_ends_with_its_core", a_worker_ends_with_its_core),
    ("floods_of_text_do_no_harm", floods_of_text_do_no_harm),
];

pub(crate) fn limits() -> Limits {
    Limits { queue: 64, instances: 2, timeout_ms: 10_000, ..Limits::default() }
}

pub(crate) fn launch(conduct: &str) -> Launch {
    Launch {
        program: std::env::current_exe().unwrap(),
        arguments: vec![OsString::from("worker")],
        environment: Vec::new(),
        load: LoadSpec {
            service: conduct.into(),
            engine: "native".into(),
            threads: 1,
            lanes: 2,
            max_pixels: 1 << 20,
            ..LoadSpec::default()
        },
        load_timeout: Duration::from_secs(10),
        grace: Duration::from_millis(200),
        memory_bytes: None,
        most_ends: 4,
    }
}

/// A service whose requests a worker answers.
pub(crate) async fn start(launch: Launch, limits: Limits) -> (Arc<Service>, Arc<Worker>) {
    let service = Service::new("test", limits, Events::default()).unwrap();
    let desk = service.desk();
    let worker = Worker::start(launch, desk.clone()).await.unwrap();
    service.switch(Version::new(1, desk, worker.clone()));
    (Arc::new(service), worker)
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

pub(crate) fn small() -> Request {
    Request::tensors("test", vec![("x".into(), Tensor::vector(vec![1.0f32, 2.0]))])
}

pub(crate) async fn ask(service: &Service) -> Result<Response, RunnerError> {
    service.submit(small()).await
}

fn what_is_asked_comes_back() {
    block_on(async {
        let (service, _worker) = start(launch("echo"), limits()).await;
        for size in [0, 1, 1000, 65_536, 1_000_000, 9_000_000] {
            let tensor = Tensor::vector((0..size).map(|n| n as u8).collect::<Vec<_>>());
            let tensors =
                vec![("a".to_owned(), tensor.clone()), ("b".into(), Tensor::scalar(1i64))];
            let answer = service.submit(Request::tensors("test", tensors.clone())).await.unwrap();
            assert_eq!(answer.outputs, tensors, "{size}");
            let picture = tensor.shared_bytes();
            let answer = service.submit(Request::picture("test", picture.clone())).await.unwrap();
            assert_eq!(answer.outputs[0].1.bytes(), picture, "{size}");
        }
        let many = (0..64).map(|index| {
            let service = service.clone();
            tokio::spawn(async move {
                let tensor = Tensor::vector(vec![index; 30_000]);
                let request = Request::tensors("test", vec![("x".into(), tensor.clone())]);
                assert_eq!(service.submit(request).await.unwrap().outputs[0].1, tensor);
            })
        });
        for task in many.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

fn a_crash_is_the_callers_error() {
    block_on(async {
        let (other, _other_worker) = start(launch("echo"), limits()).await;
        let (service, worker) = start(launch("crash-second"), limits()).await;
        ask(&service).await.unwrap();
        let begun = Instant::now();
        let error = ask(&service).await.unwrap_err();
        assert!(matches!(error, RunnerError::Crashed(_)), "{error}");
        assert!(error.to_string().contains("SIGABRT"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        // It waits until the process is there again.
        ask(&service).await.unwrap();
        ask(&other).await.unwrap();
        let status = service.serving().unwrap().status();
        assert_eq!((status.restarts, service.state()), (1, ServiceState::Ready));
        assert!(status.last_error.unwrap().contains("SIGABRT"));
        assert!(worker.logs().iter().any(|line| line.text.contains("SIGABRT")));
    });
}

fn what_crashes_always_is_given_up() {
    block_on(async {
        let (service, worker) = start(launch("crash-always"), limits()).await;
        let mut crashes = 0;
        let error = loop {
            match ask(&service).await.unwrap_err() {
                RunnerError::Crashed(error) => {
                    assert!(error.contains("exit code 7"), "{error}");
                    crashes += 1;
                }
                error => break error,
            }
        };
        assert!((3..=4).contains(&crashes), "{crashes}");
        assert!(matches!(error, RunnerError::Broken(_)), "{error}");
        assert!(error.to_string().contains("Hint: sedge service logs"), "{error}");
        assert!(matches!(service.state(), ServiceState::Broken(_)));
        assert!(worker.logs().iter().any(|line| line.text == "something is very wrong"));
        service.serving().unwrap().reset();
        let error = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match ask(&service).await.unwrap_err() {
                RunnerError::Broken(_) => {}
                error => break error,
            }
        };
        assert!(matches!(error, RunnerError::Crashed(_)), "it is tried again: {error}");
    });
}

fn a_model_that_does_not_load_says_why() {
    for (conduct, word) in [
        ("refuse", "this model is none"),
        ("die-loading", "SIGABRT"),
        ("panic-loading", "made the program panic"),
        ("hang-loading", "not loaded within 1 s"),
    ] {
        block_on(async {
            let service = Service::new("test", limits(), Events::default()).unwrap();
            let launch = Launch { load_timeout: Duration::from_secs(1), ..launch(conduct) };
            let Err(error) = Worker::start(launch, service.desk()).await else {
                panic!("{conduct} started");
            };
            assert!(error.to_string().contains(word), "{error}");
        });
    }
    block_on(async {
        let service = Service::new("test", limits(), Events::default()).unwrap();
        let launch = Launch { program: "/nowhere/sedge".into(), ..launch("echo") };
        let error = Worker::start(launch, service.desk()).await.err().unwrap().to_string();
        assert!(error.contains("cannot start /nowhere/sedge"), "{error}");
    });
}

fn a_panic_is_an_error_of_its_request() {
    block_on(async {
        let (service, _worker) = start(launch("panic"), limits()).await;
        for _ in 0..3 {
            let error = ask(&service).await.unwrap_err();
            assert!(matches!(error, RunnerError::Failed(_)), "{error}");
        }
        assert_eq!(service.serving().unwrap().status().restarts, 0);
    });
}

fn alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok()
}

async fn gone(pid: u32) {
    let begun = Instant::now();
    while alive(pid) {
        assert!(begun.elapsed() < Duration::from_secs(5), "process {pid} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn a_worker_that_is_dropped_is_gone() {
    block_on(async {
        for conduct in ["echo", "loop"] {
            let (service, worker) = start(launch(conduct), limits()).await;
            let pid = service.serving().unwrap().status().pid.unwrap();
            assert!(alive(pid));
            if conduct == "loop" {
                let mut hasty = small();
                hasty.timeout_ms = Some(50);
                let _ = service.submit(hasty).await;
            }
            drop((service, worker));
            gone(pid).await;
        }
    });
}

/// A core with one worker that loops, which is killed from outside.
pub(crate) fn serve_until_killed() -> ExitCode {
    block_on(async {
        let long = Launch { grace: Duration::from_secs(60), ..launch("loop") };
        let (service, _worker) = start(long, limits()).await;
        println!("{}", service.serving().unwrap().status().pid.unwrap());
        let _ = ask(&service).await;
    });
    ExitCode::SUCCESS
}

fn a_worker_ends_with_its_core() {
    use std::io::BufRead;
    let mut core = Command::new(std::env::current_exe().unwrap())
        .arg("core")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(core.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid: u32 = line.trim().parse().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(alive(pid));
    core.kill().unwrap();
    core.wait().unwrap();
    block_on(gone(pid));
}

fn floods_of_text_do_no_harm() {
    block_on(async {
        let (service, worker) = start(launch("flood"), limits()).await;
        ask(&service).await.unwrap();
        assert_eq!(service.statistics().count(Outcome::Ok), 1);
        assert!(worker.logs().len() <= 500);
    });
}
