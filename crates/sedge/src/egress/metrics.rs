//! Metrics from the spool to CloudWatch: together as far as their connector says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use sedge_cloud::{Aws, Measured, Metrics, Stop, metric_batches};
use sedge_greengrass::{Metric, MetricsConnector, metrics_destination};
use sedge_spool::{Consumer, Id, Settled, Spool};
use tokio::runtime::Handle;

/// Metrics of a namespace that are sent without waiting for more (specification, section 4.5).
const TOGETHER: usize = 20;
/// Metrics that are held while others of their namespaces are waited for.
const MOST_HELD: usize = 200;
/// How long a thread waits before it looks whether it is to do something else.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A thread for each region that metrics go to.
pub(super) struct MetricsSender {
    shared: Arc<Shared>,
    threads: Mutex<BTreeMap<String, JoinHandle<()>>>,
}

struct Shared {
    spool: Spool,
    aws: Aws,
    runtime: Handle,
    stop: Stop,
    /// Who is told, by the name under which its metrics wait.
    connectors: Mutex<BTreeMap<String, MetricsConnector>>,
}

impl MetricsSender {
    pub(super) fn new(spool: &Spool, aws: &Aws, runtime: Handle) -> Self {
        let shared = Shared {
            spool: spool.clone(),
            aws: aws.clone(),
            runtime,
            stop: Stop::default(),
            connectors: Mutex::default(),
        };
        Self { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Sends what a connector takes, and tells it.
    pub(super) fn serve(&self, connector: MetricsConnector) -> anyhow::Result<()> {
        let region = connector.parameters().region.clone();
        let destination = metrics_destination(region.as_deref());
        let mut connectors = self.shared.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        connectors.insert(destination.clone(), connector);
        drop(connectors);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.contains_key(&destination) {
            return Ok(());
        }
        let aws = match &region {
            Some(region) => self.shared.aws.in_region(region)?,
            None => self.shared.aws.clone(),
        };
        let consumer = self.shared.spool.consumer(&destination)?;
        let (shared, name) = (self.shared.clone(), destination.clone());
        let run =
            move || Lane { shared: &shared, name: &name, consumer, to: Metrics::new(aws) }.run();
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(run)?;
        threads.insert(destination, thread);
        Ok(())
    }

    /// Ends the threads; what was not sent waits for the next start.
    pub(super) fn stop(&self) {
        self.shared.stop.stop();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, thread) in std::mem::take(&mut *threads) {
            let _ = thread.join();
        }
    }
}

/// What goes to one region.
struct Lane<'a> {
    shared: &'a Shared,
    name: &'a str,
    consumer: Consumer,
    to: Metrics,
}

/// Metrics of a namespace that wait for others.
struct Held {
    metrics: Vec<(Id, Metric)>,
    since: Instant,
}

impl Lane<'_> {
    fn run(&self) {
        let mut held: BTreeMap<String, Held> = BTreeMap::new();
        while !self.shared.stop.wait(Duration::ZERO) {
            let interval = self.connector().map_or(LOOK_EVERY, |it| it.parameters().interval);
            match self.consumer.next(interval.min(LOOK_EVERY)) {
                Ok(Some(record)) => match serde_json::from_slice::<Metric>(&record.body) {
                    Ok(metric) => {
                        let of_namespace = held.entry(metric.namespace.clone());
                        let fresh = || Held { metrics: Vec::new(), since: Instant::now() };
                        of_namespace.or_insert_with(fresh).metrics.push((record.id, metric));
                    }
                    Err(error) => {
                        tracing::error!("what waits is no metric: {error}");
                        self.settle(&[record.id], Settled::Refused);
                    }
                },
                Ok(None) => {}
                Err(error) => {
                    tracing::error!("metrics cannot be read: {error}");
                    let _ = self.shared.stop.wait(Duration::from_secs(10));
                }
            }
            let all: usize = held.values().map(|held| held.metrics.len()).sum();
            let is_due = |held: &Held| {
                held.metrics.len() >= TOGETHER
                    || all >= MOST_HELD
                    || held.since.elapsed() >= interval
            };
            let due: Vec<String> = held
                .iter()
                .filter(|(_, held)| is_due(held))
                .map(|(name, _)| name.clone())
                .collect();
            for namespace in due {
                let Some(held) = held.remove(&namespace) else { continue };
                if !self.send(&namespace, held.metrics) {
                    return;
                }
            }
        }
    }

    /// Sends metrics of a namespace, however long that takes; false when it is to end.
    fn send(&self, namespace: &str, mut metrics: Vec<(Id, Metric)>) -> bool {
        for attempt in 1.. {
            let ids =
                |metrics: &[(Id, Metric)]| metrics.iter().map(|(id, _)| *id).collect::<Vec<_>>();
            let data = metrics.iter().map(|(_, metric)| datum(metric));
            let batches = metric_batches(namespace, data, self.shared.aws.now());
            for left_out in &batches.left_out {
                self.tell(namespace, Err(("InvalidInputException", &left_out.problem)));
            }
            // Twenty are one request.
            let request = batches.requests.concat();
            let sent = match request.is_empty() {
                true => Ok(None),
                false => self.to.put(namespace, &request).map(|accepted| accepted.request_id),
            };
            let pause = match sent {
                Ok(id) => {
                    if let Some(id) = id.or_else(|| (!request.is_empty()).then(String::new)) {
                        self.tell(namespace, Ok(&id));
                    }
                    self.settle(&ids(&metrics), Settled::Delivered);
                    return true;
                }
                Err(error) => match error.pause(attempt) {
                    Some(pause) => pause,
                    None => {
                        self.tell(namespace, Err((error.code(), &error.to_string())));
                        self.settle(&ids(&metrics), Settled::Refused);
                        return true;
                    }
                },
            };
            if attempt == 1 {
                tracing::warn!(namespace, "metrics wait for CloudWatch");
            }
            if self.shared.stop.wait(pause) {
                return false;
            }
            self.forget_oldest(&mut metrics);
            if metrics.is_empty() {
                break;
            }
        }
        true
    }

    /// Of more metrics than the connector is to retain, the oldest go.
    fn forget_oldest(&self, metrics: &mut Vec<(Id, Metric)>) {
        let most = self.connector().map_or(u64::MAX, |it| it.parameters().most_waiting);
        let lanes = self.shared.spool.status().lanes;
        let of_this = lanes.iter().filter(|lane| lane.destination == self.name);
        let waiting: u64 = of_this.map(|lane| lane.records).sum();
        let too_many = usize::try_from(waiting.saturating_sub(most)).unwrap_or(usize::MAX);
        let forgotten: Vec<Id> =
            metrics.drain(..too_many.min(metrics.len())).map(|(id, _)| id).collect();
        self.settle(&forgotten, Settled::Discarded);
        for _ in forgotten.len()..too_many {
            let Ok(Some(record)) = self.consumer.try_next() else { return };
            self.settle(&[record.id], Settled::Discarded);
        }
    }

    fn settle(&self, ids: &[Id], settled: Settled) {
        for id in ids {
            if let Err(error) = self.consumer.settle(*id, settled) {
                tracing::error!("a metric may be sent again: {error}");
            }
        }
    }

    fn tell(&self, namespace: &str, sent: Result<&str, (&str, &str)>) {
        if let Some(connector) = self.connector() {
            self.shared.runtime.block_on(connector.tell(namespace, sent));
        }
    }

    fn connector(&self) -> Option<MetricsConnector> {
        let connectors = self.shared.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        connectors.get(self.name).cloned()
    }
}

fn datum(metric: &Metric) -> sedge_cloud::Metric {
    sedge_cloud::Metric {
        name: metric.name.clone(),
        dimensions: metric.dimensions.clone(),
        timestamp: Some(UNIX_EPOCH + Duration::from_millis(metric.time_ms)),
        value: Measured::One(metric.value),
        unit: metric.unit.clone(),
        high_resolution: false,
    }
}
