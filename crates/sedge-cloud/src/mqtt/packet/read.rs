use bytes::{Buf, Bytes};

use super::property::{self, Value};
use super::{Connack, Malformed, Packet, Properties, Protocol, Publish, Qos};

/// Bytes of the packet that begins here, its header included; `None` while too few are there to
/// tell. What no broker may send is known by its first byte: nothing more of it is waited for.
pub fn frame_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    bytes.first().map_or(Ok(()), |first| check_first(*first))?;
    let mut length = 0usize;
    for (at, byte) in bytes.iter().skip(1).enumerate() {
        if at == 4 {
            break;
        }
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some(2 + at + length));
        }
    }
    if bytes.len() > 4 { Err(Malformed("its length has more than four bytes")) } else { Ok(None) }
}

fn check_first(byte: u8) -> Result<(), Malformed> {
    match (byte >> 4, byte & 0x0f) {
        (3, _) | (2 | 4 | 9 | 11 | 13 | 14, 0) => Ok(()),
        (2 | 4 | 9 | 11 | 13 | 14, _) => {
            Err(Malformed("its first byte has flags that its kind does not have"))
        }
        _ => Err(Malformed("no broker sends a packet of its kind")),
    }
}

/// Reads one whole packet, of [`frame_length`] bytes. The payload of a message shares them.
pub fn decode(frame: Bytes, protocol: Protocol) -> Result<Packet, Malformed> {
    let mut reader = Reader(frame);
    let head = reader.byte()?;
    let length = reader.variable()? as usize;
    if length != reader.0.remaining() {
        return Err(Malformed("its length is not what it states"));
    }
    let (kind, flags) = (head >> 4, head & 0x0f);
    if kind == 3 {
        return publish(reader, flags, protocol).map(Packet::Publish);
    }
    check_first(head)?;
    let packet = match kind {
        2 => Packet::Connack(connack(&mut reader, protocol)?),
        4 => {
            let packet_id = reader.packet_id()?;
            let (reason, reason_text) = reader.reason(protocol)?;
            Packet::Puback { packet_id, reason, reason_text }
        }
        9 => {
            let packet_id = reader.packet_id()?;
            if protocol == Protocol::V5 {
                property::each(&mut reader, |_, _| Ok(()))?;
            }
            let reasons = reader.rest();
            if reasons.is_empty() {
                return Err(Malformed("SUBACK answers no filter"));
            }
            Packet::Suback { packet_id, reasons }
        }
        11 => {
            let packet_id = reader.packet_id()?;
            reader.rest();
            Packet::Unsuback { packet_id }
        }
        13 => Packet::Pong,
        14 if protocol == Protocol::V5 => {
            let (reason, reason_text) = reader.reason(protocol)?;
            Packet::Disconnect { reason, reason_text }
        }
        _ => return Err(Malformed("no broker sends a packet of its kind")),
    };
    if reader.0.has_remaining() { Err(Malformed("it is longer than its kind")) } else { Ok(packet) }
}

fn publish(mut reader: Reader, flags: u8, protocol: Protocol) -> Result<Publish, Malformed> {
    let qos = match (flags >> 1) & 3 {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => return Err(Malformed("a message has a QoS that was not subscribed to")),
    };
    let topic = reader.text()?;
    let packet_id = if qos == Qos::AtMostOnce { 0 } else { reader.packet_id()? };
    let mut properties = Properties::default();
    let mut has_alias = false;
    if protocol == Protocol::V5 {
        property::each(&mut reader, |id, value| {
            match (id, value) {
                (property::PAYLOAD_FORMAT, Value::Number(n)) => properties.is_utf8 = n == 1,
                (property::MESSAGE_EXPIRY, Value::Number(n)) => properties.expiry_s = Some(n),
                (property::CONTENT_TYPE, Value::Text(text)) => properties.content_type = Some(text),
                (property::RESPONSE_TOPIC, Value::Text(text)) => {
                    properties.response_topic = Some(text);
                }
                (property::CORRELATION_DATA, Value::Binary(bytes)) => {
                    properties.correlation = Some(bytes);
                }
                (property::USER, Value::Pair(name, value)) => properties.user.push((name, value)),
                (property::TOPIC_ALIAS, _) => has_alias = true,
                _ => {}
            }
            Ok(())
        })?;
    }
    // CONNECT allowed no aliases, so that every message has its topic.
    if topic.is_empty() || has_alias {
        return Err(Malformed("a message has no topic, or an alias that was not allowed"));
    }
    let (retain, is_repeated) = (flags & 1 == 1, flags & 8 == 8);
    let payload = reader.rest();
    Ok(Publish { is_repeated, qos, retain, topic, packet_id, properties, payload })
}

fn connack(reader: &mut Reader, protocol: Protocol) -> Result<Connack, Malformed> {
    let session_present = reader.byte()? & 1 == 1;
    let code = reader.byte()?;
    let mut connack = Connack {
        session_present,
        reason: code,
        reason_text: None,
        session_expiry_s: None,
        receive_maximum: u16::MAX,
        maximum_qos: Qos::AtLeastOnce,
        retain_available: true,
        maximum_packet_bytes: u32::MAX,
        client_id: None,
        keep_alive_s: None,
    };
    // Without properties it is of 3.1.1, also as the answer of such a broker to version 5.
    if protocol == Protocol::V311 || !reader.0.has_remaining() {
        connack.reason = match code {
            1 => 0x84,
            2 => 0x85,
            3 => 0x88,
            4 => 0x86,
            5 => 0x87,
            other => other,
        };
        return Ok(connack);
    }
    property::each(reader, |id, value| {
        match (id, value) {
            (property::SESSION_EXPIRY, Value::Number(n)) => connack.session_expiry_s = Some(n),
            (property::RECEIVE_MAXIMUM, Value::Number(0)) => {
                return Err(Malformed("the broker takes no message at a time"));
            }
            (property::RECEIVE_MAXIMUM, Value::Number(n)) => connack.receive_maximum = n as u16,
            (property::MAXIMUM_QOS, Value::Number(0)) => connack.maximum_qos = Qos::AtMostOnce,
            (property::RETAIN_AVAILABLE, Value::Number(n)) => connack.retain_available = n != 0,
            (property::MAXIMUM_PACKET, Value::Number(n)) => connack.maximum_packet_bytes = n,
            (property::ASSIGNED_CLIENT_ID, Value::Text(text)) => connack.client_id = Some(text),
            (property::SERVER_KEEP_ALIVE, Value::Number(n)) => {
                connack.keep_alive_s = Some(n as u16);
            }
            (property::REASON_STRING, Value::Text(text)) => connack.reason_text = Some(text),
            _ => {}
        }
        Ok(())
    })?;
    Ok(connack)
}

/// What is left of a packet. Nothing is read beyond its end.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn bytes(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.0.remaining() {
            return Err(Malformed("it ends too early"));
        }
        Ok(self.0.split_to(length))
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(super) fn two(&mut self) -> Result<u16, Malformed> {
        self.bytes(2).map(|mut bytes| bytes.get_u16())
    }

    pub(super) fn four(&mut self) -> Result<u32, Malformed> {
        self.bytes(4).map(|mut bytes| bytes.get_u32())
    }

    pub(super) fn variable(&mut self) -> Result<u32, Malformed> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed("a length has more than four bytes"))
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, Malformed> {
        let length = self.two()?;
        self.bytes(length.into())
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let text = String::from_utf8(self.binary()?.into())
            .map_err(|_| Malformed("a text is not UTF-8"))?;
        if text.contains('\0') { Err(Malformed("a text has a zero byte")) } else { Ok(text) }
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    fn packet_id(&mut self) -> Result<u16, Malformed> {
        match self.two()? {
            0 => Err(Malformed("no packet has the number 0")),
            id => Ok(id),
        }
    }

    /// The end of PUBACK and DISCONNECT, of which version 5 may leave out what says nothing.
    fn reason(&mut self, protocol: Protocol) -> Result<(u8, Option<String>), Malformed> {
        let mut words = None;
        if protocol == Protocol::V311 || !self.0.has_remaining() {
            return Ok((0, words));
        }
        let reason = self.byte()?;
        if self.0.has_remaining() {
            property::each(self, |id, value| {
                if let (property::REASON_STRING, Value::Text(text)) = (id, value) {
                    words = Some(text);
                }
                Ok(())
            })?;
        }
        Ok((reason, words))
    }
}
