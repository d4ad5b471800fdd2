//! The server's answers for people.

use serde_json::Value;

use crate::table::{self, Align, under};

pub(super) fn list(answer: &Value) -> String {
    let services = answer["services"].as_array().map_or(&[][..], Vec::as_slice);
    if services.is_empty() {
        return "no services\n".to_owned();
    }
    let row = |service: &Value| {
        let p50 = stage(service, "total").and_then(|latency| latency["p50"].as_u64());
        vec![
            text(&service["name"]),
            text(&service["state"]),
            text(&service["model"]),
            number(&service["install"]),
            text(&service["engine"]),
            text(&service["backend"]["isolation"]),
            service["backend"]["memory"]["resident"].as_u64().map_or_else(none, mib),
            number(&service["requests"]["ok"]),
            number(&service["requests"]["errors"]),
            p50.map_or_else(none, ms),
        ]
    };
    let head = [
        "service",
        "state",
        "model",
        "version",
        "engine",
        "isolation",
        "memory",
        "ok",
        "errors",
        "p50",
    ];
    under(&head, services.iter().map(row), 3)
}

pub(super) fn status(service: &Value) -> String {
    let backend = &service["backend"];
    let memory = &backend["memory"];
    let mut rows: Vec<(&str, String)> =
        vec![("service", text(&service["name"])), ("state", text(&service["state"]))];
    let mut say = |name: &'static str, value: &Value| {
        if !value.is_null() && value.as_str() != Some("") {
            rows.push((name, text(value)));
        }
    };
    say("error", &service["error"]);
    say("model", &service["model"]);
    say("version", &service["install"]);
    say("source", &service["source"]);
    say("engine", &service["engine"]);
    say("isolation", &backend["isolation"]);
    say("process", &backend["pid"]);
    say("restarts", &backend["restarts"]);
    say("last error", &backend["last_error"]);
    say("progress", &service["progress"]);
    say("update", &service["update_error"]);
    say("went back", &service["rolled_back"]);
    let bytes = |name: &str| memory[name].as_u64();
    if let Some(resident) = bytes("resident") {
        let mut told =
            format!("{} resident, {} at most", mib(resident), mib(bytes("peak").unwrap_or(0)));
        if let Some(limit) = bytes("limit") {
            told += &format!(", limit {} by {}", mib(limit), text(&memory["enforced_by"]));
        } else if let Some(peak) = bytes("peak") {
            let enough = (peak + peak / 4).div_ceil(1 << 20);
            told += &format!(", memory_mib = {enough} would be enough");
        }
        rows.push(("memory", told));
    }
    let limits = format!(
        "{} at a time, {} may wait, {} ms each",
        number(&service["instances"]),
        number(&service["queue"]),
        number(&service["timeout_ms"])
    );
    rows.push(("limits", limits));
    let queue = format!(
        "{} running, {} waiting, {} at most",
        number(&service["running"]),
        number(&service["waiting"]),
        number(&service["most_waiting"])
    );
    rows.push(("queue", queue));
    let requests = &service["requests"];
    let mut told = format!("{} answered", number(&requests["ok"]));
    let kinds = requests["errors_by_kind"].as_object().into_iter().flatten();
    kinds.for_each(|(kind, count)| told += &format!(", {} {kind}", number(count)));
    rows.push(("requests", told));
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let mut out = table::lines(&rows, &[Align::Left, Align::Left], "");
    for (title, more) in
        [("times", times(service)), ("sandbox", sandbox(backend)), ("versions", versions(service))]
    {
        if !more.is_empty() {
            out += &format!("\n{title}\n{more}");
        }
    }
    out
}

fn times(service: &Value) -> String {
    let stages = service["latency_us"].as_array().map_or(&[][..], Vec::as_slice);
    let known = stages.iter().filter(|stage| !stage["p50"].is_null());
    let row = |stage: &Value| {
        let time = |name: &str| stage[name].as_u64().map_or_else(none, ms);
        vec![format!("  {}", text(&stage["stage"])), time("p50"), time("p90"), time("p99")]
    };
    let rows: Vec<_> = known.map(row).collect();
    if rows.is_empty() {
        String::new()
    } else {
        under(&["  stage", "p50", "p90", "p99"], rows.into_iter(), 1)
    }
}

fn sandbox(backend: &Value) -> String {
    let walls = backend["sandbox"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |wall: &Value| {
        let holds = if wall["holds"] == true { "holds" } else { "absent" };
        vec![text(&wall["name"]), holds.to_owned(), text(&wall["detail"])]
    };
    table::lines(&walls.iter().map(row).collect::<Vec<_>>(), &[Align::Left; 3], "  ")
}

fn versions(service: &Value) -> String {
    let versions = service["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |version: &Value| {
        let number = &version["number"];
        let place = match number {
            number if *number == service["current"] => "current",
            number if *number == service["previous"] => "previous",
            _ => "",
        };
        let state = match &version["state"] {
            Value::String(state) => state.clone(),
            state => format!("bad: {}", text(&state["bad"])),
        };
        let identity: String = text(&version["identity"]).chars().take(12).collect();
        vec![text(number), identity, text(&version["installed_at"]), place.to_owned(), state]
    };
    table::lines(&versions.iter().map(row).collect::<Vec<_>>(), &[Align::Left; 5], "  ")
}

pub(super) fn logs(answer: &Value) -> String {
    let lines = answer.as_array().map_or(&[][..], Vec::as_slice);
    let line = |line: &Value| {
        let ms = line["unix_ms"].as_u64().unwrap_or_default();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
        let said = text(&line["text"]);
        format!("{} {}\n", humantime::format_rfc3339_millis(time), table::printable(&said))
    };
    lines.iter().map(line).collect()
}

pub(super) fn changes(answer: &Value) -> String {
    let services = answer["services"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |change: &Value| vec![text(&change["service"]), text(&change["change"])];
    let mut rows: Vec<_> = services.iter().map(row).collect();
    // Those of a group, all together: they call each other.
    if let Some(change) = answer["functions"].as_str().filter(|change| *change != "none") {
        rows.push(vec!["all functions".to_owned(), change.to_owned()]);
    }
    table::lines(&rows, &[Align::Left; 2], "")
}

pub(super) fn update(name: &str, answer: &Value) -> String {
    match &answer["update"]["switched"] {
        Value::Null => format!("{name}: {}\n", text(&answer["update"])),
        switched => {
            let proofs = switched["golden_cases"].as_u64().unwrap_or(0);
            let proved = match proofs {
                0 => String::new(),
                1 => ", its golden case holds".to_owned(),
                count => format!(", its {count} golden cases hold"),
            };
            format!("{name}: version {} answers{proved}\n", number(&switched["number"]))
        }
    }
}

fn stage<'a>(service: &'a Value, name: &str) -> Option<&'a Value> {
    service["latency_us"].as_array()?.iter().find(|stage| stage["stage"] == name)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => none(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> String {
    if value.is_null() { none() } else { value.to_string() }
}

fn none() -> String {
    "-".to_owned()
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}

fn ms(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1000.0)
}
