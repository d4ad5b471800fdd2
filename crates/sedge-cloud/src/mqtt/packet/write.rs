use bytes::{BufMut, BytesMut};

use super::{Properties, Protocol, Publish, Qos, property};

/// What a client says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// Version of the protocol.
    pub protocol: Protocol,
    /// The session's name.
    pub client_id: &'a str,
    /// Whether a session that the broker still has is to be forgotten.
    pub clean_start: bool,
    /// Seconds between packets.
    pub keep_alive_s: u16,
    /// Seconds that the session outlives the connection (MQTT 5).
    pub session_expiry_s: u32,
    /// Most messages that the broker may send unacknowledged (MQTT 5).
    pub receive_maximum: u16,
    /// Most bytes of a packet that the broker may send (MQTT 5).
    pub maximum_packet_bytes: u32,
    /// Name and password.
    pub login: Option<(&'a str, &'a str)>,
}

/// Appends CONNECT. The texts have to be shorter than 65,536 bytes, here and in all others.
pub fn connect(out: &mut BytesMut, connect: &Connect<'_>) {
    let mut body = BytesMut::new();
    text(&mut body, "MQTT");
    body.put_u8(if connect.protocol == Protocol::V5 { 5 } else { 4 });
    let flags = u8::from(connect.clean_start) << 1;
    body.put_u8(if connect.login.is_some() { flags | 0xc0 } else { flags });
    body.put_u16(connect.keep_alive_s);
    if connect.protocol == Protocol::V5 {
        body.put_u8(5 + 3 + 5);
        body.put_u8(property::SESSION_EXPIRY);
        body.put_u32(connect.session_expiry_s);
        body.put_u8(property::RECEIVE_MAXIMUM);
        body.put_u16(connect.receive_maximum);
        body.put_u8(property::MAXIMUM_PACKET);
        body.put_u32(connect.maximum_packet_bytes);
    }
    text(&mut body, connect.client_id);
    if let Some((name, password)) = connect.login {
        text(&mut body, name);
        text(&mut body, password);
    }
    out.put_u8(0x10);
    variable(out, body.len());
    out.extend_from_slice(&body);
}

/// Appends PUBLISH.
pub fn publish(out: &mut BytesMut, message: &Publish, protocol: Protocol) {
    let flags = u8::from(message.is_repeated) << 3
        | u8::from(message.qos == Qos::AtLeastOnce) << 1
        | u8::from(message.retain);
    out.reserve(publish_bytes(message, protocol));
    out.put_u8(0x30 | flags);
    variable(out, publish_body_bytes(message, protocol));
    text(out, &message.topic);
    if message.qos == Qos::AtLeastOnce {
        out.put_u16(message.packet_id);
    }
    if protocol == Protocol::V5 {
        variable(out, properties_bytes(&message.properties));
        properties(out, &message.properties);
    }
    out.extend_from_slice(&message.payload);
}

/// Bytes of the whole packet.
#[must_use]
pub fn publish_bytes(message: &Publish, protocol: Protocol) -> usize {
    let body = publish_body_bytes(message, protocol);
    1 + variable_bytes(body) + body
}

fn publish_body_bytes(message: &Publish, protocol: Protocol) -> usize {
    let id = if message.qos == Qos::AtLeastOnce { 2 } else { 0 };
    let properties = match protocol {
        Protocol::V311 => 0,
        Protocol::V5 => {
            let bytes = properties_bytes(&message.properties);
            variable_bytes(bytes) + bytes
        }
    };
    2 + message.topic.len() + id + properties + message.payload.len()
}

fn properties_bytes(properties: &Properties) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, |text| 3 + text.len());
    let user: usize =
        properties.user.iter().map(|(name, value)| 5 + name.len() + value.len()).sum();
    (if properties.is_utf8 { 2 } else { 0 })
        + properties.expiry_s.map_or(0, |_| 5)
        + text(&properties.content_type)
        + text(&properties.response_topic)
        + properties.correlation.as_ref().map_or(0, |bytes| 3 + bytes.len())
        + user
}

fn properties(out: &mut BytesMut, properties: &Properties) {
    if properties.is_utf8 {
        out.put_slice(&[property::PAYLOAD_FORMAT, 1]);
    }
    if let Some(seconds) = properties.expiry_s {
        out.put_u8(property::MESSAGE_EXPIRY);
        out.put_u32(seconds);
    }
    let binary = |out: &mut BytesMut, id, bytes: &[u8]| {
        out.put_u8(id);
        out.put_u16(bytes.len() as u16);
        out.put_slice(bytes);
    };
    if let Some(content) = &properties.content_type {
        binary(out, property::CONTENT_TYPE, content.as_bytes());
    }
    if let Some(topic) = &properties.response_topic {
        binary(out, property::RESPONSE_TOPIC, topic.as_bytes());
    }
    if let Some(bytes) = &properties.correlation {
        binary(out, property::CORRELATION_DATA, bytes);
    }
    for (name, value) in &properties.user {
        binary(out, property::USER, name.as_bytes());
        text(out, value);
    }
}

/// Appends PUBACK.
pub fn puback(out: &mut BytesMut, packet_id: u16) {
    out.put_slice(&[0x40, 2]);
    out.put_u16(packet_id);
}

/// Appends SUBSCRIBE. `keeps_quiet`: retained messages only for filters that are new to the
/// session (MQTT 5).
pub fn subscribe(
    out: &mut BytesMut,
    packet_id: u16,
    filters: &[(String, Qos)],
    keeps_quiet: bool,
    protocol: Protocol,
) {
    let is_v5 = protocol == Protocol::V5;
    let filters_bytes: usize = filters.iter().map(|(filter, _)| 3 + filter.len()).sum();
    out.put_u8(0x82);
    variable(out, 2 + usize::from(is_v5) + filters_bytes);
    out.put_u16(packet_id);
    if is_v5 {
        out.put_u8(0);
    }
    for (filter, qos) in filters {
        text(out, filter);
        let quiet = if is_v5 && keeps_quiet { 0x10 } else { 0 };
        out.put_u8(quiet | u8::from(*qos == Qos::AtLeastOnce));
    }
}

/// Appends UNSUBSCRIBE.
pub fn unsubscribe(out: &mut BytesMut, packet_id: u16, filters: &[String], protocol: Protocol) {
    let is_v5 = protocol == Protocol::V5;
    let filters_bytes: usize = filters.iter().map(|filter| 2 + filter.len()).sum();
    out.put_u8(0xa2);
    variable(out, 2 + usize::from(is_v5) + filters_bytes);
    out.put_u16(packet_id);
    if is_v5 {
        out.put_u8(0);
    }
    for filter in filters {
        text(out, filter);
    }
}

/// Appends PINGREQ.
pub fn ping(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

/// Appends DISCONNECT; the reason is told by MQTT 5 only.
pub fn disconnect(out: &mut BytesMut, reason: u8, protocol: Protocol) {
    match (protocol, reason) {
        (Protocol::V311, _) | (_, 0) => out.put_slice(&[0xe0, 0]),
        (Protocol::V5, reason) => out.put_slice(&[0xe0, 1, reason]),
    }
}

fn text(out: &mut BytesMut, text: &str) {
    debug_assert!(text.len() <= u16::MAX.into(), "settings and topics are checked");
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

fn variable(out: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn variable_bytes(number: usize) -> usize {
    match number {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}
