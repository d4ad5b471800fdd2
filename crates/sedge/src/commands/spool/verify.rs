use std::process::ExitCode;

use anyhow::Result;
use sedge_spool::{Damage, Inspection};
use serde_json::{Value, json};

use super::Found;
use crate::table;

pub(super) fn verify(inspection: &Inspection) -> Result<Found> {
    let verdict = inspection.verify()?;
    let rows: Vec<Value> = verdict.damages.iter().map(row).collect();
    let checked =
        format!("{} records, {}", table::grouped(verdict.records), table::bytes(verdict.bytes));
    let table = match verdict.damages.as_slice() {
        [] => format!("sound: {checked}\n"),
        damages => {
            let cells = |damage: &Damage| {
                let path = damage.path.display().to_string();
                vec![path, damage.offset.to_string(), damage.what.clone()]
            };
            let rows = damages.iter().map(cells);
            table::under(&["file", "byte", "damage"], rows, 3)
                + &format!(
                    "\ndamaged in {} places; whole: {checked}\nWhat is damaged is passed over and \
                     counted as lost; the rest leaves as ever. Look after the disk.\n",
                    damages.len()
                )
        }
    };
    let whole = json!({
        "records": verdict.records,
        "bytes": verdict.bytes,
        "damages": rows,
    });
    let code = if verdict.damages.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    Ok(Found { table, rows, whole, code })
}

fn row(damage: &Damage) -> Value {
    json!({ "path": damage.path, "byte": damage.offset, "damage": damage.what })
}
