use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::task::Answer;
use crate::{Backend, BackendStatus, ModelInfo, Request, Runner, RunnerError, Task};

/// Threads of this process that answer with a [`Runner`].
///
/// They end when this is dropped and what they were given is answered.
pub(crate) struct Threads {
    runner: Arc<dyn Runner>,
    given: Arc<Given>,
}

/// What the threads are to do; the desk gives no more than there are threads.
#[derive(Default)]
struct Given {
    tasks: Mutex<(VecDeque<Task>, bool)>,
    more: Condvar,
}

impl Threads {
    pub(crate) fn start(
        name: &str,
        runner: Arc<dyn Runner>,
        count: usize,
    ) -> std::io::Result<Self> {
        let threads = Self { runner, given: Arc::default() };
        for index in 0..count.max(1) {
            let (runner, given) = (threads.runner.clone(), threads.given.clone());
            let thread = std::thread::Builder::new().name(format!("{name}-{index}"));
            thread.spawn(move || {
                while let Some(task) = given.next() {
                    let requests: Vec<_> = task.requests().collect();
                    let answers = run_contained(runner.as_ref(), &requests);
                    task.finish(answers);
                }
            })?;
        }
        Ok(threads)
    }
}

impl Backend for Threads {
    fn info(&self) -> &ModelInfo {
        self.runner.info()
    }

    fn begin(&self, task: Task) {
        self.given.tasks.lock().unwrap_or_else(PoisonError::into_inner).0.push_back(task);
        self.given.more.notify_one();
    }

    fn answer_here(&self, request: &Request) -> Option<Answer> {
        run_contained(self.runner.as_ref(), &[request]).pop()
    }

    fn status(&self) -> BackendStatus {
        BackendStatus { isolation: "thread".into(), ..BackendStatus::default() }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.given.tasks.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.given.more.notify_all();
    }
}

impl Given {
    /// The next task; `None` when there will be no more.
    fn next(&self) -> Option<Task> {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = |(tasks, over): &mut (VecDeque<Task>, bool)| tasks.is_empty() && !*over;
        let waited = self.more.wait_while(tasks, nothing);
        waited.unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }
}

/// Answers requests with a runner that may panic.
pub fn run_contained(runner: &dyn Runner, requests: &[&Request]) -> Vec<Answer> {
    catch_unwind(AssertUnwindSafe(|| runner.run_batch(requests))).unwrap_or_else(|_| {
        let error = RunnerError::Failed("the request made the pipeline panic".into());
        vec![Err(error); requests.len()]
    })
}
