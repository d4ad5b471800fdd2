//! What a worker's process does: loads one model, shuts itself in, and answers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sedge_service::{Guard, ModelInfo, Request, Runner, run_contained};

use crate::channel::{self, Seen};
use crate::message::{self, LoadSpec, Ready};
use crate::sandbox;

/// Time without requests after which memory is handed back.
const IDLE: Duration = Duration::from_secs(10);

/// A model that is ready to answer.
pub type Loaded = Box<dyn Runner>;

/// Serves the core at the other end of standard input until that is gone.
///
/// `load` makes what was asked for ready, or says why not; `idle` is called after each burst of
/// requests. Nothing is loaded before the file system is out of reach, and nothing answered before
/// the rest is.
pub fn run(load: impl FnOnce(&LoadSpec) -> Result<Loaded, String>, idle: fn()) -> ExitCode {
    match serve(load, idle) {
        Ok(()) => ExitCode::SUCCESS,
        // The core is gone or talks nonsense; there is nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(load: impl FnOnce(&LoadSpec) -> Result<Loaded, String>, idle: fn()) -> io::Result<()> {
    let control = rustix::io::dup(std::io::stdin().as_fd())?;
    rustix::io::fcntl_setfd(&control, rustix::io::FdFlags::CLOEXEC)?;
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32);
    if !sandbox::die_with_parent(parent) {
        return Ok(());
    }
    let asked = channel::receive(control.as_fd())?;
    let spec: LoadSpec = message::unpack_plain(&asked)?;
    let mut readable = spec.readable.clone();
    readable.push(spec.model.clone());
    let mut walls = sandbox::before_loading(&readable);
    let loaded = catch_unwind(AssertUnwindSafe(|| load(&spec)))
        .unwrap_or_else(|_| Err("the model made the program panic".to_owned()));
    let runner: Arc<dyn Runner> = match loaded {
        Ok(runner) => runner.into(),
        Err(error) => return tell(control.as_fd(), Err(error), walls),
    };
    warm_up(runner.as_ref());
    let answered = Arc::new(AtomicU64::new(0));
    walls.push(sandbox::after_loading());
    tell(control.as_fd(), Ok(runner.info().clone()), walls)?;
    for lane in asked.descriptors {
        let (runner, answered) = (runner.clone(), answered.clone());
        let lane_thread = std::thread::Builder::new().name("lane".into());
        lane_thread.spawn(move || answer(&lane, runner.as_ref(), &answered))?;
    }
    wait_for_end(control.as_fd(), &answered, idle);
    // Threads may be in the middle of something that nobody waits for.
    std::process::exit(0);
}

fn tell(
    control: BorrowedFd<'_>,
    info: Result<ModelInfo, String>,
    sandbox: Vec<Guard>,
) -> io::Result<()> {
    channel::send(control, &message::pack_plain(&Ready { info, sandbox })?, &[])
}

/// What libraries open on their first run they cannot open any more afterwards.
fn warm_up(runner: &dyn Runner) {
    let zeros =
        |info: &sedge_engine::TensorInfo| info.zeros().map(|tensor| (info.name.clone(), tensor));
    if let Some(inputs) = runner.info().inputs.iter().map(zeros).collect() {
        let request = Request::tensors("warm-up", inputs);
        run_contained(runner, &[&request]);
    }
}

/// Answers on one lane until the core is gone.
fn answer(lane: &OwnedFd, runner: &dyn Runner, answered: &AtomicU64) {
    let (mut seen, mut kept) = (Seen::believed(), None);
    while let Ok(message) = channel::receive_with(lane.as_fd(), Some(&mut seen)) {
        let Ok(requests) = message::unpack_requests(&message) else { return };
        let all: Vec<&Request> = requests.iter().collect();
        let mut answers = run_contained(runner, &all);
        let parcel = message::pack_answers(&mut answers, Some(&mut kept));
        // The core writes the next request where this one lies as soon as it has the answer.
        drop((answers, requests, message));
        answered.fetch_add(1, Ordering::Relaxed);
        if parcel.and_then(|parcel| channel::send(lane.as_fd(), &parcel, &[])).is_err() {
            return;
        }
    }
}

/// Waits until the core is gone, and has memory handed back when no requests come.
fn wait_for_end(control: BorrowedFd<'_>, answered: &AtomicU64, idle: fn()) {
    let timeout = Timespec { tv_sec: IDLE.as_secs() as i64, tv_nsec: 0 };
    let (mut before, mut released) = (0, 0);
    loop {
        let mut watched = [PollFd::new(&control, PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(0) => {
                let now = answered.load(Ordering::Relaxed);
                if now == before && now != released {
                    idle();
                    released = now;
                }
                before = now;
            }
            Err(rustix::io::Errno::INTR) => {}
            // Nothing is ever said after the beginning: it is gone.
            _ => return,
        }
    }
}
