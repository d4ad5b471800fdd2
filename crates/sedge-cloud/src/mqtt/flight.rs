//! Messages that wait for their acknowledgement: which number belongs to which.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Outgoing;

/// Most numbers that are remembered from ended connections.
const MOST_EARLIER: usize = 100;

/// A message that is on its way.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) packet_id: u16,
    pub(super) message: Outgoing,
    pub(super) at: Instant,
}

/// What is on its way, and what was when the connection ended.
#[derive(Debug, Default)]
pub(super) struct Flight {
    last: u16,
    sent: VecDeque<Sent>,
    /// Messages without an acknowledgement of ended connections, and their numbers, which they
    /// keep in the same session (MQTT 5, 4.4).
    earlier: VecDeque<(u64, u16)>,
    /// Numbers of subscriptions that are asked for.
    requests: Vec<u16>,
}

impl Flight {
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// The message that has waited longest.
    pub(super) fn oldest(&self) -> Option<&Sent> {
        self.sent.front()
    }

    /// Gives a message its number, and says whether it has had it before.
    pub(super) fn take_off(&mut self, message: Outgoing, at: Instant) -> (u16, bool) {
        let before = self.earlier.iter().position(|(id, _)| *id == message.id);
        let (packet_id, is_repeated) = match before.and_then(|at| self.earlier.remove(at)) {
            Some((_, packet_id)) => (packet_id, true),
            None => (self.free_id(), false),
        };
        self.sent.push_back(Sent { packet_id, message, at });
        (packet_id, is_repeated)
    }

    /// The message that an acknowledgement is for; `None` where nothing waits for it.
    pub(super) fn land(&mut self, packet_id: u16) -> Option<Sent> {
        let at = self.sent.iter().position(|sent| sent.packet_id == packet_id)?;
        self.sent.remove(at)
    }

    /// A number for something that is not a message: a subscription.
    pub(super) fn reserve_id(&mut self) -> u16 {
        let packet_id = self.free_id();
        self.requests.push(packet_id);
        packet_id
    }

    /// That has been answered.
    pub(super) fn release_id(&mut self, packet_id: u16) {
        self.requests.retain(|taken| *taken != packet_id);
    }

    fn free_id(&mut self) -> u16 {
        loop {
            // 0 is no number. At most a few hundred are taken.
            self.last = self.last.checked_add(1).unwrap_or(1);
            let is_taken = self.requests.contains(&self.last)
                || self.sent.iter().any(|sent| sent.packet_id == self.last)
                || self.earlier.iter().any(|(_, packet_id)| *packet_id == self.last);
            if !is_taken {
                return self.last;
            }
        }
    }

    /// The connection is gone; everything on its way will be given again.
    pub(super) fn connection_ended(&mut self) {
        self.requests.clear();
        self.earlier.extend(self.sent.drain(..).map(|sent| (sent.message.id, sent.packet_id)));
        while self.earlier.len() > MOST_EARLIER {
            self.earlier.pop_front();
        }
    }

    /// The broker knows nothing of ended connections.
    pub(super) fn session_is_new(&mut self) {
        self.earlier.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u64) -> Outgoing {
        Outgoing { id, ..Outgoing::default() }
    }

    #[test]
    fn acknowledgements_find_their_message_in_any_order() {
        let (mut flight, now) = (Flight::default(), Instant::now());
        let ids: Vec<u16> = (10..13).map(|id| flight.take_off(message(id), now).0).collect();
        assert_eq!(flight.land(ids[1]).unwrap().message.id, 11);
        assert!(flight.land(ids[1]).is_none(), "once");
        assert_eq!(flight.oldest().unwrap().message.id, 10);
        assert_eq!(flight.len(), 2);
    }

    #[test]
    fn a_message_keeps_its_number_in_the_same_session() {
        let (mut flight, now) = (Flight::default(), Instant::now());
        let (first, _) = flight.take_off(message(1), now);
        let (second, _) = flight.take_off(message(2), now);
        flight.connection_ended();
        assert_eq!(flight.take_off(message(1), now), (first, true));
        let (other, is_repeated) = flight.take_off(message(3), now);
        assert!(other != second && !is_repeated);
        flight.connection_ended();
        flight.session_is_new();
        assert!(!flight.take_off(message(1), now).1);
    }

    #[test]
    fn numbers_come_round_and_leave_out_what_is_taken() {
        let (mut flight, now) = (Flight::default(), Instant::now());
        let (held, _) = flight.take_off(message(0), now);
        for id in 1..=70_000 {
            let (packet_id, _) = flight.take_off(message(id), now);
            assert!(packet_id != held && packet_id != 0);
            flight.land(packet_id).unwrap();
        }
        for connection in 0..1000 {
            flight.take_off(message(100_000 + connection), now);
            flight.connection_ended();
        }
        assert_eq!(flight.earlier.len(), MOST_EARLIER);
    }
}
