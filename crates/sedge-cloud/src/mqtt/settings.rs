use std::net::SocketAddr;
use std::time::Duration;

use super::packet::Qos;
use super::topic::{self, Limits, TopicError};
use crate::{Identity, Pem};

/// Which version of the protocol is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 5, and 3.1.1 where the broker refuses that.
    #[default]
    Auto,
    /// 5.
    V5,
    /// 3.1.1.
    V311,
}

/// How the connection is encrypted. The broker's certificate has to be for the host's name, which
/// is also sent to it (SNI).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that are believed; `None` for those of the system.
    pub ca: Option<Pem>,
    /// Who the client is, where the broker asks.
    pub identity: Option<Identity>,
    /// Protocols that are offered by name (ALPN); `None` for what the host and port ask for:
    /// `x-amzn-mqtt-ca` for AWS IoT on port 443, elsewhere none.
    pub alpn: Option<Vec<String>>,
}

/// Name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub name: String,
    /// The password; may be empty.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Which broker, as whom, and how patiently. [`Settings::new`] has the defaults, which are those of
/// the Greengrass nucleus.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name or address of the broker.
    pub host: String,
    /// 8883 by default, 443 also for AWS IoT, 1883 without TLS.
    pub port: u16,
    /// Where to connect instead of the host's own address: a tunnel, a private endpoint. To the
    /// broker the client still comes for the host and port.
    pub address: Option<SocketAddr>,
    /// The session's name. A broker lets in one connection for each; for AWS IoT it is the name of
    /// the thing, as policies usually want it.
    pub client_id: String,
    /// `None`: not encrypted.
    pub tls: Option<Tls>,
    /// Where the broker asks for one.
    pub login: Option<Login>,
    /// Which version is spoken.
    pub version: Version,
    /// Longest silence before the client asks whether the broker is still there: 60 s.
    pub keep_alive: Duration,
    /// Longest wait for the answer to that: 30 s.
    pub ping_timeout: Duration,
    /// Longest wait for a connection, for its acceptance, and for an acknowledgement: 30 s.
    pub operation_timeout: Duration,
    /// Most unacknowledged messages to the broker, 1 to 100: 5. The broker may want fewer.
    pub max_in_flight: u16,
    /// Most messages from the broker that wait for the inbox: 100.
    pub receive_maximum: u16,
    /// How long the broker keeps the session without a connection (MQTT 5): 7 days.
    pub session_expiry: Duration,
    /// Whether the first connection forgets the session that the broker may still have.
    pub clean_start: bool,
    /// Wait before the second attempt; doubled with each, and each a random part of it: 1 s.
    pub reconnect_min: Duration,
    /// Longest wait before an attempt: 120 s.
    pub reconnect_max: Duration,
    /// How long a connection has to live before waits are short again: 30 s.
    pub stable_after: Duration,
    /// Publishes per second; `None` for no bound. 80 for AWS IoT, which takes 100.
    pub publishes_per_second: Option<u32>,
    /// Bytes of messages per second; `None` for no bound. 400 KB for AWS IoT, which takes 512.
    pub bytes_per_second: Option<u32>,
    /// How often a message is sent again that the broker answers by ending the connection. After
    /// that it is refused, so that what comes behind it can go.
    pub publish_attempts: u32,
    /// What the broker takes.
    pub limits: Limits,
}

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// One that is out of its bounds.
    #[error("the MQTT setting {key} is {value}. Hint: {hint}")]
    Value {
        /// Its name.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        hint: &'static str,
    },
    /// A subscription that cannot be made.
    #[error(transparent)]
    Filter(#[from] TopicError),
}

impl Settings {
    /// For a broker on port 8883, with TLS, the system's authorities and no identity. What AWS IoT
    /// asks for is set where the host is one of its endpoints.
    #[must_use]
    pub fn new(host: impl Into<String>, client_id: impl Into<String>) -> Self {
        let host = host.into();
        let is_aws = is_aws(&host);
        Self {
            host,
            port: 8883,
            address: None,
            client_id: client_id.into(),
            tls: Some(Tls::default()),
            login: None,
            version: Version::Auto,
            keep_alive: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(30),
            max_in_flight: 5,
            receive_maximum: 100,
            session_expiry: Duration::from_secs(604_800),
            clean_start: false,
            reconnect_min: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(120),
            stable_after: Duration::from_secs(30),
            publishes_per_second: is_aws.then_some(80),
            bytes_per_second: is_aws.then_some(400_000),
            publish_attempts: 100,
            limits: if is_aws { Limits::aws_iot() } else { Limits::plain() },
        }
    }

    /// Whether the broker is AWS IoT Core.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        is_aws(&self.host)
    }

    pub(super) fn alpn(&self) -> Vec<Vec<u8>> {
        let configured = self.tls.as_ref().and_then(|tls| tls.alpn.as_ref());
        match configured {
            Some(names) => names.iter().map(|name| name.clone().into_bytes()).collect(),
            // AWS IoT tells its protocols on port 443 apart by this.
            None if self.is_aws() && self.port == 443 => vec![b"x-amzn-mqtt-ca".to_vec()],
            None => Vec::new(),
        }
    }

    /// Says which setting cannot be used.
    pub fn check(&self) -> Result<(), SettingsError> {
        let wrong = |key, value: String, hint| Err(SettingsError::Value { key, value, hint });
        let text = |text: &str| !text.contains('\0') && text.len() <= 1024;
        if self.host.is_empty() || !text(&self.host) || self.host.contains(['/', ' ']) {
            let hint = "write the name of the broker alone, without mqtts:// and port";
            return wrong("host", format!("'{}'", self.host), hint);
        }
        if self.port == 0 {
            return wrong("port", "0".to_owned(), "8883 is the usual one, 1883 without TLS");
        }
        let most_id_bytes = if self.is_aws() { 128 } else { 1024 };
        if self.client_id.is_empty()
            || !text(&self.client_id)
            || self.client_id.len() > most_id_bytes
        {
            let hint =
                "name the session, by at most 128 bytes for AWS IoT: there, the thing's name";
            return wrong("client_id", format!("'{}'", self.client_id), hint);
        }
        if let Some(login) = self.login.as_ref().filter(|l| !text(&l.name) || !text(&l.password)) {
            let hint = "name and password have at most 1024 bytes, and no zero byte";
            return wrong("login", format!("that of '{}'", login.name), hint);
        }
        if !(1..=1200).contains(&self.keep_alive.as_secs()) {
            return wrong("keep_alive", format!("{:?}", self.keep_alive), "it is 1 s to 1200 s");
        }
        if !(1..=100).contains(&self.max_in_flight) {
            return wrong("max_in_flight", self.max_in_flight.to_string(), "it is 1 to 100");
        }
        if self.receive_maximum == 0 {
            return wrong("receive_maximum", "0".to_owned(), "it is 1 or more");
        }
        if self.reconnect_max < self.reconnect_min || self.reconnect_min.is_zero() {
            let value = format!("{:?}", self.reconnect_max);
            return wrong("reconnect_max", value, "it is at least reconnect_min, and that not 0");
        }
        for (key, wait) in
            [("ping_timeout", self.ping_timeout), ("operation_timeout", self.operation_timeout)]
        {
            if wait.is_zero() {
                return wrong(key, "0".to_owned(), "nothing is answered in no time; 30 s is usual");
            }
        }
        for (key, rate) in [
            ("publishes_per_second", self.publishes_per_second),
            ("bytes_per_second", self.bytes_per_second),
        ] {
            if rate == Some(0) {
                return wrong(key, "0".to_owned(), "leave it out for no bound");
            }
        }
        Ok(())
    }

    pub(super) fn check_filters(&self, filters: &[(String, Qos)]) -> Result<(), SettingsError> {
        Ok(topic::check_filters(filters, &self.limits)?)
    }
}

/// Endpoints of AWS IoT are `PREFIX-ats.iot.REGION.amazonaws.com`, in China below `.com.cn`.
fn is_aws(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_aws_iot_are_known() {
        let mut settings = Settings::new("a1b2-ats.iot.eu-west-1.amazonaws.com", "camera");
        assert_eq!(settings.check(), Ok(()));
        assert_eq!((settings.publishes_per_second, settings.limits), (Some(80), Limits::aws_iot()));
        assert!(settings.alpn().is_empty(), "8883 needs none");
        settings.port = 443;
        assert_eq!(settings.alpn(), [b"x-amzn-mqtt-ca"]);
        settings.tls = Some(Tls { alpn: Some(vec!["mqtt".to_owned()]), ..Tls::default() });
        assert_eq!(settings.alpn(), [b"mqtt"]);
        assert!(Settings::new("a.iot.cn-north-1.amazonaws.com.cn", "c").is_aws());
        for other in ["localhost", "amazonaws.com.example.org", "myamazonaws.com"] {
            let settings = Settings::new(other, "camera");
            assert_eq!(
                (settings.is_aws(), settings.publishes_per_second),
                (false, None),
                "{other}"
            );
        }
    }

    #[test]
    fn settings_out_of_bounds_are_told_by_name() {
        let told = |change: fn(&mut Settings)| {
            let mut settings = Settings::new("localhost", "camera");
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        for (key, error) in [
            ("host", told(|s| s.host = "mqtts://broker".into())),
            ("port", told(|s| s.port = 0)),
            ("client_id", told(|s| s.client_id.clear())),
            ("keep_alive", told(|s| s.keep_alive = Duration::from_secs(1201))),
            ("max_in_flight", told(|s| s.max_in_flight = 101)),
            ("receive_maximum", told(|s| s.receive_maximum = 0)),
            ("reconnect_max", told(|s| s.reconnect_max = Duration::ZERO)),
            ("operation_timeout", told(|s| s.operation_timeout = Duration::ZERO)),
            ("publishes_per_second", told(|s| s.publishes_per_second = Some(0))),
        ] {
            assert!(error.starts_with(&format!("the MQTT setting {key} is ")), "{error}");
            assert!(error.contains("Hint: "), "{error}");
        }
    }
}
