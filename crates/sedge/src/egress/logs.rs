//! Lines of logs to CloudWatch, by way of the spool: one thread takes them, one sends them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use sedge_cloud::{Aws, LogEvent, Stop, log_batches};
use sedge_greengrass::LogSink;
use sedge_spool::{Consumer, Entry, Priority, Record, Settled, Spool};

const DESTINATION: &str = "logs";
/// What groups of CloudWatch begin with (specification, section 9.2).
const GROUPS: &str = "/aws/greengrass/";
/// Texts that wait for the thread that keeps them.
const MOST_WAITING: usize = 1024;
/// Bytes of a log's lines that are kept as one.
const TOGETHER_BYTES: usize = 64 << 10;
/// Longest time until lines are kept.
const TOGETHER_TIME: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Lines with their time in milliseconds since 1970.
type Lines = Vec<(i64, String)>;

/// Sends lines of logs to CloudWatch.
pub(super) struct LogShipper {
    inlet: Arc<Inlet>,
    stop: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Where functions' lines come in.
struct Inlet {
    sender: Mutex<Option<SyncSender<(String, i64, String)>>>,
    missed: AtomicU64,
}

impl LogSink for Inlet {
    fn take(&self, log: &str, lines: &[u8]) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let text = String::from_utf8_lossy(lines).into_owned();
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = sender.as_ref().map(|sender| sender.try_send((log.to_owned(), time, text)));
        if !matches!(sent, Some(Ok(()))) && self.missed.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("lines of logs come faster than they can be kept for CloudWatch");
        }
    }
}

impl LogShipper {
    /// Begins; `stream` is the end of streams' names, after the day.
    pub(super) fn start(spool: &Spool, aws: &Aws, stream: String) -> Result<Self> {
        let (sender, taken) = sync_channel(MOST_WAITING);
        let inlet = Arc::new(Inlet { sender: Mutex::new(Some(sender)), missed: AtomicU64::new(0) });
        let stop = Arc::new(Stop::default());
        let (keeper, consumer) = (Keeper { spool: spool.clone() }, spool.consumer(DESTINATION)?);
        let to = sedge_cloud::Logs::new(aws.clone());
        let sender = Sender { consumer, to, aws: aws.clone(), stream, stop: stop.clone() };
        let threads = vec![
            Builder::new().name("logs".into()).spawn(move || keeper.run(&taken))?,
            Builder::new().name("logs".into()).spawn(move || sender.run())?,
        ];
        Ok(Self { inlet, stop, threads: Mutex::new(threads) })
    }

    /// Where lines come in.
    pub(super) fn sink(&self) -> Arc<dyn LogSink> {
        self.inlet.clone()
    }

    /// Keeps what came in, and ends.
    pub(super) fn stop(&self) {
        drop(self.inlet.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.stop.stop();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in std::mem::take(&mut *threads) {
            let _ = thread.join();
        }
    }
}

/// Keeps lines in the spool, those of a log together.
struct Keeper {
    spool: Spool,
}

impl Keeper {
    fn run(&self, taken: &Receiver<(String, i64, String)>) {
        let mut together: BTreeMap<String, (Lines, usize)> = BTreeMap::new();
        let mut since = Instant::now();
        loop {
            let came = taken.recv_timeout(TOGETHER_TIME.saturating_sub(since.elapsed()));
            let ends = matches!(came, Err(RecvTimeoutError::Disconnected));
            if let Ok((log, time, text)) = came {
                let (lines, bytes) = together.entry(log.clone()).or_default();
                *bytes += text.len();
                lines.extend(text.lines().map(|line| (time, line.to_owned())));
                if *bytes >= TOGETHER_BYTES
                    && let Some((lines, _)) = together.remove(&log)
                {
                    self.keep(&log, &lines);
                }
            }
            if ends || since.elapsed() >= TOGETHER_TIME {
                for (log, (lines, _)) in std::mem::take(&mut together) {
                    self.keep(&log, &lines);
                }
                since = Instant::now();
            }
            if ends {
                return;
            }
        }
    }

    fn keep(&self, log: &str, lines: &Lines) {
        let Ok(body) = serde_json::to_vec(lines) else { return };
        let (headers, priority) = (log.as_bytes(), Priority::Low);
        let entry = Entry { destination: DESTINATION, priority, headers, body: &body };
        if let Err(error) = self.spool.append(&entry) {
            tracing::warn!(log, "lines are not kept for CloudWatch: {error}");
        }
    }
}

/// Sends what waits.
struct Sender {
    consumer: Consumer,
    to: sedge_cloud::Logs,
    aws: Aws,
    stream: String,
    stop: Arc<Stop>,
}

impl Sender {
    fn run(&self) {
        while !self.stop.wait(Duration::ZERO) {
            match self.consumer.next(LOOK_EVERY) {
                Ok(Some(record)) => {
                    let Some(settled) = self.send(&record) else { return };
                    if let Err(error) = self.consumer.settle(record.id, settled) {
                        tracing::error!("lines of a log may be sent again: {error}");
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!("lines of logs cannot be read: {error}");
                    let _ = self.stop.wait(Duration::from_secs(10));
                }
            }
        }
    }

    /// Sends a record, however long that takes; nothing when it is to end.
    fn send(&self, record: &Record) -> Option<Settled> {
        let log = String::from_utf8_lossy(&record.headers);
        let Ok(lines) = serde_json::from_slice::<Lines>(&record.body) else {
            tracing::error!(%log, "what waits is no log");
            return Some(Settled::Refused);
        };
        let now = self.aws.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let day = record.appended.duration_since(UNIX_EPOCH).unwrap_or_default();
        let stream = format!("{}/{}", date(day), self.stream);
        let group = format!("{GROUPS}{log}");
        let event = |(timestamp_ms, message): (i64, String)| LogEvent { timestamp_ms, message };
        let events = lines.into_iter().filter(|(_, text)| !text.is_empty()).map(event);
        let batches = log_batches(events, now);
        if !batches.left_out.is_empty() {
            let count = batches.left_out.len();
            tracing::warn!(%log, count, "CloudWatch takes no such lines: {}", batches.left_out[0].problem);
        }
        for request in &batches.requests {
            let mut failures = 0;
            while let Err(error) = self.to.put(&group, &stream, request) {
                failures += 1;
                let Some(pause) = error.pause(failures) else {
                    tracing::error!(%log, "lines were refused: {error}");
                    return Some(Settled::Refused);
                };
                if failures == 1 {
                    tracing::warn!(%log, "lines wait for CloudWatch: {error}");
                }
                if self.stop.wait(pause) {
                    return None;
                }
            }
        }
        Some(Settled::Delivered)
    }
}

/// The day of a time since 1970 in UTC: `2019/07/11`.
fn date(since: Duration) -> String {
    // The year 9999 is the last that has four digits.
    let since = since.min(Duration::from_secs(253_402_300_799));
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.get(..10).unwrap_or_default().replace('-', "/")
}
