//! What leaves, for scrapers and people.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use sedge_api::{BrokerStatus, BucketStatus, Leaving, LeavingLane, Outward, SampleCounts};
use sedge_cloud::mqtt::{LATENCY_BOUNDS_MS, State};
use sedge_feedback::Counted;
use sedge_spool::LaneStatus;

use super::{Egress, Ways};

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").finish_non_exhaustive()
    }
}

impl Outward for Egress {
    fn leaving(&self) -> Option<Leaving> {
        let ways = self.now().clone();
        ways.map(|ways| ways.leaving())
    }
}

impl Ways {
    fn leaving(&self) -> Leaving {
        let spool = self.spool.status();
        let bucket = |(bucket, status): (String, sedge_feedback::BucketStatus)| BucketStatus {
            bucket,
            uploads: status.uploads,
            seconds: status.time.as_secs_f64(),
            problem: status.waits_for.or(status.refused),
        };
        let samples = |(configuration, counted): (String, Counted)| SampleCounts {
            configuration,
            outcomes: outcomes(&counted),
        };
        Leaving {
            thing: self.thing.clone(),
            bytes: spool.bytes,
            max_bytes: spool.max_bytes,
            lanes: spool.lanes.iter().map(lane).collect(),
            broker: self.broker_status(),
            buckets: self.uploads.status().into_iter().map(bucket).collect(),
            samples: self.sampler.counts().all().into_iter().map(samples).collect(),
            missed: self.taps.missed(),
        }
    }

    fn broker_status(&self) -> Option<BrokerStatus> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let status = link.as_ref()?.status();
        let connected = matches!(status.state, State::Connected { .. });
        let problem = status.last_error.map(|(_, problem)| problem);
        Some(BrokerStatus {
            address: self.broker.clone().unwrap_or_default(),
            connected,
            problem: problem.filter(|_| !connected),
            connections: status.connections,
            delivered: status.delivered,
            refused: status.refused,
            repeated: status.repeated,
            received: status.received,
            latency_bounds_s: LATENCY_BOUNDS_MS.iter().map(|ms| *ms as f64 / 1e3).collect(),
            latency_counts: status.latency.counts.to_vec(),
            latency_sum_s: status.latency.sum.as_secs_f64(),
        })
    }
}

fn lane(lane: &LaneStatus) -> LeavingLane {
    let counters = lane.counters;
    LeavingLane {
        destination: lane.destination.clone(),
        priority: lane.priority.to_string(),
        records: lane.records,
        bytes: lane.bytes,
        oldest_s: lane.oldest.map(|age| age.as_secs_f64()),
        appended: counters.appended,
        delivered: counters.delivered,
        refused: counters.refused,
        discarded: counters.discarded,
        dropped_by_size: counters.dropped_by_size,
        dropped_by_age: counters.dropped_by_age,
        lost: counters.lost,
    }
}

fn outcomes(counted: &Counted) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("not_taken", counted.not_taken),
        ("over_budget", counted.over_budget),
        ("dry", counted.dry),
        ("queued", counted.queued),
        ("uploaded", counted.uploaded),
        ("repeated", counted.repeated),
        ("refused", counted.refused),
    ])
}
