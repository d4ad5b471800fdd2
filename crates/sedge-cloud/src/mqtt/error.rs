use std::io;
use std::time::Duration;

use super::packet::Malformed;
use super::reason;
use crate::PemError;

/// Why there is no connection, or no longer. All are tried again, later and later.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A name that is not known.
    #[error(
        "cannot find the address of the broker {host}: {error}. \
         Hint: check the name, and that the device has a network and a name server"
    )]
    Address {
        /// The name.
        host: String,
        /// The system's reason.
        error: io::Error,
    },
    /// No connection.
    #[error("cannot connect to the broker {broker}: {error}. Hint: {hint}")]
    Connect {
        /// Host and port.
        broker: String,
        /// The system's reason.
        error: io::Error,
        /// What to do, which depends on the reason.
        hint: &'static str,
    },
    /// No encryption.
    #[error("the broker {broker} {problem}. Hint: {hint}")]
    Tls {
        /// Host and port.
        broker: String,
        /// What is wrong.
        problem: String,
        /// What to do about that.
        hint: &'static str,
    },
    /// A certificate or key that cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The broker does not let the client in.
    #[error("the broker {broker} refuses the client '{client}': {words}. Hint: {hint}")]
    Refused {
        /// Host and port.
        broker: String,
        /// Its id.
        client: String,
        /// The code of MQTT 5.
        reason: u8,
        /// The code and the broker's own words.
        words: String,
        /// What to do about that.
        hint: &'static str,
    },
    /// The broker told that it ends the connection.
    #[error("the broker {broker} ended the connection: {words}. Hint: {hint}")]
    Ended {
        /// Host and port.
        broker: String,
        /// The code of MQTT 5.
        reason: u8,
        /// The code and the broker's own words.
        words: String,
        /// What to do about that.
        hint: &'static str,
    },
    /// The connection ended without a word.
    #[error("the connection to the broker {broker} was closed {when}: {problem}. Hint: {hint}")]
    Closed {
        /// Host and port.
        broker: String,
        /// `before it was accepted`, `by the broker`.
        when: &'static str,
        /// What was seen of it.
        problem: String,
        /// What to do about that.
        hint: &'static str,
    },
    /// The broker is silent.
    #[error(
        "the broker {broker} has not answered {what} within {waited:?}. \
         Hint: the connection is tried anew; where this happens often, look at the network"
    )]
    Silent {
        /// Host and port.
        broker: String,
        /// What was not answered.
        what: &'static str,
        /// How long that was waited for.
        waited: Duration,
    },
    /// Something that is no MQTT, or not what it should be.
    #[error(
        "the broker {broker} sent what cannot be understood: {problem}. \
         Hint: check that this port speaks MQTT, and with TLS as is configured"
    )]
    Protocol {
        /// Host and port.
        broker: String,
        /// What is wrong.
        problem: &'static str,
        /// What the broker is told.
        code: u8,
    },
}

impl LinkError {
    pub(super) fn malformed(broker: &str, error: Malformed) -> Self {
        let code = reason::MALFORMED_PACKET;
        Self::Protocol { broker: broker.to_owned(), problem: error.0, code }
    }

    pub(super) fn refused(broker: &str, client: &str, code: u8, text: Option<&str>) -> Self {
        let (words, hint) = (told(code, text), reason::hint(code));
        let (broker, client) = (broker.to_owned(), client.to_owned());
        Self::Refused { broker, client, reason: code, words, hint }
    }

    pub(super) fn ended(broker: &str, code: u8, text: Option<&str>) -> Self {
        let (words, hint) = (told(code, text), reason::hint(code));
        Self::Ended { broker: broker.to_owned(), reason: code, words, hint }
    }

    /// Whether the broker does not speak this version, for all that can be seen.
    pub(super) fn wants_other_version(&self) -> bool {
        match self {
            Self::Refused { reason, .. } => *reason == reason::UNSUPPORTED_VERSION,
            // Old brokers close the connection where they should answer.
            Self::Closed { when, .. } => *when == BEFORE_ACCEPTED,
            _ => false,
        }
    }

    /// Whether the next attempt had better come late.
    pub(super) fn slows_down(&self) -> bool {
        match self {
            Self::Refused { reason, .. } | Self::Ended { reason, .. } => {
                reason::slows_down(*reason)
            }
            _ => false,
        }
    }

    /// Whether the broker ended the connection: perhaps for what had been sent to it.
    pub(super) fn is_brokers_doing(&self) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Ended { reason, .. } => {
                // It stops, was asked to, or was not talked to: no message has part in these.
                !matches!(reason, 0 | 0x8b | 0x8d | 0x98 | 0x9c | 0x9d | 0xa0)
                    && !reason::slows_down(*reason)
            }
            _ => false,
        }
    }
}

pub(super) const BEFORE_ACCEPTED: &str = "before it was accepted";

/// A code with the broker's own words, which may be anything.
pub(super) fn told(code: u8, text: Option<&str>) -> String {
    let words = reason::words(code);
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => format!("{words} (0x{code:02x})"),
        Some(text) => {
            let text: String = text.chars().take(200).flat_map(char::escape_debug).collect();
            format!("{words} (0x{code:02x}; it says: {text})")
        }
    }
}

/// What a failed connection tells its owner.
pub(super) fn connecting(broker: &str, error: io::Error) -> LinkError {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    let hint = match error.kind() {
        ConnectionRefused => "check that the broker runs there, and the port",
        NetworkUnreachable | HostUnreachable => "check the device's network",
        TimedOut => {
            "check the network, and that no firewall closes this port; AWS IoT also has 443"
        }
        _ => "check host, port and network",
    };
    LinkError::Connect { broker: broker.to_owned(), error, hint }
}
