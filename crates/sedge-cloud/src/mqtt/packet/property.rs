//! Properties of MQTT 5 (2.2.2): a number, and a value whose form the number tells.

use bytes::{Buf, Bytes};

use super::Malformed;
use super::read::Reader;

pub(super) const PAYLOAD_FORMAT: u8 = 0x01;
pub(super) const MESSAGE_EXPIRY: u8 = 0x02;
pub(super) const CONTENT_TYPE: u8 = 0x03;
pub(super) const RESPONSE_TOPIC: u8 = 0x08;
pub(super) const CORRELATION_DATA: u8 = 0x09;
pub(super) const SESSION_EXPIRY: u8 = 0x11;
pub(super) const ASSIGNED_CLIENT_ID: u8 = 0x12;
pub(super) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(super) const REASON_STRING: u8 = 0x1f;
pub(super) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(super) const TOPIC_ALIAS: u8 = 0x23;
pub(super) const MAXIMUM_QOS: u8 = 0x24;
pub(super) const RETAIN_AVAILABLE: u8 = 0x25;
pub(super) const USER: u8 = 0x26;
pub(super) const MAXIMUM_PACKET: u8 = 0x27;

/// What a property holds.
pub(super) enum Value {
    /// One, two, four bytes, or a variable length: none is more than 32 bits.
    Number(u32),
    Text(String),
    Binary(Bytes),
    Pair(String, String),
}

/// Reads the length of the properties and then each of them.
pub(super) fn each(
    reader: &mut Reader,
    mut take: impl FnMut(u8, Value) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let length = reader.variable()? as usize;
    let mut inner = Reader(reader.bytes(length)?);
    while inner.0.has_remaining() {
        let id = inner.byte()?;
        let value = match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => {
                Value::Number(inner.byte()?.into())
            }
            0x13 | 0x21 | 0x22 | 0x23 => Value::Number(inner.two()?.into()),
            0x02 | 0x11 | 0x18 | 0x27 => Value::Number(inner.four()?),
            0x0b => Value::Number(inner.variable()?),
            0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => Value::Text(inner.text()?),
            0x09 | 0x16 => Value::Binary(inner.binary()?),
            0x26 => Value::Pair(inner.text()?, inner.text()?),
            _ => return Err(Malformed("a property has a number that MQTT 5 does not know")),
        };
        take(id, value)?;
    }
    Ok(())
}
