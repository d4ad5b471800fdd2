//! What is shown of a compiled package in place of its operators.

use sedge_package::Neo;
use serde_json::{Value, json};

use crate::table::{self, Align};

/// Why it can or cannot run here.
fn runs_here(neo: &Neo) -> String {
    let here = std::env::consts::ARCH;
    match (&neo.problem, neo.machine.as_deref()) {
        (Some(problem), _) => format!("no: {problem}"),
        (None, Some(machine)) if machine != here => format!("no: this processor is {here}"),
        (None, _) => "with the runtime DLR, in a process of its own".to_owned(),
    }
}

pub(super) fn rows(neo: &Neo) -> Vec<(&'static str, String)> {
    let target = [&neo.target_device, &neo.device_type, &neo.machine].into_iter().flatten();
    let target = target.map(String::as_str).collect::<Vec<_>>().join(", ");
    let target = if target.is_empty() { "unknown".to_owned() } else { target };
    vec![
        ("backend", neo.backend.to_string()),
        ("compiled for", target),
        ("runs here", runs_here(neo)),
    ]
}

pub(super) fn files(neo: &Neo) -> String {
    let row = |file: &sedge_package::NeoFile| {
        vec![file.role.to_owned(), file.name.clone(), table::bytes(file.bytes)]
    };
    let rows: Vec<_> = neo.files.iter().map(row).collect();
    format!("\nfiles\n{}", table::lines(&rows, &[Align::Left], "  "))
}

pub(super) fn as_json(neo: &Neo) -> Value {
    json!({
        "backend": neo.backend,
        "target_device": neo.target_device,
        "device_type": neo.device_type,
        "machine": neo.machine,
        "created": neo.created,
        "problem": neo.problem,
        "files": neo.files,
    })
}
