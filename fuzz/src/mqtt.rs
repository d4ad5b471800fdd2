//! What a broker sends: packets of MQTT, read one after the other. A message that is read is
//! written again, and has to be the same when that is read.

use bytes::{Bytes, BytesMut};
use sedge_cloud::mqtt::packet::{self, Packet, Properties, Protocol, Publish, Qos};
use sedge_cloud::mqtt::topic::{Limits, check, check_filter};

use crate::Target;

/// See the module.
pub const TARGET: Target = Target { name: "mqtt", max_peak_bytes: 1 << 20, body };

fn body(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let protocol = if first & 1 == 0 { Protocol::V5 } else { Protocol::V311 };
    let mut stream = Bytes::copy_from_slice(rest);
    while let Ok(Some(length)) = packet::frame_length(&stream) {
        if length > stream.len() {
            break;
        }
        match packet::decode(stream.split_to(length), protocol) {
            Ok(Packet::Publish(message)) => {
                for limits in [Limits::plain(), Limits::aws_iot()] {
                    let _ = check(&message.topic, message.payload.len(), &limits);
                    let _ = check_filter(&message.topic, &limits);
                }
                let mut again = BytesMut::new();
                packet::publish(&mut again, &message, protocol);
                assert_eq!(again.len(), packet::publish_bytes(&message, protocol));
                let again = packet::decode(again.freeze(), protocol);
                assert_eq!(again, Ok(Packet::Publish(message)));
            }
            Ok(_) => {}
            Err(error) => drop(error.to_string()),
        }
    }
}

/// Every kind of packet in both versions, messages with all properties, and what is wrong with
/// each in its own way.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut all = [vec![0], vec![1]];
    for (version, protocol) in [Protocol::V5, Protocol::V311].into_iter().enumerate() {
        for (name, packet) in written(protocol).into_iter().chain(by_hand()) {
            all[version].extend_from_slice(&packet);
            let seed = |packet: &[u8]| [&[version as u8], packet].concat();
            seeds.push((format!("{name}-{version}"), seed(&packet)));
            seeds.push((format!("{name}-{version}-cut"), seed(&packet[..packet.len() - 1])));
        }
    }
    seeds.extend(all.into_iter().enumerate().map(|(version, all)| (format!("all-{version}"), all)));
    seeds
}

fn written(protocol: Protocol) -> Vec<(&'static str, Vec<u8>)> {
    let plain = Publish {
        is_repeated: false,
        qos: Qos::AtMostOnce,
        retain: true,
        topic: "a/b".to_owned(),
        packet_id: 0,
        properties: Properties::default(),
        payload: Bytes::from_static(b"{}"),
    };
    let full = Publish {
        is_repeated: true,
        qos: Qos::AtLeastOnce,
        packet_id: 513,
        properties: Properties {
            is_utf8: true,
            expiry_s: Some(60),
            content_type: Some("text/plain".to_owned()),
            response_topic: Some("c".to_owned()),
            correlation: Some(Bytes::from_static(&[0, 255])),
            user: vec![("é".to_owned(), String::new()); 2],
        },
        payload: Bytes::from(vec![b'x'; 200]),
        ..plain.clone()
    };
    [("plain", plain), ("full", full)]
        .into_iter()
        .map(|(name, message)| {
            let mut bytes = BytesMut::new();
            packet::publish(&mut bytes, &message, protocol);
            (name, bytes.to_vec())
        })
        .collect()
}

fn by_hand() -> Vec<(&'static str, Vec<u8>)> {
    // Session expiry, receive maximum, QoS, retain, packet, client id, keep alive, reason.
    let properties =
        b"\x11\0\0\0\x01\x21\0\x01\x24\0\x25\0\x27\0\0\0\xff\x12\0\x01a\x13\0\x01\x1f\0\x01b";
    let connack =
        [&[0x20, properties.len() as u8 + 3, 1, 0, properties.len() as u8], &properties[..]];
    vec![
        ("connack", connack.concat()),
        ("connack-311", vec![0x20, 2, 1, 5]),
        ("puback", vec![0x40, 2, 0, 1]),
        ("puback-reason", vec![0x40, 8, 0, 1, 0x97, 4, 0x1f, 0, 1, b'c']),
        ("suback", vec![0x90, 5, 0, 1, 0, 1, 0x80]),
        ("unsuback", vec![0xb0, 4, 0, 1, 0, 0]),
        ("pong", vec![0xd0, 0]),
        ("disconnect", vec![0xe0, 7, 0x8e, 5, 0x1f, 0, 2, b'd', b'e']),
        ("alias", vec![0x30, 6, 0, 0, 3, 0x23, 0, 1]),
        ("length", vec![0x30, 0xff, 0xff, 0xff, 0x7f]),
    ]
}
