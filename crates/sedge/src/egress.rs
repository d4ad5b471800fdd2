//! What leaves the device: the spool, and who brings what waits there to the broker, to buckets and
//! to CloudWatch.

mod keys;
mod logs;
mod metrics;
mod outbox;
pub(crate) mod publish;
mod settings;
mod status;
mod taps;
mod told;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use sedge_cloud::mqtt::{Link, Qos};
use sedge_cloud::{Aws, Client, S3};
use sedge_feedback::{Configuration, Sampler, Uploads};
use sedge_greengrass::group::{Endpoint, Group, Parameters};
use sedge_greengrass::{Core, FeedbackConnector, LogSink, MetricsConnector, NoUplink, Uplink};
use sedge_service::Services;
use sedge_spool::Spool;
use tokio::runtime::Handle;

use crate::config::{self, Config};
use crate::{cloud, root};
pub(crate) use keys::DeviceKeys;
use logs::LogShipper;
use metrics::MetricsSender;
use outbox::{GroupInbox, Mailbox, SpoolOutbox};
use publish::Publisher;
use settings::Broker;
pub(crate) use taps::scores;
use taps::{Rules, Taps};
use told::Told;

/// Longest wait for acknowledgements at the end.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What leaves the device, from one configuration to the next.
pub(crate) struct Egress {
    root: PathBuf,
    services: Arc<Services>,
    now: Mutex<Option<Arc<Ways>>>,
    /// Open from the first time on that it is needed: who has samples and messages may have them
    /// longer than a configuration holds.
    kept: Mutex<Option<Kept>>,
    /// One change after the other.
    turn: tokio::sync::Mutex<()>,
}

/// What stays from one configuration to the next, so that answers between two are not missed.
#[derive(Clone)]
struct Kept {
    settings: config::Spool,
    spool: Spool,
    sampler: Sampler,
    taps: Arc<Taps>,
}

impl Kept {
    fn open(root: &Path, settings: &config::Spool) -> Result<Self> {
        let directory = root::spool(root);
        let spool = Spool::open(&directory, settings.options())?;
        tracing::info!(spool = %directory.display(), "what leaves the device waits here");
        let state = root.join("feedback");
        std::fs::create_dir_all(&state)
            .with_context(|| format!("cannot make {}", state.display()))?;
        let sampler = Sampler::new(spool.clone(), &state, None);
        let taps = Arc::new(Taps::start(sampler.clone()).context("no thread")?);
        Ok(Self { settings: settings.clone(), spool, sampler, taps })
    }
}

impl Egress {
    pub(crate) fn new(root: &Path, services: Arc<Services>) -> Self {
        let (now, kept, turn) = (Mutex::default(), Mutex::default(), tokio::sync::Mutex::default());
        Self { root: root.to_owned(), services, now, kept, turn }
    }

    fn kept(&self, settings: &config::Spool) -> Result<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept {
            if kept.settings != *settings {
                tracing::warn!("what [spool] says now holds from the next start on");
            }
            return Ok(kept.clone());
        }
        Ok(kept.insert(Kept::open(&self.root, settings)?).clone())
    }

    fn now(&self) -> MutexGuard<'_, Option<Arc<Ways>>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ways that a configuration and a group ask for, if they ask for any. Those of before go
    /// on where nothing of them changed.
    ///
    /// # Errors
    /// When a setting cannot be used; then those of before go on. When the spool is in use; then
    /// there are none.
    pub(crate) async fn apply(
        &self,
        config: &Config,
        group: Option<&Group>,
    ) -> Result<Option<Arc<Ways>>> {
        let _turn = self.turn.lock().await;
        let revision = settings::revision(config, group);
        let last = self.now().clone();
        if let (Some(last), Some(revision)) = (&last, &revision)
            && last.revision == *revision
        {
            last.outcomes.expect(group);
            return Ok(Some(last.clone()));
        }
        // What cannot be used is found out while the last ones still work.
        let peers = revision.is_some().then(|| Peers::of(config)).transpose()?;
        if let Some(last) = last {
            *self.now() = None;
            last.stop().await;
        }
        let (Some(revision), Some(peers)) = (revision, peers) else {
            if let Some(kept) = &*self.kept.lock().unwrap_or_else(PoisonError::into_inner) {
                kept.taps.set(&self.services, BTreeMap::new());
            }
            return Ok(None);
        };
        let kept = self.kept(&config.spool)?;
        let ways = Arc::new(Ways::open(kept, peers, config, group, revision)?);
        *self.now() = Some(ways.clone());
        Ok(Some(ways))
    }

    /// Looks at the answers of the services that a configuration names, which have to be there.
    ///
    /// # Errors
    /// When nobody can be found to bring samples to a bucket.
    pub(crate) fn watch(&self, config: &Config) -> Result<()> {
        let ways = self.now().clone();
        ways.map_or(Ok(()), |ways| ways.watch(config, &self.services))
    }

    /// Ends them; what waits goes on waiting.
    pub(crate) async fn stop(&self) {
        let _turn = self.turn.lock().await;
        if let Some(kept) = &*self.kept.lock().unwrap_or_else(PoisonError::into_inner) {
            kept.taps.stop(&self.services);
        }
        let last = self.now().take();
        if let Some(last) = last {
            last.stop().await;
        }
    }
}

/// Who is at the other ends.
struct Peers {
    broker: Broker,
    aws: Aws,
}

impl Peers {
    fn of(config: &Config) -> Result<Self> {
        let (broker, remote) = (Broker::of(config)?, cloud::remote(config)?);
        let client = Client::new(&remote).context("what leaves the device")?;
        Ok(Self { broker, aws: Aws::new(client, &remote, None)? })
    }
}

/// The ways out, with what was configured.
pub(crate) struct Ways {
    revision: String,
    thing: String,
    /// Name and port of the broker.
    broker: Option<String>,
    spool: Spool,
    aws: Aws,
    sampler: Sampler,
    uploads: Uploads,
    outcomes: Arc<Told>,
    mailbox: Option<Mailbox>,
    inbox: Arc<GroupInbox>,
    link: Mutex<Option<Link>>,
    taps: Arc<Taps>,
    metrics: MetricsSender,
    logs: Option<LogShipper>,
}

impl Ways {
    fn open(
        kept: Kept,
        peers: Peers,
        config: &Config,
        group: Option<&Group>,
        revision: String,
    ) -> Result<Self> {
        let Peers { broker, aws } = peers;
        let Kept { spool, sampler, taps, .. } = kept;
        sampler.set_daily_bytes(config.cloud.daily_mib.map(|mib| mib << 20));
        let outcomes = Arc::new(Told::default());
        outcomes.expect(group);
        let uploads = Uploads::start(&spool, &sampler, S3::new(aws.clone()), outcomes.clone())?;
        let inbox = Arc::new(GroupInbox::default());
        let (mut mailbox, mut link) = (None, None);
        let mut address = None;
        if let Some(settings) = broker.settings {
            address = Some(format!("{}:{}", settings.host, settings.port));
            mailbox = Some(Mailbox::new(spool.clone(), settings.limits));
            let outbox = Arc::new(SpoolOutbox::new(&spool)?);
            link = Some(Link::start(settings, outbox, inbox.clone(), Vec::new())?);
        }
        let logs = match group.filter(|group| group.loggers.iter().any(|logger| logger.cloud)) {
            Some(group) => {
                let stream = settings::log_stream(config, group, &broker.thing);
                Some(LogShipper::start(&spool, &aws, stream)?)
            }
            None => None,
        };
        let metrics = MetricsSender::new(&spool, &aws, Handle::current());
        Ok(Self {
            revision,
            thing: broker.thing,
            broker: address,
            spool,
            aws,
            sampler,
            uploads,
            outcomes,
            mailbox,
            inbox,
            link: Mutex::new(link),
            taps,
            metrics,
            logs,
        })
    }

    /// Looks at the answers of the services that a configuration names.
    fn watch(&self, config: &Config, services: &Services) -> Result<()> {
        let known: BTreeMap<&str, Configuration> =
            config.feedback.iter().map(|one| (one.name.as_str(), one.configuration())).collect();
        for configuration in known.values() {
            self.uploads.serve(&configuration.bucket)?;
        }
        let (mut rules, mut unpublished) = (BTreeMap::new(), false);
        for section in &config.service {
            let named = section.feedback.iter().filter_map(|name| known.get(name.as_str()));
            let publisher = section.publish.clone().and_then(|rule| {
                let Some(mailbox) = &self.mailbox else {
                    unpublished = true;
                    return None;
                };
                Some((Publisher::new(rule, self.thing.clone()), mailbox.clone()))
            });
            let of_service = Rules { samples: named.cloned().collect(), publisher };
            if !of_service.samples.is_empty() || of_service.publisher.is_some() {
                rules.insert(section.name(), of_service);
            }
        }
        if unpublished {
            tracing::warn!("predictions are not published: no broker is configured. Hint: [mqtt]");
        }
        self.taps.set(services, rules);
        Ok(())
    }

    /// Where a group's messages to the cloud go.
    pub(crate) fn uplink(&self) -> Arc<dyn Uplink> {
        match &self.mailbox {
            Some(mailbox) => Arc::new(mailbox.clone()),
            None => Arc::new(NoUplink::default()),
        }
    }

    /// Where the lines of a group's loggers to the cloud go.
    pub(crate) fn log_sink(&self) -> Option<Arc<dyn LogSink>> {
        self.logs.as_ref().map(LogShipper::sink)
    }

    /// Connects a group's core: its connectors that take samples and metrics, and what it wants of
    /// the broker. Gives the connector that takes samples.
    pub(crate) fn connect(&self, core: &Core, group: &Group) -> Result<Option<FeedbackConnector>> {
        let (router, mut feedback) = (core.router(), None);
        for connector in &group.connectors {
            match &connector.parameters {
                Parameters::Inference(_) => {}
                Parameters::Feedback(parameters) => {
                    for configuration in &parameters.configurations {
                        self.uploads.serve(&configuration.bucket)?;
                    }
                    let (arn, logs) = (&connector.arn, core.logs().clone());
                    let sampler = self.sampler.clone();
                    let made = FeedbackConnector::new(arn, parameters, sampler, router, logs);
                    core.register(made.address(), Arc::new(made.clone()));
                    self.outcomes.set(made.clone());
                    feedback = Some(made);
                }
                Parameters::Metrics(parameters) => {
                    let (arn, spool) = (&connector.arn, self.spool.clone());
                    let thing = group.core_thing.clone().unwrap_or_else(|| self.thing.clone());
                    let made = MetricsConnector::new(arn, parameters, Some(thing), spool, router);
                    core.register_connector(arn, Arc::new(made.clone()));
                    self.metrics.serve(made)?;
                }
            }
        }
        self.inbox.set(router);
        let wanted = group.subscriptions.iter().filter(|one| one.source == Endpoint::Cloud);
        let mut wanted: Vec<(String, Qos)> =
            wanted.map(|one| (one.subject.clone(), Qos::AtLeastOnce)).collect();
        wanted.sort();
        wanted.dedup();
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*link, wanted.is_empty()) {
            (Some(link), _) => link.set_subscriptions(wanted)?,
            (None, false) => tracing::warn!(
                "nothing comes from the cloud: no broker is configured. Hint: [mqtt] in the \
                 configuration, or greengrass.core_config"
            ),
            (None, true) => {}
        }
        Ok(feedback)
    }

    async fn stop(self: &Arc<Self>) {
        self.aws.stop();
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(link) = link {
            link.stop(LAST_WORDS).await;
        }
        // Threads may be telling somebody by way of this one.
        let this = self.clone();
        let stopping = tokio::task::spawn_blocking(move || {
            this.uploads.stop();
            this.metrics.stop();
            if let Some(logs) = &this.logs {
                logs.stop();
            }
        });
        let _ = stopping.await;
    }
}

/// A score as people write it: 0.7, not 0.699999988. Thresholds are compared with that.
fn shortest(score: f32) -> f64 {
    score.to_string().parse().unwrap_or_default()
}
