use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sedge_deploy::{Progress, Step};

use crate::{Details, HostError};

/// Pause between two lines of the log about one download.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What people are told of a service's updates.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    progress: Option<String>,
    logged: Option<Instant>,
    update_error: Option<String>,
    rolled_back: Option<String>,
}

impl Telling {
    /// How far an installation is; `None` when it has ended.
    pub(crate) fn progress(&self, service: &str, progress: Option<Progress>) {
        let mut told = self.told();
        told.progress = progress.map(words);
        match told.progress.clone() {
            None => told.logged = None,
            Some(words) => {
                let begun = told.logged.get_or_insert_with(Instant::now);
                if begun.elapsed() >= LOG_EVERY {
                    *begun = Instant::now();
                    tracing::info!(service, "{words}");
                }
            }
        }
    }

    /// What came of an update.
    pub(crate) fn updated(&self, error: Option<&HostError>) {
        self.told().update_error = error.map(ToString::to_string);
    }

    /// A version was taken back.
    pub(crate) fn rolled_back(&self, reason: &str) {
        self.told().rolled_back = Some(reason.to_owned());
    }

    /// Adds what is known here.
    pub(crate) fn complete(&self, details: Details) -> Details {
        let told = self.told();
        Details {
            progress: told.progress.clone(),
            update_error: told.update_error.clone(),
            rolled_back: told.rolled_back.clone(),
            ..details
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn words(progress: Progress) -> String {
    let act = match progress.step {
        Step::Fetch => "fetching",
        Step::Unpack => "unpacking",
        Step::Store => "storing",
    };
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    match progress.total {
        Some(total) => format!("{act}: {:.1} of {:.1} MiB", mib(progress.bytes), mib(total)),
        None => format!("{act}: {:.1} MiB", mib(progress.bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_while_it_lasts() {
        let telling = Telling::default();
        let step = Progress { step: Step::Fetch, bytes: 3 << 19, total: Some(4 << 20) };
        telling.progress("s", Some(step));
        telling.rolled_back("worse");
        let details = telling.complete(Details::default());
        assert_eq!(details.progress.as_deref(), Some("fetching: 1.5 of 4.0 MiB"));
        assert_eq!(details.rolled_back.as_deref(), Some("worse"));
        telling.progress("s", None);
        assert_eq!(telling.complete(Details::default()).progress, None);
    }
}
