//! `sedge spool`: what people and programs see of what waits to leave the device.

use std::path::Path;

use sedge_spool::{Entry, Options, Priority, Settled, Spool};
use serde_json::Value;

use super::{command, program};

/// A server's root in whose spool two records wait for `mqtt`, and one of two for `s3`.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let spool = Spool::open(&root.path().join("spool"), Options::default()).unwrap();
    let append = |destination, priority, headers: &[u8], body: &[u8]| {
        spool.append(&Entry { destination, priority, headers, body }).unwrap();
    };
    append("mqtt", Priority::Normal, b"mli/predictions", b"{\"class\":\"cat\"}");
    append("mqtt", Priority::High, b"alarm\x1b[2J", b"first");
    append("s3", Priority::Low, b"key", b"gone");
    append("s3", Priority::Low, b"key", &[0xff, 0xd8, 0xff]);
    let consumer = spool.consumer("s3").unwrap();
    let record = consumer.try_next().unwrap().unwrap();
    consumer.settle(record.id, Settled::Delivered).unwrap();
    root
}

/// Standard output, standard error and the exit code.
fn spool(root: &Path, arguments: &[&str]) -> (String, String, i32) {
    let whole = [&["spool"], arguments, &["--root", root.to_str().unwrap()]].concat();
    let output = command(&whole).output().unwrap();
    let code = output.status.code().unwrap();
    (program::text(&output.stdout), program::text(&output.stderr), code)
}

#[test]
fn what_waits_is_listed_beside_a_running_server() {
    let root = root();
    let held = Spool::open(&root.path().join("spool"), Options::default()).unwrap();
    let (table, error, code) = spool(root.path(), &["list"]);
    assert_eq!((error.as_str(), code), ("", 0));
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), format!("open by the process {}", std::process::id()));
    let heads = rows[2].len();
    assert_eq!(rows[2][..5], ["destination", "priority", "records", "size", "oldest"]);
    // Sizes and ages are two words.
    assert_eq!(rows[3][..4], ["mqtt", "high", "1", "70"]);
    assert_eq!(rows[5][..4], ["s3", "low", "1", "62"]);
    assert_eq!(rows[5][heads - 4], "1", "delivered: {table}");
    let (lines, ..) = spool(root.path(), &["list", "--format", "jsonl"]);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["destination"], &last["delivered"]), (&"s3".into(), &1.into()));
    assert_eq!((&last["appended"], &last["lost"]), (&2.into(), &0.into()));

    let (_, error, code) = spool(root.path(), &["drain", "mqtt", "--yes"]);
    let holder = format!("is in use by the process {}", std::process::id());
    assert!(code == 1 && error.contains(&holder) && error.contains("\nHint: "), "{error}");
    drop(held);
}

#[test]
fn records_are_shown_and_written() {
    let root = root();
    let (table, ..) = spool(root.path(), &["inspect", "mqtt"]);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[1].starts_with("high/1 ") && rows[2].starts_with("normal/1 "), "{table}");
    assert!(rows[1].contains("alarm\\u{1b}[2J") && rows[1].ends_with("first"), "{table}");
    let (table, ..) = spool(root.path(), &["inspect", "s3"]);
    assert!(table.contains("ff d8 ff"), "{table}");
    let (body, _, code) = spool(root.path(), &["inspect", "mqtt", "--body", "normal/1"]);
    assert_eq!((body.as_str(), code), ("{\"class\":\"cat\"}", 0));
    let file = root.path().join("body");
    let to = ["inspect", "s3", "--body", "2", "-o", file.to_str().unwrap()];
    assert_eq!(spool(root.path(), &to).2, 0);
    assert_eq!(std::fs::read(&file).unwrap(), [0xff, 0xd8, 0xff]);
    for (arguments, hint) in [
        (["inspect", "mqtt", "--body", "1"], "say `high/1` or `normal/1`"),
        (["inspect", "mqtt", "--body", "9"], "`sedge spool inspect mqtt` lists them"),
        (["inspect", "none", "--limit", "9"], "`sedge spool list` names those there are"),
    ] {
        let (_, error, code) = spool(root.path(), &arguments);
        assert!(code == 1 && error.contains(hint), "{error}");
    }
}

#[test]
fn nothing_is_drained_unseen() {
    let root = root();
    let (_, error, code) = spool(root.path(), &["drain", "mqtt"]);
    assert!(code == 1 && error.contains("nothing was done.\nHint: `--yes`"), "{error}");
    let kept = root.path().join("kept");
    let drain = ["drain", "mqtt", "--to", kept.to_str().unwrap(), "--yes"];
    let (out, _, code) = spool(root.path(), &drain);
    assert!(code == 0 && out.starts_with("moved 2 records to "), "{out}");
    assert_eq!(std::fs::read(kept.join("high-000000000001.body")).unwrap(), b"first");
    let (out, ..) = spool(root.path(), &["drain", "s3", "--yes", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["records"], 1);
    let (lines, ..) = spool(root.path(), &["list", "--format", "jsonl"]);
    for line in lines.lines() {
        let lane: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&lane["records"], &lane["discarded"]), (&0.into(), &1.into()), "{line}");
    }
}

/// A sample waits as one body; what people get of it are its two parts.
#[test]
fn samples_are_taken_out_as_pictures() {
    let root = tempfile::tempdir().unwrap();
    let spool_path = root.path().join("spool");
    let waiting = Spool::open(&spool_path, Options::default()).unwrap();
    let head: &[u8] = b"{\"bucket\":\"samples\",\"key\":\"a.jpg\"}";
    let body = [&(head.len() as u32).to_le_bytes()[..], head, &[0xff, 0xd8, 0xff]].concat();
    let (destination, priority) = ("s3.samples", Priority::Normal);
    waiting.append(&Entry { destination, priority, headers: b"", body: &body }).unwrap();
    drop(waiting);
    let (table, ..) = spool(root.path(), &["inspect", "s3.samples"]);
    assert!(table.contains("{\"bucket\":\"samples\"") && table.contains("ff d8 ff"), "{table}");
    let file = root.path().join("1.jpg");
    let to = ["inspect", "s3.samples", "--body", "1", "-o", file.to_str().unwrap()];
    assert_eq!(spool(root.path(), &to).2, 0);
    assert_eq!(std::fs::read(&file).unwrap(), [0xff, 0xd8, 0xff]);
    let kept = root.path().join("kept");
    let drain = ["drain", "s3.samples", "--to", kept.to_str().unwrap(), "--yes"];
    assert_eq!(spool(root.path(), &drain).2, 0);
    let read = |ending: &str| std::fs::read(kept.join(format!("normal-000000000001.{ending}")));
    assert_eq!(read("body").unwrap(), [0xff, 0xd8, 0xff]);
    assert_eq!(read("headers").unwrap(), head);
}

#[test]
fn damage_is_found() {
    let root = root();
    let (out, _, code) = spool(root.path(), &["verify"]);
    assert!(code == 0 && out.starts_with("sound: 4 records, "), "{out}");
    let lane = root.path().join("spool/s3/low");
    for entry in std::fs::read_dir(&lane).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some() {
            let mut bytes = std::fs::read(&path).unwrap();
            // In the first of two bodies: at the end it would pass for torn.
            bytes[60] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let (out, _, code) = spool(root.path(), &["verify"]);
    assert!(code == 1 && out.contains("record 1 is damaged"), "{out}");

    let (_, error, code) = spool(&root.path().join("none"), &["verify"]);
    assert!(code == 1 && error.contains("there is no spool at ") && error.contains("`--root`"));
}
