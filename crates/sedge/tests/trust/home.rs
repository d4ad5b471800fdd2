//! A directory with a configuration, models and a root, and the program that serves it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Ask, Client, exchange};
use crate::models::model;
use crate::program;

/// Longest wait for what is to happen on a busy machine.
const LATE: Duration = Duration::from_secs(60);

pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    /// A home with one model file and a service for each of the names.
    pub(crate) fn new(services: &[(&str, &str)]) -> Self {
        let home = Self { directory: tempfile::tempdir().unwrap() };
        for (name, _) in services {
            home.put(name, 1.0);
        }
        home.configure(services);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// Exchanges the model of a service, whole at every moment.
    pub(crate) fn put(&self, service: &str, constant: f32) {
        self.put_bytes(service, &model(constant));
    }

    pub(crate) fn put_bytes(&self, service: &str, bytes: &[u8]) {
        let new = self.path(&format!("{service}.new"));
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.path(&format!("{service}.onnx"))).unwrap();
    }

    /// Writes a configuration: a section for each service with these keys besides.
    pub(crate) fn configure(&self, services: &[(&str, &str)]) {
        let mut text = String::new();
        for (name, keys) in services {
            let given = keys.contains("model =");
            let model = if given { String::new() } else { format!("model = '{name}.onnx'\n") };
            writeln!(text, "[[service]]\nname = '{name}'\n{model}threads = 1\n{keys}").unwrap();
        }
        fs::write(self.path("sedge.toml"), text).unwrap();
    }

    /// Starts the program and waits until it listens.
    pub(crate) fn serve(&self) -> Core {
        let (mut core, listening) = self.begin();
        let address = listening.recv_timeout(LATE);
        core.address = Some(address.unwrap_or_else(|_| panic!("it ended: {}", self.log())));
        core
    }

    /// Starts the program.
    pub(crate) fn launch(&self) -> Core {
        self.begin().0
    }

    fn begin(&self) -> (Core, mpsc::Receiver<SocketAddr>) {
        let (config, root) = (self.path("sedge.toml"), self.root());
        let mut child = program::command(&["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .arg("--root")
            .arg(&root)
            .env_remove("SEDGE_ONNXRUNTIME")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (told, listening) = mpsc::sync_channel(1);
        let path = self.path("log");
        std::thread::spawn(move || {
            let mut all = String::new();
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("address=") {
                    let address = address.split_whitespace().next().unwrap();
                    let _ = told.try_send(address.parse().unwrap());
                }
                writeln!(all, "{line}").unwrap();
                let _ = fs::write(&path, &all);
            }
        });
        (Core { child, address: None, root }, listening)
    }

    /// `sedge service ACTION --root ROOT`.
    pub(crate) fn service(&self, action: &[&str]) -> Output {
        let mut command = program::command(&["service"]);
        command.args(action).arg("--root").arg(self.root()).output().unwrap()
    }

    /// The same, which has to go well.
    #[track_caller]
    pub(crate) fn does(&self, action: &[&str]) -> String {
        let output = self.service(action);
        let said = program::text(&output.stdout) + &program::text(&output.stderr);
        assert!(output.status.success(), "{action:?}: {said}{}", self.log());
        said
    }

    /// The same, which has to fail with these words.
    #[track_caller]
    pub(crate) fn fails(&self, action: &[&str], words: &[&str]) {
        let output = self.service(action);
        let said = program::text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{action:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{action:?} does not say '{word}': {said}");
        }
    }

    /// What the program said, for whoever reads why a test failed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// A running `sedge serve`, stopped when it goes out of scope; nothing of it may remain.
pub(crate) struct Core {
    child: Child,
    address: Option<SocketAddr>,
    root: PathBuf,
}

impl Core {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub(crate) fn control(&self) -> UnixStream {
        UnixStream::connect(self.root.join("run/control.sock")).unwrap()
    }

    /// What the control socket says of a service.
    pub(crate) fn status(&self, service: &str) -> Value {
        let mut stream = self.control();
        let path = format!("/api/v1/services/{service}");
        let (status, body) = exchange(&mut stream, "GET", &path, b"").unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The process of a service.
    pub(crate) fn worker(&self, service: &str) -> Option<u32> {
        self.status(service)["backend"]["pid"].as_u64().map(|pid| pid as u32)
    }

    /// Waits until a service is in a state; what is told of it then.
    #[track_caller]
    pub(crate) fn wait_for(&self, service: &str, state: &str) -> Value {
        self.wait_until(service, |status| status["state"] == state)
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, service: &str, is: impl Fn(&Value) -> bool) -> Value {
        let late = Instant::now() + LATE;
        loop {
            let status = self.status(service);
            if is(&status) {
                return status;
            }
            assert!(Instant::now() < late, "{service} does not get there: {status:#}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks the least; what the service adds.
    #[track_caller]
    pub(crate) fn constant(&self, service: &str) -> f32 {
        self.client()
            .infer(service, Ask::quick(0.0))
            .unwrap_or_else(|refusal| panic!("{refusal}"))
            .y
    }

    /// Asks a service the least again and again while `act` is done, every answer of which has to
    /// be right; how often.
    pub(crate) fn beside(&self, service: &str, act: impl FnOnce()) -> u32 {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let (mut client, mut answered) = (self.client(), 0_u32);
                while !over.load(Ordering::Relaxed) {
                    let x = (answered % 1000) as f32;
                    assert_eq!(client.infer(service, Ask::quick(x)).unwrap().y, x + 1.0);
                    answered += 1;
                    std::thread::sleep(Duration::from_millis(4));
                }
                answered
            });
            // Also when `act` panics, else this would wait for ever.
            let done = catch_unwind(AssertUnwindSafe(act));
            over.store(true, Ordering::Relaxed);
            let answered = asking.join();
            done.unwrap_or_else(|panic| resume_unwind(panic));
            answered.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    pub(crate) fn signal(&self, name: &str) {
        kill(name, self.pid());
    }

    /// Kills it without a chance to tidy up, and waits until its workers are gone too; who they
    /// were.
    pub(crate) fn kill(mut self) -> Vec<u32> {
        self.end()
    }

    fn end(&mut self) -> Vec<u32> {
        let workers = children(self.pid());
        let _ = self.child.kill();
        let _ = self.child.wait();
        until("workers end with the core", || workers.iter().all(|&pid| !is_alive(pid)));
        workers
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.child.try_wait().unwrap().is_none() {
            let workers = children(self.pid());
            self.signal("TERM");
            until("it stops", || self.child.try_wait().unwrap().is_some());
            assert!(self.child.wait().unwrap().success());
            until("workers end with the core", || !workers.iter().any(|&pid| is_alive(pid)));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something that is to happen soon.
#[track_caller]
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let late = Instant::now() + LATE;
    while !is() {
        assert!(Instant::now() < late, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let mut command = std::process::Command::new("kill");
    let _ = command.args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Processes that this one started and that were not waited for, zombies among them.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let processes = entries(Path::new("/proc")).into_iter().filter_map(|name| name.parse().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned());
        fields.is_some_and(|rest| rest.split(' ').nth(1) == Some(&parent.to_string()))
    };
    processes.filter(is_child).collect()
}

/// Whether there is such a process, and it is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Entries of a directory, sorted; none when there is none.
pub(crate) fn entries(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
