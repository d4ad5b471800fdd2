//! A model that is exchanged again and again while many ask it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::home::{Home, children, until};
use crate::http::{Ask, Client};

const CLIENTS: u64 = 64;
const UPDATES: u64 = 20;

#[test]
fn an_update_costs_no_request_and_mixes_no_versions() {
    let requests = crate::number("SEDGE_REQUESTS", 3000);
    let home = Home::new(&[("busy", "queue = 256\ninstances = 2\ntimeout_ms = 60000")]);
    let core = home.serve();
    core.wait_for("busy", "ready");
    let asked = AtomicU64::new(0);
    let answers = Mutex::new(Vec::new());
    // Which constant a version adds; the first is 1.
    let mut constants = BTreeMap::from([(1, 1.0)]);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = core.client();
                let mut own = Vec::new();
                loop {
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        break;
                    }
                    let x = (number % 512) as f32;
                    own.push((x, client.infer("busy", Ask::quick(x))));
                }
                answers.lock().unwrap().append(&mut own);
            });
        }
        for update in 1..=UPDATES {
            // Spread over the requests, as far as updates keep up with them.
            let due = update * requests / (UPDATES + 1);
            while asked.load(Ordering::Relaxed) < due {
                std::thread::sleep(Duration::from_millis(1));
            }
            let constant = if update % 2 == 0 { 1.0 } else { 1000.0 };
            home.put("busy", constant);
            home.does(&["update", "busy"]);
            let version = core.status("busy")["install"].as_u64().unwrap();
            assert!(constants.insert(version, constant).is_none(), "{constants:?}");
        }
    });
    let answers = answers.into_inner().unwrap();
    assert_eq!(answers.len() as u64, requests);
    let mut by_version: BTreeMap<u64, u64> = BTreeMap::new();
    let mut failed = Vec::new();
    for (x, answer) in answers {
        match answer {
            Ok(answer) => {
                assert_eq!(answer.y, x + constants[&answer.version], "version {}", answer.version);
                *by_version.entry(answer.version).or_default() += 1;
            }
            Err(refusal) => failed.push(refusal.to_string()),
        }
    }
    println!("{requests} requests, {} failed, by version {by_version:?}", failed.len());
    assert!(failed.is_empty(), "{} failed, first {}\n{}", failed.len(), failed[0], home.log());
    assert_eq!(constants.len() as u64, UPDATES + 1);
    assert!(by_version.len() > 2, "{by_version:?}");
}

#[test]
fn a_request_that_arrives_across_an_update_is_answered() {
    let home = Home::new(&[("model", "")]);
    let core = home.serve();
    core.wait_for("model", "ready");
    let body = Client::body(Ask::quick(1.0));
    let (early, late) = body.split_at(body.len() / 2);
    let mut stream = TcpStream::connect(core.address()).unwrap();
    let length = body.len();
    let head = format!(
        "POST /v2/models/model/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), early].concat()).unwrap();
    // Its version is chosen with its head.
    std::thread::sleep(Duration::from_millis(200));
    for constant in [10.0, 20.0] {
        home.put("model", constant);
        home.does(&["update", "model"]);
    }
    stream.write_all(late).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let whole = r#""model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[2.0]}]"#;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(whole), "{answer}");
    until("the versions that nobody asks any more are gone", || children(core.pid()).len() == 1);
}

#[test]
fn an_update_whose_caller_goes_away_is_done_to_its_end() {
    let home = Home::new(&[("model", "")]);
    let core = home.serve();
    core.wait_for("model", "ready");
    for round in 0..20_u64 {
        let constant = (round + 2) as f32;
        home.put("model", constant);
        let mut stream = core.control();
        let head = b"POST /api/v1/services/model/update HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(head).unwrap();
        std::thread::sleep(Duration::from_millis(round * 10));
        drop(stream);
        until("what was begun is done", || core.constant("model") == constant);
        let status = core.status("model");
        assert_eq!(status["install"], status["current"], "what answers is what is written down");
    }
}
