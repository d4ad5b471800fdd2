//! What has come from the broker: bytes that are no whole packet yet, and messages that wait for
//! the inbox. Both are bounded.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use super::packet::{self, Malformed, Packet, Protocol, Publish};

/// Most bytes of messages that wait for the inbox before no more are read from the connection.
const MOST_WAITING_BYTES: usize = 1 << 20;
/// Bytes that are read at a time.
const READ_BYTES: usize = 16 << 10;

/// What a packet has turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// One to be looked at.
    Packet(Packet),
    /// A message larger than is taken, whose bytes are passed over. Only 3.1.1 has no way to tell
    /// a broker what is too large; the connection must not end each time it comes.
    TooLarge {
        /// Where it was published to.
        topic: String,
        /// By what it is acknowledged, with QoS 1.
        packet_id: Option<u16>,
        /// Of the packet.
        bytes: usize,
    },
}

/// Bytes as they arrive.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) bytes: BytesMut,
    most_packet_bytes: usize,
    skip: usize,
}

impl Input {
    pub(super) fn new(most_packet_bytes: usize) -> Self {
        Self { bytes: BytesMut::new(), most_packet_bytes, skip: 0 }
    }

    /// Where the next bytes go.
    pub(super) fn space(&mut self) -> &mut BytesMut {
        self.bytes.reserve(READ_BYTES);
        &mut self.bytes
    }

    /// The next packet, when it is whole.
    pub(super) fn next(&mut self, protocol: Protocol) -> Result<Option<Read>, Malformed> {
        let passed = self.skip.min(self.bytes.len());
        self.bytes.advance(passed);
        self.skip -= passed;
        let Some(length) = packet::frame_length(&self.bytes)?.filter(|_| self.skip == 0) else {
            return Ok(None);
        };
        if length > self.most_packet_bytes {
            return self.too_large(length, protocol);
        }
        if self.bytes.len() < length {
            return Ok(None);
        }
        let frame = self.bytes.split_to(length).freeze();
        packet::decode(frame, protocol).map(|packet| Some(Read::Packet(packet)))
    }

    fn too_large(&mut self, length: usize, protocol: Protocol) -> Result<Option<Read>, Malformed> {
        let error = Malformed("a packet is larger than was allowed");
        let flags = self.bytes[0];
        if protocol == Protocol::V5 || flags >> 4 != 3 {
            return Err(error);
        }
        // Fixed header, topic, number: at most 65,544 bytes have to be here.
        let header =
            1 + self.bytes.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
        let Some(topic_bytes) = self.bytes.get(header..header + 2) else { return Ok(None) };
        let topic_end =
            header + 2 + usize::from(u16::from_be_bytes([topic_bytes[0], topic_bytes[1]]));
        let Some(number) = self.bytes.get(topic_end..topic_end + 2) else { return Ok(None) };
        let packet_id = match (flags >> 1) & 3 {
            0 => None,
            1 => Some(u16::from_be_bytes([number[0], number[1]])),
            _ => return Err(error),
        };
        let topic = String::from_utf8_lossy(&self.bytes[header + 2..topic_end]).into_owned();
        self.skip = length;
        Ok(Some(Read::TooLarge { topic, packet_id, bytes: length }))
    }
}

/// Messages that the inbox has not taken.
#[derive(Debug)]
pub(super) struct Waiting {
    messages: VecDeque<Publish>,
    bytes: usize,
    most: usize,
}

impl Waiting {
    pub(super) fn new(most: u16) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, most: most.into() }
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < self.most && self.bytes < MOST_WAITING_BYTES
    }

    pub(super) fn push(&mut self, message: Publish) {
        self.bytes += bytes_of(&message);
        self.messages.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Publish> {
        let message = self.messages.pop_front()?;
        self.bytes -= bytes_of(&message);
        Some(message)
    }
}

fn bytes_of(message: &Publish) -> usize {
    packet::publish_bytes(message, Protocol::V5)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mqtt::packet::Qos;

    fn message(bytes: usize, qos: Qos) -> Publish {
        Publish {
            is_repeated: false,
            qos,
            retain: false,
            topic: "topic".to_owned(),
            packet_id: if qos == Qos::AtLeastOnce { 7 } else { 0 },
            properties: packet::Properties::default(),
            payload: Bytes::from(vec![7; bytes]),
        }
    }

    #[test]
    fn packets_are_read_however_they_are_cut() {
        let (small, large) = (message(10, Qos::AtMostOnce), message(5000, Qos::AtLeastOnce));
        let mut whole = BytesMut::new();
        for message in [&small, &large, &large, &small] {
            packet::publish(&mut whole, message, Protocol::V311);
        }
        for step in [1, 2, 3, 7, 1000, whole.len()] {
            let mut input = Input::new(1000);
            let (mut read, mut held) = (Vec::new(), 0);
            for part in whole.chunks(step) {
                input.bytes.extend_from_slice(part);
                while let Some(next) = input.next(Protocol::V311).unwrap() {
                    read.push(next);
                }
                held = held.max(input.bytes.len());
            }
            assert!(held <= 1000, "{held} bytes for packets of at most 1000");
            let bytes = packet::publish_bytes(&large, Protocol::V311);
            let skipped =
                || Read::TooLarge { topic: "topic".to_owned(), packet_id: Some(7), bytes };
            let small = || Read::Packet(Packet::Publish(small.clone()));
            assert_eq!(read, [small(), skipped(), skipped(), small()], "{step} at a time");
        }
    }

    #[test]
    fn version_5_has_been_told_what_is_too_large() {
        let mut input = Input::new(1000);
        packet::publish(&mut input.bytes, &message(2000, Qos::AtMostOnce), Protocol::V5);
        assert!(input.next(Protocol::V5).is_err());
        let mut input = Input::new(1000);
        input.bytes.extend_from_slice(&[0x90, 0xff, 0x7f]);
        assert!(input.next(Protocol::V311).is_err(), "no message");
    }

    #[test]
    fn waiting_messages_are_bounded_by_number_and_bytes() {
        let mut waiting = Waiting::new(3);
        (0..3).for_each(|_| waiting.push(message(1, Qos::AtMostOnce)));
        assert!(!waiting.has_room());
        while waiting.pop().is_some() {}
        assert!(waiting.has_room() && waiting.bytes == 0);
        waiting.push(message(MOST_WAITING_BYTES, Qos::AtMostOnce));
        assert!(!waiting.has_room());
    }
}
