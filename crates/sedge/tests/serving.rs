//! `sedge serve` in the circumstances it meets: logs without a reader, signals, addresses.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod program;

use std::io::BufRead;

use program::{Server, says};

const MODEL: &str = "testdata/models/vww96";

#[test]
fn a_log_that_lost_its_reader_stops_nothing() {
    let mut server = Server::start(&[MODEL]);
    drop(server.log.take());
    for _ in 0..3 {
        let answer = server.ask("POST /endpoints/vww96/invocations", b"no picture");
        assert!(answer.starts_with("HTTP/1.1 424"), "{answer}");
    }
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(0));
}

#[test]
fn numbers_out_of_range_are_refused_with_their_range() {
    for (flag, word) in [
        ("--threads", "threads takes whole numbers from 1 to 1024"),
        ("--instances", "from 1 to 256"),
        ("--queue", "from 1 to 65536"),
        ("--timeout-ms", "timeout_ms takes"),
        ("--max-body-mib", "max_body_mib takes"),
        ("--max-megapixels", "max_megapixels takes"),
    ] {
        for number in ["0", "99999999999999999999", "1000000000"] {
            says(&["serve", MODEL, flag, number], 2, &[flag, word]);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sedge.toml");
    for (line, word) in [
        ("threads = 0", "service.threads: 0 is not what it takes: whole numbers from 1 to 1024"),
        ("instances = 100000", "line 3: service.instances: 100000 is"),
        ("timeout_ms = 0", "service.timeout_ms: 0 is"),
    ] {
        std::fs::write(&path, format!("[[service]]\nmodel = 'no'\n{line}")).unwrap();
        says(&["serve", "--config", path.to_str().unwrap()], 1, &["sedge.toml", word]);
    }
}

/// The head of a PNG of 2000 x 1000 pixels.
const LARGE: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x07\xd0\0\0\x03\xe8\x08\x02\0\0\0\x09\x3c\xf2\xfd";

#[test]
fn the_largest_picture_is_a_setting() {
    let call = "POST /endpoints/vww96/invocations";
    let answer = Server::start(&[MODEL, "--max-megapixels", "1"]).ask(call, LARGE);
    assert!(answer.contains("2000 x 1000") && answer.contains("--max-megapixels"), "{answer}");
    let answer = Server::start(&[MODEL]).ask(call, LARGE);
    assert!(!answer.contains("--max-megapixels"), "{answer}");
}

#[test]
fn names_are_checked_before_models_are_loaded() {
    let loaded = |arguments: &[&str]| {
        let output = program::sedge(arguments);
        assert_eq!(output.status.code(), Some(1));
        let log = program::text(&output.stderr);
        (log.contains("loaded"), log)
    };
    let (loads, log) = loaded(&["serve", MODEL, "--name", "a"]);
    assert!(!loads && log.contains("'a' is no service name"), "{log}");
    let (loads, log) = loaded(&["serve", MODEL, MODEL]);
    assert!(!loads && log.contains("two services are called 'vww96'"), "{log}");
    let (_, log) = loaded(&["serve", "no/such-model"]);
    assert_eq!(log.matches("no/such-model").count(), 1, "{log}");
}

#[test]
fn addresses_may_be_host_names() {
    let server = Server::start(&[MODEL, "--listen", "localhost:0"]);
    assert!(server.address.ip().is_loopback());
    for listen in ["localhost", "127.0.0.1:x", "127.0.0.1:70000"] {
        says(&["serve", MODEL, "--listen", listen], 1, &[listen, "Hint", "127.0.0.1:8080"]);
    }
}

#[test]
fn a_hangup_without_a_terminal_stops_nothing() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    if u64::from_str_radix(ignored, 16).unwrap() & 1 != 0 {
        println!("skipped: hangups are ignored here, as under nohup");
        return;
    }
    let mut server = Server::start(&[MODEL]);
    server.signal("HUP");
    let mut line = String::new();
    server.log.as_mut().unwrap().read_line(&mut line).unwrap();
    assert!(line.contains("SIGHUP"), "{line}");
    assert!(server.ask("GET /ping", b"").starts_with("HTTP/1.1 200"));
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(0));
}
