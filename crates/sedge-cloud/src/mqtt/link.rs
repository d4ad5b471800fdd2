use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::Connection;
use super::error::LinkError;
use super::packet::{Protocol, Qos};
use super::settings::{Settings, SettingsError, Version};
use super::shared::{Memory, Shared, Stop, Wishes};
use super::status::{State, Status};
use super::{Inbox, Outbox, events};

/// Least time from one CONNECT to the next; AWS IoT takes one per second of each client.
const BETWEEN_CONNECTS: Duration = Duration::from_secs(1);

/// A connection to a broker that is kept: made again whenever it is lost, until [`Link::stop`].
/// Dropped, it ends at once.
pub struct Link {
    shared: Arc<Shared>,
    wishes: watch::Sender<Vec<(String, Qos)>>,
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts to connect, on the runtime that this is called on. Whether it can is told by
    /// [`Link::status`]; an error here is one of the settings.
    pub fn start(
        settings: Settings,
        outbox: Arc<dyn Outbox>,
        inbox: Arc<dyn Inbox>,
        subscriptions: Vec<(String, Qos)>,
    ) -> Result<Self, SettingsError> {
        settings.check()?;
        settings.check_filters(&subscriptions)?;
        let broker = format!("{}:{}", settings.host, settings.port);
        let shared = Arc::new(Shared::new(settings, broker, outbox, inbox));
        let (wishes, wished) = watch::channel(subscriptions);
        let (stop, stopped) = watch::channel(None);
        let task = tokio::spawn(keep(shared.clone(), wished, stopped));
        Ok(Self { shared, wishes, stop, task })
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Changes what is subscribed to, without a new connection.
    pub fn set_subscriptions(
        &self,
        subscriptions: Vec<(String, Qos)>,
    ) -> Result<(), SettingsError> {
        self.shared.settings.check_filters(&subscriptions)?;
        self.wishes.send_if_modified(|wishes| {
            let is_new = *wishes != subscriptions;
            *wishes = subscriptions;
            is_new
        });
        Ok(())
    }

    /// Takes no more messages from the outbox, waits at most so long for the acknowledgements of
    /// those on their way, and says goodbye to the broker.
    pub async fn stop(mut self, within: Duration) {
        self.stop.send_replace(Some(Instant::now() + within));
        // Some time is left to the last words.
        let _ = timeout(within + Duration::from_secs(2), &mut self.task).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a connection until the link is stopped.
async fn keep(shared: Arc<Shared>, wishes: Wishes, stop: Stop) {
    let mut memory = Memory::default();
    let mut versions = Versions::new(shared.settings.version);
    let mut attempts = 0;
    let mut is_first = true;
    loop {
        let began = Instant::now();
        shared.tell(|status| {
            status.state = State::Connecting;
            status.attempts = attempts;
        });
        let settings = &shared.settings;
        // The sessions of 3.1.1 have no end but this one.
        let is_brief = settings.session_expiry.is_zero() && versions.next == Protocol::V311;
        let clean = is_brief || (settings.clean_start && is_first);
        let mut stopped = stop.clone();
        let opening = Connection::open(&shared, &mut memory, versions.next, clean);
        let opened = tokio::select! {
            opened = opening => opened,
            _ = stopped.wait_for(Option::is_some) => break,
        };
        let ended = match opened {
            Ok(mut connection) => {
                versions.accepted();
                is_first = false;
                let accepted = Instant::now();
                let ended = connection.run(&wishes, &stop).await;
                drop(connection);
                memory.flight.connection_ended();
                shared.outbox.lost_connection();
                if accepted.elapsed() >= settings.stable_after {
                    attempts = 0;
                }
                ended
            }
            Err(error) => {
                versions.failed(&error);
                Err(error)
            }
        };
        let Err(error) = ended else { break };
        let wait = wait(settings, attempts, error.slows_down())
            .max(BETWEEN_CONNECTS.saturating_sub(began.elapsed()));
        attempts = attempts.saturating_add(1);
        events::lost(&error, wait);
        let (now, words) = (SystemTime::now(), error.to_string());
        shared.tell(|status| {
            status.last_error = Some((now, words));
            status.state = State::Waiting { until: now + wait };
            status.attempts = attempts;
            status.in_flight = 0;
        });
        let mut stopped = stop.clone();
        tokio::select! {
            () = sleep_until(Instant::now() + wait) => {}
            _ = stopped.wait_for(Option::is_some) => break,
        }
    }
    shared.tell(|status| {
        status.state = State::Stopped;
        status.in_flight = 0;
    });
}

/// Exponential, with full jitter, so that the devices of a broker that comes back do not all
/// return at once. Late where the broker asked for it: at least half of the longest wait.
fn wait(settings: &Settings, attempts: u32, slows_down: bool) -> Duration {
    let longest = settings.reconnect_max;
    if slows_down {
        return longest.mul_f64(0.5 + fastrand::f64() / 2.0);
    }
    let factor = 1u32.checked_shl(attempts.min(31)).unwrap_or(u32::MAX);
    settings.reconnect_min.saturating_mul(factor).min(longest).mul_f64(fastrand::f64())
}

/// Which version is tried, and whether the broker is known to speak it.
struct Versions {
    next: Protocol,
    is_open: bool,
    /// Whether 3.1.1 is tried because a connection was closed, which may have had other reasons.
    is_guess: bool,
}

impl Versions {
    fn new(version: Version) -> Self {
        let next = if version == Version::V311 { Protocol::V311 } else { Protocol::V5 };
        Self { next, is_open: version == Version::Auto, is_guess: false }
    }

    fn accepted(&mut self) {
        if self.is_guess {
            // One bad moment must not cost the properties of version 5 for ever.
            *self = Self::new(Version::Auto);
        } else {
            self.is_open = false;
        }
    }

    fn failed(&mut self, error: &LinkError) {
        if self.is_open && error.wants_other_version() {
            self.is_guess = matches!(error, LinkError::Closed { .. });
            self.next = match self.next {
                Protocol::V5 => Protocol::V311,
                Protocol::V311 => Protocol::V5,
            };
            self.is_guess &= self.next == Protocol::V311;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ() {
        let settings = Settings::new("localhost", "camera");
        for (attempts, longest) in [(0, 1), (1, 2), (2, 4), (6, 64), (7, 120), (40, 120)] {
            let waits: Vec<Duration> = (0..500).map(|_| wait(&settings, attempts, false)).collect();
            let longest = Duration::from_secs(longest);
            assert!(waits.iter().all(|wait| *wait <= longest), "attempt {attempts}");
            assert!(waits.iter().any(|wait| *wait > longest * 3 / 4), "attempt {attempts}");
            assert!(waits.iter().any(|wait| *wait < longest / 4), "attempt {attempts}");
        }
        let late = (0..500).map(|_| wait(&settings, 0, true)).min();
        assert!(late >= Some(Duration::from_secs(60)));
    }

    #[test]
    fn the_version_that_a_broker_refused_is_not_tried_again() {
        let refused = LinkError::refused("broker:1883", "camera", 0x84, None);
        let closed = LinkError::Closed {
            broker: "broker:1883".to_owned(),
            when: super::super::error::BEFORE_ACCEPTED,
            problem: String::new(),
            hint: "",
        };
        let mut versions = Versions::new(Version::Auto);
        versions.failed(&refused);
        assert_eq!(versions.next, Protocol::V311);
        versions.accepted();
        versions.failed(&closed);
        assert_eq!(versions.next, Protocol::V311, "it was said");
        // A closed connection says less: 5 is tried again after 3.1.1, whatever came of that.
        for was_accepted in [true, false] {
            let mut versions = Versions::new(Version::Auto);
            versions.failed(&closed);
            assert_eq!(versions.next, Protocol::V311);
            if was_accepted {
                versions.accepted();
            } else {
                versions.failed(&closed);
            }
            assert_eq!(versions.next, Protocol::V5);
            versions.accepted();
            versions.failed(&closed);
            assert_eq!(versions.next, Protocol::V5, "that was spoken");
        }
        let mut versions = Versions::new(Version::V311);
        versions.failed(&refused);
        assert_eq!(versions.next, Protocol::V311, "that was asked for");
    }
}
