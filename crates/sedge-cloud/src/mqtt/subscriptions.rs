//! Which filters the broker has, and which it is to have.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::flight::Flight;
use super::packet::{self, Protocol, Qos};
use super::reason;

/// What the broker was asked for and has not answered.
#[derive(Debug)]
struct Request {
    packet_id: u16,
    filters: Vec<(String, Qos)>,
    at: Instant,
}

/// The subscriptions of a session, kept from one connection to the next.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    taken: BTreeMap<String, Qos>,
    refused: BTreeMap<String, String>,
    requests: Vec<Request>,
}

impl Subscriptions {
    /// A connection was accepted.
    pub(super) fn connected(&mut self, session_present: bool) {
        self.requests.clear();
        self.refused.clear();
        if !session_present {
            self.taken.clear();
        }
    }

    /// Asks for what is wanted and not there, and takes back what is there and not wanted.
    pub(super) fn ask(
        &mut self,
        wanted: &[(String, Qos)],
        per_request: usize,
        flight: &mut Flight,
        protocol: Protocol,
        out: &mut BytesMut,
    ) {
        let is_wanted = |filter: &String| wanted.iter().any(|(other, _)| other == filter);
        self.refused.retain(|filter, _| is_wanted(filter));
        let gone: Vec<String> =
            self.taken.keys().filter(|filter| !is_wanted(filter)).cloned().collect();
        for filters in gone.chunks(per_request) {
            let packet_id = flight.reserve_id();
            packet::unsubscribe(out, packet_id, filters, protocol);
            self.requests.push(Request { packet_id, filters: Vec::new(), at: Instant::now() });
            self.taken.retain(|filter, _| !filters.contains(filter));
        }
        let new: Vec<(String, Qos)> = wanted
            .iter()
            .filter(|(filter, qos)| {
                let asked = self.requests.iter().flat_map(|request| &request.filters);
                self.taken.get(filter) != Some(qos)
                    && !self.refused.contains_key(filter)
                    && !asked.clone().any(|other| other == &(filter.clone(), *qos))
            })
            .cloned()
            .collect();
        for filters in new.chunks(per_request) {
            let packet_id = flight.reserve_id();
            // What is retained is old news to a session that had the filter.
            packet::subscribe(out, packet_id, filters, true, protocol);
            let filters = filters.to_vec();
            self.requests.push(Request { packet_id, filters, at: Instant::now() });
        }
    }

    /// The broker has answered. Gives the filters that it does not take.
    pub(super) fn answered(
        &mut self,
        packet_id: u16,
        reasons: &Bytes,
        flight: &mut Flight,
    ) -> Vec<(String, String)> {
        let Some(at) = self.requests.iter().position(|request| request.packet_id == packet_id)
        else {
            return Vec::new();
        };
        flight.release_id(packet_id);
        let request = self.requests.remove(at);
        let mut refused = Vec::new();
        for (at, (filter, qos)) in request.filters.into_iter().enumerate() {
            match reasons.get(at).copied().unwrap_or(0x80) {
                // The broker may grant less, with which it is as well.
                0..=2 => drop(self.taken.insert(filter, qos)),
                code => {
                    let words = format!("{} (0x{code:02x})", reason::words(code));
                    refused.push((filter.clone(), words.clone()));
                    self.refused.insert(filter, words);
                }
            }
        }
        refused
    }

    /// When the request was made that has waited longest.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.requests.first().map(|request| request.at)
    }

    /// What the broker does not take, and why.
    pub(super) fn refused(&self) -> Vec<(String, String)> {
        self.refused.clone().into_iter().collect()
    }
}
