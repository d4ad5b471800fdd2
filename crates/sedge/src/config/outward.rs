//! What leaves the device: `[spool]`, `[mqtt]`, `[cloud]`, `[[feedback]]`, `[service.publish]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sedge_feedback::{Configuration, Strategy};
use sedge_spool::{OnFull, Options, Sync};
use serde::Deserialize;

/// `[spool]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Spool {
    /// Most that waits, in MiB.
    pub(crate) max_mib: u64,
    /// Hours after which it is dropped.
    pub(crate) max_age_h: Option<u64>,
    /// What happens when there is no room.
    pub(crate) on_full: Full,
    /// When it is forced to the disk.
    pub(crate) sync: When,
    /// Most milliseconds until then, with `sync = "interval"`.
    pub(crate) sync_ms: u64,
}

/// `spool.on_full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Full {
    DropOldest,
    Reject,
}

/// `spool.sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum When {
    Always,
    Interval,
    Never,
}

impl Default for Spool {
    fn default() -> Self {
        let (on_full, sync) = (Full::DropOldest, When::Interval);
        Self { max_mib: 256, max_age_h: None, on_full, sync, sync_ms: 1000 }
    }
}

impl Spool {
    pub(crate) fn options(&self) -> Options {
        Options {
            max_bytes: self.max_mib << 20,
            max_age: self.max_age_h.map(|hours| Duration::from_secs(3600 * hours)),
            on_full: match self.on_full {
                Full::DropOldest => OnFull::DropOldest,
                Full::Reject => OnFull::Reject,
            },
            sync: match self.sync {
                When::Always => Sync::Always,
                When::Interval => Sync::Every(Duration::from_millis(self.sync_ms)),
                When::Never => Sync::Never,
            },
            ..Options::default()
        }
    }
}

/// `[mqtt]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Mqtt {
    /// Name or address of the broker; without one there is none.
    pub(crate) host: Option<String>,
    /// Its port.
    pub(crate) port: Option<u16>,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
    /// Name of the session.
    pub(crate) client_id: Option<String>,
    /// Authorities that are believed, the device's certificate and its key (PEM).
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
    /// Name and file with the password, where the broker asks for them.
    pub(crate) username: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    /// Version of the protocol.
    pub(crate) version: Protocol,
    /// Longest silence in seconds.
    pub(crate) keep_alive_s: u64,
    /// Most messages without an acknowledgement.
    pub(crate) max_in_flight: u16,
    /// Most messages a second.
    pub(crate) max_per_s: Option<u32>,
}

/// `mqtt.version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Protocol {
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "5")]
    V5,
    #[serde(rename = "3.1.1")]
    V311,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            tls: true,
            client_id: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            username: None,
            password_file: None,
            version: Protocol::Auto,
            keep_alive_s: 60,
            max_in_flight: 5,
            max_per_s: None,
        }
    }
}

impl Mqtt {
    pub(super) fn based(&mut self, base: &Path) {
        let paths =
            [&mut self.ca_file, &mut self.cert_file, &mut self.key_file, &mut self.password_file];
        for path in paths.into_iter().flatten() {
            *path = base.join(&*path);
        }
    }
}

/// `[cloud]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Cloud {
    /// Name of the device.
    pub(crate) thing: Option<String>,
    /// Host of the provider that gives credentials for the device's certificate.
    pub(crate) credentials_endpoint: Option<String>,
    /// Role alias of those credentials.
    pub(crate) role_alias: Option<String>,
    /// CloudWatch's endpoints, if not Amazon's own.
    pub(crate) metrics_endpoint: Option<String>,
    pub(crate) logs_endpoint: Option<String>,
    /// Most of the line that uploads take, in KiB per second.
    pub(crate) max_upload_kib_per_s: Option<u64>,
    /// Most samples a day, all together, in MiB.
    pub(crate) daily_mib: Option<u64>,
}

/// `[[feedback]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Feedback {
    pub(crate) name: String,
    pub(crate) bucket: String,
    pub(crate) prefix: Option<String>,
    pub(crate) extension: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) strategy: Chosen,
    pub(crate) rate: Option<f64>,
    pub(crate) threshold: Option<f64>,
    pub(crate) classes: Vec<String>,
    pub(crate) least: usize,
    pub(crate) most: Option<usize>,
    pub(crate) min_score: f64,
    pub(crate) daily_mib: Option<u64>,
    pub(crate) once: bool,
    pub(crate) dry_run: bool,
}

/// `feedback.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Chosen {
    Everything,
    Random,
    LeastConfidence,
    Margin,
    Entropy,
    Classes,
    Detections,
}

impl Default for Feedback {
    fn default() -> Self {
        Self {
            name: String::new(),
            bucket: String::new(),
            prefix: None,
            extension: None,
            content_type: None,
            strategy: Chosen::Everything,
            rate: None,
            threshold: None,
            classes: Vec::new(),
            least: 1,
            most: None,
            min_score: 0.5,
            daily_mib: None,
            once: true,
            dry_run: false,
        }
    }
}

impl Feedback {
    /// What a strategy needs and has no default, where it is not there.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match self.strategy {
            Chosen::Random => self.rate.is_none().then_some("rate"),
            Chosen::LeastConfidence | Chosen::Margin | Chosen::Entropy => {
                self.threshold.is_none().then_some("threshold")
            }
            Chosen::Classes => self.classes.is_empty().then_some("classes"),
            Chosen::Everything | Chosen::Detections => None,
        }
    }

    /// The configuration, of sections that were checked.
    pub(crate) fn configuration(&self) -> Configuration {
        let (threshold, min_score) = (self.threshold.unwrap_or(1.0), self.min_score);
        let strategy = match self.strategy {
            Chosen::Everything => Strategy::Everything,
            Chosen::Random => Strategy::Random { rate: self.rate.unwrap_or(1.0) },
            Chosen::LeastConfidence => Strategy::LeastConfidence { threshold },
            Chosen::Margin => Strategy::Margin { threshold },
            Chosen::Entropy => Strategy::Entropy { threshold },
            Chosen::Classes => Strategy::Classes { classes: self.classes.clone(), min_score },
            Chosen::Detections => {
                let most = self.most.unwrap_or(usize::MAX);
                Strategy::Detections { least: self.least, most, min_score }
            }
        };
        Configuration {
            prefix: self.prefix.clone(),
            extension: self.extension.clone(),
            content_type: self.content_type.clone(),
            strategy,
            daily_bytes: self.daily_mib.map(|mib| mib << 20),
            once: self.once,
            dry_run: self.dry_run,
            ..Configuration::new(&self.name, &self.bucket, "")
        }
    }
}

/// `[service.publish]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Publish {
    /// Topic, with `${...}`.
    pub(crate) topic: String,
    /// Payload, with `${...}`; without one the prediction as it is.
    pub(crate) payload: Option<String>,
    /// Each so many predictions one is published.
    pub(crate) every: u64,
    /// Least milliseconds between two.
    pub(crate) interval_ms: u64,
    /// Least score of the best class or object.
    pub(crate) min_score: f64,
    /// Whether only what differs from the last one is published.
    pub(crate) on_change: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            topic: String::new(),
            payload: None,
            every: 1,
            interval_ms: 0,
            min_score: 0.0,
            on_change: false,
            qos: 1,
            retain: false,
        }
    }
}
