//! Whose name signed requests carry: found, kept while it is good, and renewed in time.

mod chain;
mod container;
mod environment;
mod iot;
mod profile;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime};

pub(crate) use chain::region;
pub(crate) use environment::environment;

use crate::retry::jittered;
use crate::{ClientError, Keys, Remote, Response};

/// How long before their end credentials are renewed; up to a minute more, by chance, so that many
/// devices that started together do not come together.
const AHEAD: Duration = Duration::from_secs(5 * 60);
const JITTER: Duration = Duration::from_secs(60);
/// Pauses between attempts that fail.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MOST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// After a refusal, which only somebody else can take back.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// Where credentials are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration has them.
    Configuration,
    /// `AWS_ACCESS_KEY_ID` and its siblings.
    Environment,
    /// A profile of the AWS command line.
    Profile {
        /// Its name.
        name: String,
        /// The file that has it.
        file: PathBuf,
    },
    /// A container runtime, or Greengrass's token exchange service.
    Container {
        /// What was asked.
        url: String,
    },
    /// The device's certificate.
    IotRole {
        /// The role alias.
        alias: String,
        /// Host of the credentials provider.
        endpoint: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => f.write_str("the configuration"),
            Self::Environment => f.write_str("the environment"),
            Self::Profile { name, file } => write!(f, "the profile '{name}' in {}", file.display()),
            Self::Container { url } => {
                let url = url.split('?').next().unwrap_or_default();
                write!(f, "the container endpoint {url}")
            }
            Self::IotRole { alias, endpoint } => {
                write!(f, "the role alias '{alias}' of {endpoint}")
            }
        }
    }
}

/// Keys, where they are from, and how long they are good.
#[derive(Clone, Debug)]
pub struct Issued {
    keys: Keys,
    source: Origin,
    /// By the clock that nobody sets: lifetimes are taken from the server's own.
    expires: Option<Instant>,
}

impl Issued {
    /// Keys whose end nobody says.
    fn lasting(keys: Keys, source: Origin) -> Self {
        Self { keys, source, expires: None }
    }

    /// Keys that are good until a point in time by the clock of who answered.
    fn until(
        keys: Keys,
        source: Origin,
        expiration: Option<SystemTime>,
        response: &Response,
    ) -> Result<Self, ClientError> {
        let Some(end) = expiration else { return Ok(Self::lasting(keys, source)) };
        let date = response.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let life = end.duration_since(date.unwrap_or_else(SystemTime::now));
        let life = life.map_err(|_| ClientError::Response {
            url: response.url.clone(),
            problem: "its credentials have expired. Hint: check the clocks".to_owned(),
        })?;
        Ok(Self { keys, source, expires: Instant::now().checked_add(life) })
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Where they are from.
    #[must_use]
    pub fn source(&self) -> &Origin {
        &self.source
    }

    /// How long they are still good; `None` where nobody says.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.expires.map(|end| end.saturating_duration_since(Instant::now()))
    }
}

/// A point in time in RFC 3339, in UTC.
fn point_in_time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(&text.replace("+00:00", "Z")).ok()
}

/// Gives credentials, and renews those that end.
#[derive(Debug)]
pub(crate) struct Provider {
    remote: Arc<Remote>,
    kept: Mutex<Kept>,
    /// Held by who asks, so that one does.
    asking: Mutex<()>,
}

/// What is known, and what is to be done about it.
#[derive(Debug, Default)]
struct Kept {
    issued: Option<Issued>,
    renew_at: Option<Instant>,
    failures: u32,
    /// The last failure, and until when nobody asks again.
    failed: Option<(Instant, ClientError)>,
}

enum Step {
    Use(Issued),
    /// Renew, and use the given ones while that lasts or when it fails.
    Ask(Option<Issued>),
    Fail(ClientError),
}

impl Kept {
    fn step(&self, now: Instant) -> Step {
        let good = |issued: &&Issued| issued.expires.is_none_or(|end| now < end);
        let issued = self.issued.as_ref().filter(good).cloned();
        let fresh = self.renew_at.is_some_and(|renew_at| now < renew_at);
        let paused = self.failed.as_ref().filter(|(until, _)| now < *until);
        match (issued, paused) {
            (Some(issued), _) if fresh => Step::Use(issued),
            (Some(issued), Some(_)) => Step::Use(issued),
            (None, Some((_, error))) => Step::Fail(error.clone()),
            (issued, None) => Step::Ask(issued),
        }
    }

    /// Keeps what was issued for a limited time; the rest costs nothing to look up again.
    fn succeeded(&mut self, issued: &Issued, now: Instant) {
        *self = Self::default();
        if let Some(end) = issued.expires {
            let life = end.saturating_duration_since(now);
            let ahead = AHEAD + JITTER.mul_f64(fastrand::f64());
            self.renew_at = Some(end - ahead.min(life / 2));
            self.issued = Some(issued.clone());
        }
    }

    fn failed(&mut self, error: &ClientError, now: Instant) {
        let refused =
            matches!(error, ClientError::Status { status, .. } if (400..429).contains(status));
        // What is looked up on this device may be mended at once, and is not asked too often.
        if matches!(error, ClientError::Credentials(_) | ClientError::Setting(_)) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let least = if refused { REFUSED_PAUSE } else { FIRST_PAUSE };
        let pause = jittered(FIRST_PAUSE, MOST_PAUSE, self.failures).max(least);
        self.failed = Some((now + pause, error.clone()));
    }
}

impl Provider {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        Self { remote, kept: Mutex::default(), asking: Mutex::default() }
    }

    /// The credentials of this moment; `None` where nobody signs.
    pub(crate) fn get(&self) -> Result<Option<Issued>, ClientError> {
        // Apart from the match, which would keep what is known locked while it waits.
        let step = self.kept().step(Instant::now());
        let _asking = match step {
            Step::Use(issued) => return Ok(Some(issued)),
            Step::Fail(error) => return Err(error),
            Step::Ask(None) => Some(self.asking.lock().unwrap_or_else(PoisonError::into_inner)),
            Step::Ask(Some(issued)) => match self.asking.try_lock() {
                Ok(asking) => Some(asking),
                Err(TryLockError::WouldBlock) => return Ok(Some(issued)),
                Err(TryLockError::Poisoned(asking)) => Some(asking.into_inner()),
            },
        };
        // Somebody else may have asked meanwhile.
        let step = self.kept().step(Instant::now());
        let still = match step {
            Step::Use(issued) => return Ok(Some(issued)),
            Step::Fail(error) => return Err(error),
            Step::Ask(issued) => issued,
        };
        let found = chain::find(&self.remote, &environment);
        let (mut kept, now) = (self.kept(), Instant::now());
        match found {
            Ok(None) => Ok(None),
            Ok(Some(issued)) => {
                kept.succeeded(&issued, now);
                Ok(Some(issued))
            }
            Err(error) => {
                kept.failed(&error, now);
                still.map(Some).ok_or(error)
            }
        }
    }

    /// Has the next request signed with other credentials; whether there may be some.
    pub(crate) fn forget(&self) -> bool {
        let mut kept = self.kept();
        kept.renew_at = None;
        kept.issued.take().is_some()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(now: Instant, life_s: u64) -> Issued {
        let (access_key_id, secret_access_key) = ("A".to_owned(), "S".to_owned());
        let keys = Keys { access_key_id, secret_access_key, session_token: None };
        let expires = Some(now + Duration::from_secs(life_s));
        Issued { keys, source: Origin::Environment, expires }
    }

    fn name(step: &Step) -> &'static str {
        match step {
            Step::Use(_) => "use",
            Step::Ask(Some(_)) => "renew",
            Step::Ask(None) => "ask",
            Step::Fail(_) => "fail",
        }
    }

    fn status(status: u16) -> ClientError {
        ClientError::Status { url: String::new(), status, problem: String::new() }
    }

    #[test]
    fn credentials_are_renewed_before_their_end_and_used_until_it() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut kept = Kept::default();
        assert_eq!(name(&kept.step(now)), "ask");
        kept.succeeded(&issued(now, 3600), now);
        for (seconds, expected) in [(0, "use"), (3239, "use"), (3301, "renew"), (3600, "ask")] {
            assert_eq!(name(&kept.step(at(seconds))), expected, "{seconds}");
        }
        // Renewing fails: the old ones are used, and after their end nobody asks in the pause.
        for _ in 0..20 {
            kept.failed(&status(503), at(3310));
        }
        let (until, _) = kept.failed.clone().unwrap();
        assert!(until > at(3310) && until <= at(3310 + 300));
        kept.failed = Some((at(3700), status(503)));
        for (seconds, expected) in [(3311, "use"), (3599, "use"), (3600, "fail"), (3700, "ask")] {
            assert_eq!(name(&kept.step(at(seconds))), expected, "{seconds}");
        }
        kept.succeeded(&issued(at(3700), 60), at(3700));
        assert_eq!((kept.failures, kept.failed.is_none()), (0, true));
        // A short life is renewed at its half.
        assert_eq!(name(&kept.step(at(3729))), "use");
        assert_eq!(name(&kept.step(at(3731))), "renew");
    }

    #[test]
    fn who_refuses_is_left_alone_for_a_minute() {
        let now = Instant::now();
        let mut kept = Kept::default();
        kept.failed(&status(403), now);
        assert!(kept.failed.clone().unwrap().0 >= now + Duration::from_secs(60));
        let mut kept = Kept::default();
        kept.failed(&ClientError::Credentials("none".to_owned()), now);
        assert_eq!(name(&kept.step(now)), "ask");
    }
}
