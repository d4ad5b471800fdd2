//! Packets of MQTT 3.1.1 and 5 (OASIS standards, sections 2 and 3 of each), as a client writes and
//! reads them. QoS 2 and enhanced authentication are left out: nothing here asks for them.
//!
//! Everything that is read comes from outside: lengths are checked before memory is taken, and
//! whatever is wrong is [`Malformed`].

mod property;
mod read;
mod write;

use bytes::Bytes;

pub use read::{decode, frame_length};
pub use write::{Connect, connect, publish, publish_bytes};
pub use write::{disconnect, ping, puback, subscribe, unsubscribe};

/// Most bytes that a packet's remaining length can state (MQTT 5, 1.5.5).
pub const MOST_REMAINING_BYTES: usize = 268_435_455;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// How surely a message is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
}

/// What MQTT 5 sends along with a message; nothing of it is sent by 3.1.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// The payload is text in UTF-8.
    pub is_utf8: bool,
    /// Seconds after which the broker no longer delivers it.
    pub expiry_s: Option<u32>,
    /// What the payload is, by convention a MIME type.
    pub content_type: Option<String>,
    /// Where an answer is expected.
    pub response_topic: Option<String>,
    /// What the answer is to carry.
    pub correlation: Option<Bytes>,
    /// Names and values without meaning to the protocol, in order.
    pub user: Vec<(String, String)>,
}

/// An application message as it stands in PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whether it may have been sent before.
    pub is_repeated: bool,
    /// How surely it is delivered.
    pub qos: Qos,
    /// Kept by the broker, or kept there and sent to a new subscriber.
    pub retain: bool,
    /// Where it belongs.
    pub topic: String,
    /// By what it is acknowledged; 0 with [`Qos::AtMostOnce`].
    pub packet_id: u16,
    /// Empty with MQTT 3.1.1.
    pub properties: Properties,
    /// Any bytes.
    pub payload: Bytes,
}

/// The broker's answer to CONNECT, and what it asks of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connack {
    /// Whether it still has the session.
    pub session_present: bool,
    /// A reason code of MQTT 5; the six codes of 3.1.1 are translated.
    pub reason: u8,
    /// The broker's words.
    pub reason_text: Option<String>,
    /// Seconds that it keeps the session, where that is not what was asked for.
    pub session_expiry_s: Option<u32>,
    /// Most publishes that may be unacknowledged.
    pub receive_maximum: u16,
    /// The highest QoS of a publish.
    pub maximum_qos: Qos,
    /// Whether it keeps retained messages.
    pub retain_available: bool,
    /// Most bytes of a packet.
    pub maximum_packet_bytes: u32,
    /// The name it gave to a client that came without.
    pub client_id: Option<String>,
    /// Seconds between packets that it wants instead of what was asked for.
    pub keep_alive_s: Option<u16>,
}

/// A packet that a broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The answer to CONNECT.
    Connack(Connack),
    /// A message.
    Publish(Publish),
    /// The answer to a message of [`Qos::AtLeastOnce`].
    Puback {
        /// Of the message.
        packet_id: u16,
        /// 0x80 and above: it was not taken.
        reason: u8,
        /// The broker's words.
        reason_text: Option<String>,
    },
    /// The answer to SUBSCRIBE: a code for each filter.
    Suback {
        /// Of the request.
        packet_id: u16,
        /// 0x80 and above: refused.
        reasons: Bytes,
    },
    /// The answer to UNSUBSCRIBE.
    Unsuback {
        /// Of the request.
        packet_id: u16,
    },
    /// The answer to PINGREQ.
    Pong,
    /// The broker ends the connection (MQTT 5).
    Disconnect {
        /// Why.
        reason: u8,
        /// The broker's words.
        reason_text: Option<String>,
    },
}

/// Bytes that are no packet, or one that no broker may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    fn read_back(bytes: &BytesMut, protocol: Protocol) -> Packet {
        let whole = Bytes::copy_from_slice(bytes);
        assert_eq!(frame_length(&whole).unwrap(), Some(whole.len()));
        decode(whole, protocol).unwrap()
    }

    fn publishes() -> impl Strategy<Value = Publish> {
        let text = "[a-z/é]{1,40}";
        let properties = (
            any::<bool>(),
            any::<Option<u32>>(),
            proptest::option::of(text),
            proptest::option::of(text),
            proptest::collection::vec((text, text), 0..4),
        );
        let message = (any::<bool>(), any::<bool>(), text, 0..=u16::MAX);
        let payload = proptest::collection::vec(any::<u8>(), 0..300);
        (message, properties, payload).prop_map(|(message, properties, payload)| {
            let (is_repeated, retain, topic, packet_id) = message;
            let qos = if packet_id == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
            let (is_utf8, expiry_s, content_type, response_topic, user) = properties;
            let correlation = content_type.as_ref().map(|text| Bytes::from(text.clone()));
            Publish {
                is_repeated: is_repeated && qos == Qos::AtLeastOnce,
                qos,
                retain,
                topic,
                packet_id,
                properties: Properties {
                    is_utf8,
                    expiry_s,
                    content_type,
                    response_topic,
                    correlation,
                    user,
                },
                payload: payload.into(),
            }
        })
    }

    proptest! {
        #[test]
        fn a_message_is_itself_again(mut message in publishes()) {
            let mut bytes = BytesMut::new();
            publish(&mut bytes, &message, Protocol::V5);
            prop_assert_eq!(bytes.len(), publish_bytes(&message, Protocol::V5));
            prop_assert_eq!(read_back(&bytes, Protocol::V5), Packet::Publish(message.clone()));
            message.properties = Properties::default();
            bytes.clear();
            publish(&mut bytes, &message, Protocol::V311);
            prop_assert_eq!(bytes.len(), publish_bytes(&message, Protocol::V311));
            prop_assert_eq!(read_back(&bytes, Protocol::V311), Packet::Publish(message));
        }

        #[test]
        fn no_bytes_panic(first in any::<u8>(), rest in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = vec![first, rest.len() as u8];
            bytes.extend(rest);
            for protocol in [Protocol::V311, Protocol::V5] {
                let _ = decode(Bytes::from(bytes.clone()), protocol);
            }
        }
    }

    #[test]
    fn packets_of_brokers_are_read() {
        let decode = |bytes: &'static [u8], protocol| decode(Bytes::from_static(bytes), protocol);
        // As mosquitto 2.0.11 sends it: topic aliases up to 10, receive maximum 20.
        let connack = [0x20, 9, 0, 0, 6, 0x22, 0, 10, 0x21, 0, 20];
        let connack = super::decode(Bytes::copy_from_slice(&connack), Protocol::V5).unwrap();
        let Packet::Connack(connack) = connack else { panic!("{connack:?}") };
        assert_eq!((connack.reason, connack.receive_maximum), (0, 20));
        // A broker that knows 3.1.1 only refuses version 5 in the form of 3.1.1.
        let refused = decode(&[0x20, 2, 0, 1], Protocol::V5).unwrap();
        assert!(matches!(refused, Packet::Connack(Connack { reason: 0x84, .. })), "{refused:?}");
        let short = decode(&[0x40, 2, 0, 7], Protocol::V5).unwrap();
        assert_eq!(short, Packet::Puback { packet_id: 7, reason: 0, reason_text: None });
        let disconnect = decode(&[0xe0, 0], Protocol::V5).unwrap();
        assert_eq!(disconnect, Packet::Disconnect { reason: 0, reason_text: None });
        for wrong in [
            &[0xe0, 0][..],               // 3.1.1 brokers send no DISCONNECT
            &[0x40, 2, 0, 0],             // no packet has the number 0
            &[0x30, 3, 0, 9, b'a'],       // a topic longer than the packet
            &[0x36, 5, 0, 1, b'a', 0],    // QoS 3
            &[0x34, 5, 0, 1, b'a', 0, 1], // QoS 2
            &[0x30, 3, 0, 1, 0xff],       // no UTF-8
            &[0xd0, 1, 0],                // PINGRESP with a body
            &[0x90, 2, 0, 1],             // SUBACK without codes
            &[0x10, 0],                   // CONNECT from a broker
        ] {
            assert!(decode(wrong, Protocol::V311).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lengths_are_those_of_the_standard() {
        // The borders in table 2-1 of MQTT 5, 1.5.5.
        for (bytes, length) in [
            (&[0x30, 0x00][..], Some(2)),
            (&[0x30, 0x7f], Some(2 + 127)),
            (&[0x30, 0x80, 0x01], Some(3 + 128)),
            (&[0x30, 0xff, 0x7f], Some(3 + 16_383)),
            (&[0x30, 0xff, 0xff, 0xff, 0x7f], Some(5 + MOST_REMAINING_BYTES)),
            (&[0x30], None),
            (&[0x30, 0x80, 0x80], None),
        ] {
            assert_eq!(frame_length(bytes), Ok(length), "{bytes:?}");
        }
        assert!(frame_length(&[0x30, 0x80, 0x80, 0x80, 0x80]).is_err());
    }
}
