use std::process::ExitCode;

use sedge_spool::{Inspection, LaneStatus};
use serde_json::{Value, json};

use super::Found;
use crate::table;

pub(super) fn list(inspection: &Inspection) -> Found {
    let (lanes, holder) = (inspection.lanes(), inspection.holder());
    let mut table = match &holder {
        Some(pid) => format!("open by the process {pid}\n\n"),
        None => String::new(),
    };
    if lanes.is_empty() {
        table += "nothing was ever spooled\n";
    } else {
        let head = [
            "destination",
            "priority",
            "records",
            "size",
            "oldest",
            "delivered",
            "refused",
            "discarded",
            "dropped",
            "lost",
        ];
        table += &table::under(&head, lanes.iter().map(cells), 2);
    }
    let rows: Vec<Value> = lanes.iter().map(row).collect();
    let whole = json!({ "process": holder, "lanes": rows });
    Found { table, rows, whole, code: ExitCode::SUCCESS }
}

fn cells(lane: &LaneStatus) -> Vec<String> {
    let counters = &lane.counters;
    let dropped = counters.dropped_by_size + counters.dropped_by_age;
    vec![
        lane.destination.clone(),
        lane.priority.to_string(),
        table::grouped(lane.records),
        table::bytes(lane.bytes),
        lane.oldest.map_or_else(|| "-".to_owned(), super::age),
        table::grouped(counters.delivered),
        table::grouped(counters.refused),
        table::grouped(counters.discarded),
        table::grouped(dropped),
        table::grouped(counters.lost),
    ]
}

fn row(lane: &LaneStatus) -> Value {
    let counters = &lane.counters;
    json!({
        "destination": lane.destination,
        "priority": lane.priority.name(),
        "records": lane.records,
        "bytes": lane.bytes,
        "oldest_seconds": lane.oldest.map(|age| age.as_secs()),
        "appended": counters.appended,
        "delivered": counters.delivered,
        "refused": counters.refused,
        "discarded": counters.discarded,
        "dropped_by_size": counters.dropped_by_size,
        "dropped_by_age": counters.dropped_by_age,
        "lost": counters.lost,
    })
}
