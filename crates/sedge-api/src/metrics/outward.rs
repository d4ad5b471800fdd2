//! The metrics of what leaves the device.

use super::page::Page;
use super::table;
use crate::{BrokerStatus, Leaving, LeavingLane};

pub(super) fn add_to(page: &mut Page, leaving: &Leaving) {
    page.add(&table::SPOOL_LIMIT, &[], leaving.max_bytes as f64);
    for lane in &leaving.lanes {
        add_lane(page, lane);
    }
    if let Some(broker) = &leaving.broker {
        add_broker(page, broker);
    }
    for bucket in &leaving.buckets {
        let name = bucket.bucket.as_str();
        page.add(&table::UPLOADS, &[name], bucket.uploads as f64);
        page.add(&table::UPLOAD_SECONDS, &[name], bucket.seconds);
        let waits = f64::from(u8::from(bucket.problem.is_some()));
        page.add(&table::UPLOAD_WAITS, &[name], waits);
    }
    for samples in &leaving.samples {
        for (outcome, count) in &samples.outcomes {
            page.add(&table::SAMPLES, &[&samples.configuration, outcome], *count as f64);
        }
    }
    page.add(&table::SAMPLES_MISSED, &[], leaving.missed as f64);
}

fn add_lane(page: &mut Page, lane: &LeavingLane) {
    let labels = [lane.destination.as_str(), lane.priority.as_str()];
    page.add(&table::SPOOL_RECORDS, &labels, lane.records as f64);
    page.add(&table::SPOOL_BYTES, &labels, lane.bytes as f64);
    page.add(&table::SPOOL_OLDEST, &labels, lane.oldest_s.unwrap_or_default());
    page.add(&table::SPOOL_APPENDED, &labels, lane.appended as f64);
    page.add(&table::SPOOL_DELIVERED, &labels, lane.delivered as f64);
    let dropped = [
        ("size", lane.dropped_by_size),
        ("age", lane.dropped_by_age),
        ("refused", lane.refused),
        ("discarded", lane.discarded),
        ("damage", lane.lost),
    ];
    for (reason, count) in dropped {
        page.add(&table::SPOOL_DROPPED, &[labels[0], labels[1], reason], count as f64);
    }
}

fn add_broker(page: &mut Page, broker: &BrokerStatus) {
    let name = broker.address.as_str();
    page.add(&table::MQTT_CONNECTED, &[name], f64::from(u8::from(broker.connected)));
    page.add(&table::MQTT_CONNECTIONS, &[name], broker.connections as f64);
    let messages = [
        ("delivered", broker.delivered),
        ("refused", broker.refused),
        ("repeated", broker.repeated),
        ("received", broker.received),
    ];
    for (outcome, count) in messages {
        page.add(&table::MQTT_MESSAGES, &[name, outcome], count as f64);
    }
    let (bounds, counts) = (&broker.latency_bounds_s, &broker.latency_counts);
    page.counted(&table::MQTT_PUBLISH, &[name], bounds, counts, broker.latency_sum_s);
}
