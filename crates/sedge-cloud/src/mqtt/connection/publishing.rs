//! The sending half of a connection: at most so many messages at a time, at most so fast, each
//! settled when the broker has it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::mqtt::error::told;
use crate::mqtt::flight::Sent;
use crate::mqtt::packet::{self, Connack, Properties, Protocol, Publish, Qos};
use crate::mqtt::reason::QUOTA_EXCEEDED;
use crate::mqtt::shared::{Memory, Shared};
use crate::mqtt::{Outgoing, Settled, events, topic};

/// Bytes that wait for the socket before no more messages are taken.
const MOST_OUT_BYTES: usize = 64 << 10;
/// How far behind its rate a sender may catch up: timers are a little late.
const CATCH_UP: Duration = Duration::from_millis(20);

pub(super) struct Publishing<'a> {
    link: &'a Shared,
    memory: &'a mut Memory,
    protocol: Protocol,
    connack: Connack,
    window: usize,
    /// Messages of QoS 0 before the socket: how many bytes it has taken with each, and its id.
    unwritten: VecDeque<(u64, u64)>,
    /// Messages that are over a quota, until when they wait, and how long the next ones will.
    held: VecDeque<Outgoing>,
    held_until: Instant,
    hold: Duration,
    next_at: Instant,
}

impl<'a> Publishing<'a> {
    pub(super) fn new(
        link: &'a Shared,
        memory: &'a mut Memory,
        protocol: Protocol,
        connack: Connack,
    ) -> Self {
        if !connack.session_present {
            memory.flight.session_is_new();
        }
        memory.subscriptions.connected(connack.session_present);
        let window = link.settings.max_in_flight.min(connack.receive_maximum).into();
        let (hold, now) = (link.settings.reconnect_min, Instant::now());
        Self {
            link,
            memory,
            protocol,
            connack,
            window,
            unwritten: VecDeque::new(),
            held: VecDeque::new(),
            held_until: now,
            hold,
            next_at: now,
        }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.memory.flight.len() == 0 && self.held.is_empty() && self.unwritten.is_empty()
    }

    /// Whether the outbox may be asked for a message, with so many bytes before the socket.
    pub(super) fn takes_more(&self, out_bytes: usize) -> bool {
        let window = if self.memory.doubt.is_careful() { 1 } else { self.window };
        self.memory.flight.len() + self.unwritten.len().min(1) < window.max(1)
            && self.held.is_empty()
            && out_bytes < MOST_OUT_BYTES
            && self.next_at <= Instant::now()
    }

    /// When there is something to do that nothing from outside announces.
    pub(super) fn wakes(&self) -> Option<Instant> {
        if !self.held.is_empty() {
            return Some(self.held_until);
        }
        (self.next_at > Instant::now()).then_some(self.next_at)
    }

    /// Since when the first message waits for its acknowledgement.
    pub(super) fn sent_first(&self) -> Option<Instant> {
        self.memory.flight.oldest().map(|sent| sent.at)
    }

    /// Since when the first subscription waits for its answer.
    pub(super) fn asked_first(&self) -> Option<Instant> {
        self.memory.subscriptions.waiting_since()
    }

    /// Sends a message, or settles it as one that cannot be sent. The socket has taken `taken`
    /// bytes before those in `out`.
    pub(super) fn publish(&mut self, message: Outgoing, out: &mut BytesMut, taken: u64) {
        let mut sending = Publish {
            is_repeated: false,
            qos: message.qos.min(self.connack.maximum_qos),
            retain: message.retain,
            topic: message.topic.clone(),
            packet_id: 0,
            properties: message.properties.clone(),
            payload: message.payload.clone(),
        };
        if let Err(reason) = self.check(&sending) {
            return self.refuse(&message, reason);
        }
        let (id, now) = (message.id, Instant::now());
        let bytes = packet::publish_bytes(&sending, self.protocol);
        if sending.qos == Qos::AtLeastOnce {
            (sending.packet_id, sending.is_repeated) = self.memory.flight.take_off(message, now);
        } else {
            self.unwritten.push_back((taken + (out.len() + bytes) as u64, id));
        }
        packet::publish(out, &sending, self.protocol);
        self.next_at = self.next_at.max(now - CATCH_UP) + self.gap(bytes);
        let in_flight = self.memory.flight.len();
        self.link.tell(|status| {
            status.in_flight = in_flight;
            status.repeated += u64::from(sending.is_repeated);
        });
    }

    fn check(&self, message: &Publish) -> Result<(), String> {
        topic::check(&message.topic, message.payload.len(), &self.link.settings.limits)
            .map_err(|error| error.to_string())?;
        let Properties { content_type, response_topic, correlation, user, .. } =
            &message.properties;
        let texts = content_type.iter().chain(response_topic).map(String::len);
        let pairs = user.iter().flat_map(|(name, value)| [name.len(), value.len()]);
        let longest = texts.chain(pairs).chain(correlation.iter().map(Bytes::len)).max();
        if longest > Some(u16::MAX.into()) {
            return Err(
                "a property is longer than 65,535 bytes. Hint: put it into the payload".to_owned()
            );
        }
        if message.retain && !self.connack.retain_available {
            return Err(
                "the broker keeps no retained messages. Hint: publish it without retain".to_owned()
            );
        }
        let bytes = packet::publish_bytes(message, self.protocol);
        let most = self.connack.maximum_packet_bytes;
        if u32::try_from(bytes).map_or(true, |bytes| bytes > most) {
            return Err(format!(
                "the packet has {bytes} bytes, and the broker takes at most {most}. \
                 Hint: put what is large into S3, and publish where it is"
            ));
        }
        Ok(())
    }

    /// How long a message of so many bytes keeps the next one waiting.
    fn gap(&self, bytes: usize) -> Duration {
        let settings = &self.link.settings;
        let per = |amount: f64, rate: Option<u32>| {
            rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(amount / f64::from(rate)))
        };
        per(1.0, settings.publishes_per_second).max(per(bytes as f64, settings.bytes_per_second))
    }

    /// The socket has taken so many bytes. What is in it whole must not be sent a second time.
    pub(super) fn written(&mut self, taken: u64) {
        while let Some((_, id)) = self.unwritten.pop_front_if(|(end, _)| *end <= taken) {
            self.link.outbox.settled(id, Settled::Delivered);
            self.link.tell(|status| status.delivered += 1);
        }
    }

    /// The broker has answered a message.
    pub(super) fn acknowledged(&mut self, packet_id: u16, reason: u8, text: Option<&str>) {
        let Some(Sent { message, at, .. }) = self.memory.flight.land(packet_id) else { return };
        let in_flight = self.memory.flight.len();
        self.link.tell(|status| status.in_flight = in_flight);
        self.memory.doubt.settled();
        match reason {
            0..0x80 => {
                self.hold = self.link.settings.reconnect_min;
                self.link.outbox.settled(message.id, Settled::Delivered);
                self.link.tell(|status| {
                    status.delivered += 1;
                    status.latency.record(at.elapsed());
                });
            }
            QUOTA_EXCEEDED => {
                // The outbox gives them in order; answers may come in another.
                let at = self.held.partition_point(|other| other.id < message.id);
                self.held.insert(at, message);
                self.held_until = Instant::now() + self.hold;
                self.hold = (self.hold * 2).min(self.link.settings.reconnect_max);
            }
            reason => {
                let words = format!("the broker does not take it: {}", told(reason, text));
                self.refuse(&message, words);
            }
        }
    }

    /// Sends what was over a quota, when its time has come.
    pub(super) fn send_again(&mut self, now: Instant, out: &mut BytesMut, taken: u64) {
        if now < self.held_until {
            return;
        }
        for message in std::mem::take(&mut self.held) {
            self.publish(message, out, taken);
        }
    }

    /// Asks for the filters that are wanted.
    pub(super) fn subscribe(&mut self, wanted: &[(String, Qos)], out: &mut BytesMut) {
        let per_request = self.link.settings.limits.filters_per_request.max(1);
        let Memory { flight, subscriptions, .. } = &mut *self.memory;
        subscriptions.ask(wanted, per_request, flight, self.protocol, out);
        let refused = subscriptions.refused();
        self.link.tell(|status| status.refused_filters = refused);
    }

    /// The broker has answered a request for filters.
    pub(super) fn subscribed(&mut self, packet_id: u16, reasons: &Bytes) {
        let Memory { flight, subscriptions, .. } = &mut *self.memory;
        for (filter, reason) in subscriptions.answered(packet_id, reasons, flight) {
            events::filter_refused(&filter, &reason);
        }
    }

    /// The broker ended the connection with messages on their way: perhaps for the first of them.
    pub(super) fn broker_ended_it(&mut self) {
        let Some(sent) = self.memory.flight.oldest() else { return };
        let (id, packet_id) = (sent.message.id, sent.packet_id);
        let times = self.memory.doubt.ended(id);
        if times < self.link.settings.publish_attempts.max(1) {
            return;
        }
        if let Some(sent) = self.memory.flight.land(packet_id) {
            self.memory.doubt.settled();
            let words = format!(
                "the broker ended {times} connections when this was sent. \
                 Hint: check that it may be published to this topic"
            );
            self.refuse(&sent.message, words);
        }
    }

    fn refuse(&self, message: &Outgoing, reason: String) {
        events::refused(&message.topic, &reason);
        self.link.tell(|status| status.refused += 1);
        self.link.outbox.settled(message.id, Settled::Refused(reason));
    }
}
