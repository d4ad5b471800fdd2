//! mosquitto and its subscriber as processes, ended with the test.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::LONG;

/// A broker on a port of its own.
pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    pub(crate) place: TempDir,
    process: Option<Child>,
}

impl Mosquitto {
    /// With anonymous clients and no TLS.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// With more lines in its configuration; `PLACE` in them is its directory.
    pub(crate) fn with(lines: &str) -> Self {
        Self::prepared(lines, |_| {})
    }

    /// The same, where files have to be in its directory before.
    pub(crate) fn prepared(lines: &str, prepare: impl FnOnce(&Path)) -> Self {
        let place = TempDir::new().unwrap();
        prepare(place.path());
        let port = free_port();
        let directory = place.path().display().to_string();
        let configuration = format!(
            // As root it would become another user, who cannot read the directory.
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n\
             persistence true\npersistence_location {directory}/\nautosave_interval 1\n\
             autosave_on_changes true\nmax_queued_messages 0\nlog_dest file {directory}/log\n\
             log_type all\n{}\n",
            lines.replace("PLACE", &directory)
        );
        std::fs::write(place.path().join("mosquitto.conf"), configuration).unwrap();
        let mut broker = Self { port, place, process: None };
        broker.restart();
        broker
    }

    /// Starts it on the same port, with what it had kept.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let path = std::env::var("PATH").unwrap_or_default();
        let process = Command::new("mosquitto")
            // Debian has it where ordinary users do not look.
            .env("PATH", format!("{path}:/usr/sbin"))
            .arg("-c")
            .arg(self.place.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: {MISSING}"));
        self.process = Some(process);
        let end = Instant::now() + LONG;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "mosquitto: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Ends it in good order; it keeps its sessions.
    pub(crate) fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            let pid = process.id().to_string();
            assert!(Command::new("kill").arg(pid).status().unwrap().success());
            process.wait().unwrap();
        }
    }

    /// What it wrote down.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.place.path().join("log")).unwrap_or_default()
    }

    /// Publishes by its own client.
    pub(crate) fn publish(&self, arguments: &[&str]) {
        let port = self.port.to_string();
        let status = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port])
            .args(arguments)
            .status()
            .unwrap_or_else(|error| panic!("{error}: {MISSING}"));
        assert!(status.success());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

const MISSING: &str = "these tests need mosquitto and its clients. \
                       Hint: apt-get install mosquitto mosquitto-clients";

/// A port that nobody has. It is asked for again at once, so that nobody else gets it.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// mosquitto's own subscriber, with a session that outlives the broker.
pub(crate) struct Subscriber {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber {
    /// Prints what arrives as `TOPIC PAYLOAD`, from when the broker has the subscription.
    pub(crate) fn start(broker: &Mosquitto, filter: &str) -> Self {
        let port = broker.port.to_string();
        let mut process = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &port, "-t", filter, "-q", "1"])
            .args(["-i", "subscriber", "-c", "-F", "%t %p"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: {MISSING}"));
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (output, kept) = (process.stdout.take().unwrap(), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let end = Instant::now() + LONG;
        while !broker.log().contains("Sending SUBACK to subscriber") {
            assert!(Instant::now() < end, "no subscription: {}", broker.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { process, lines }
    }

    /// What has arrived.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Numbers of the messages to a topic, in the order of their arrival.
    pub(crate) fn numbers(&self, topic: &str) -> Vec<u64> {
        let lines = self.lines();
        let of_topic = lines.iter().filter_map(|line| line.strip_prefix(topic)?.strip_prefix(' '));
        of_topic.map(|number| number.parse().unwrap()).collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
