//! `sedge serve` in the circumstances it meets: logs without a reader, signals, addresses.
#![allow(clippy::unwrap_used)]

mod program;

use program::Server;

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
