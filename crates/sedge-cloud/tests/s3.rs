//! Stores that move, refuse, lose their time, break off and lie.
#![allow(clippy::unwrap_used)]

#[path = "common/server.rs"]
mod server;

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use sedge_cloud::{Aws, Client, Credentials, Keys, PutObject, Remote, Retry, S3};
use server::{Answer, Asked, Server};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

fn remote(base: &str) -> Remote {
    Remote {
        s3_endpoint: Some(base.to_owned()),
        region: Some("us-east-1".to_owned()),
        credentials: Credentials::Static(Keys {
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
        }),
        proxy: Some(String::new()),
        progress_timeout: Duration::from_millis(400),
        attempts: 2,
        ..Remote::default()
    }
}

fn s3(remote: &Remote) -> S3 {
    S3::new(Aws::new(Client::new(remote).unwrap(), remote, None).unwrap())
}

fn object(key: &str) -> PutObject {
    PutObject {
        bucket: "bucket".to_owned(),
        key: key.to_owned(),
        body: "sample".to_owned().into(),
        ..PutObject::default()
    }
}

/// The warnings of a thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
                self.0 = format!("{value:?}");
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn refusal(status: &'static str, code: &str) -> Answer {
    let text = format!("<Error><Code>{code}</Code><Message>because</Message></Error>");
    Answer::new(status, text).header("x-amz-request-id", "R1")
}

/// The region in the signature of a request.
fn region(asked: &Asked) -> &str {
    asked.header("authorization").unwrap().split('/').nth(2).unwrap()
}

#[test]
fn a_bucket_in_another_region_is_found_and_remembered() {
    let server = Server::new(|asked| match region(asked) {
        "eu-west-1" => Answer::new("200 OK", "").header("ETag", "\"e\""),
        _ => refusal("301 Moved Permanently", "PermanentRedirect")
            .header("x-amz-bucket-region", "eu-west-1"),
    });
    let s3 = s3(&remote(&server.base));
    assert_eq!(s3.put(&object("a")).unwrap().etag(), Some("\"e\""));
    assert_eq!(server.asked().len(), 2);
    s3.clone().put(&object("b")).unwrap();
    let asked = server.asked();
    assert_eq!((asked.len(), region(&asked[0])), (1, "eu-west-1"));
    assert_eq!((asked[0].method.as_str(), &*asked[0].body), ("PUT", &b"sample"[..]));
}

#[test]
fn servers_that_send_around_or_to_no_region_are_refused() {
    for (region, count) in [("eu-west-1", 2), ("evil.example.com/", 1), ("us-east-1", 1)] {
        let server = Server::new(move |_| {
            refusal("301 Moved Permanently", "PermanentRedirect")
                .header("x-amz-bucket-region", region)
        });
        let error = s3(&remote(&server.base)).put(&object("a")).unwrap_err();
        assert_eq!((error.code(), error.retry()), ("PermanentRedirect", Retry::Never));
        assert_eq!(server.asked().len(), count, "{region}");
    }
}

#[test]
fn who_is_busy_is_asked_again_and_who_wants_peace_is_not() {
    let calls = AtomicUsize::new(0);
    let server = Server::new(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => refusal("503 Slow Down", "SlowDown"),
        1 => Answer::new("200 OK", ""),
        _ => refusal("503 Slow Down", "SlowDown").header("Retry-After", "120"),
    });
    let s3 = s3(&remote(&server.base));
    let stored = s3.put(&object("a")).unwrap();
    assert_eq!((stored.retries, server.asked().len()), (1, 2));
    let error = s3.put(&object("a")).unwrap_err();
    assert_eq!(error.retry(), Retry::Later(Duration::from_secs(120)));
    assert_eq!((error.code(), server.asked().len()), ("SlowDown", 1));
}

#[test]
fn a_wrong_clock_is_noticed_once() {
    let server = Server::new(|asked| {
        let server = SystemTime::now() + Duration::from_secs(3 * 24 * 3600);
        let date = httpdate::fmt_http_date(server);
        let day = humantime::format_rfc3339_seconds(server).to_string()[..10].replace('-', "");
        match asked.header("x-amz-date").unwrap().starts_with(&day) {
            true => Answer::new("200 OK", "").header("Date", date),
            false => refusal("403 Forbidden", "RequestTimeTooSkewed").header("Date", date),
        }
    });
    let s3 = s3(&remote(&server.base));
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        for count in [2, 1, 1] {
            s3.put(&object("a")).unwrap();
            assert_eq!(server.asked().len(), count);
        }
    });
    let warnings = warnings.0.lock().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("the clock of the device is wrong: it says "), "{warnings:?}");
    assert!(warnings[0].ends_with("Hint: set the clock, with NTP"), "{warnings:?}");
    // A refusal of another kind by a server whose clock is right changes nothing.
    let server = Server::new(|_| {
        refusal("403 Forbidden", "AccessDenied")
            .header("Date", httpdate::fmt_http_date(SystemTime::now()))
    });
    let error = self::s3(&remote(&server.base)).put(&object("a")).unwrap_err();
    assert_eq!(server.asked().len(), 1);
    assert_eq!(
        error.to_string(),
        "s3://bucket/a was refused with 403: AccessDenied: these credentials may not do that. \
         Hint: see which permissions are needed in docs/cloud.md. It says: because"
    );
}

#[test]
fn a_refusal_is_read_before_the_body_is_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            refusal("403 Forbidden", "AccessDenied").send(&mut stream).unwrap();
        }
    });
    let mut large = object("a");
    large.body = vec![0; 16 << 20].into();
    let error = s3(&remote(&base)).put(&large).unwrap_err();
    assert_eq!((error.code(), error.retry()), ("AccessDenied", Retry::Never), "{error}");
}

#[test]
fn uploads_that_stall_or_break_off_may_be_tried_again() {
    // The server takes the head and no more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let streams: Vec<_> = listener.incoming().collect();
        drop(streams);
    });
    let mut large = object("a");
    large.body = vec![0; 32 << 20].into();
    let once = Remote { attempts: 1, ..remote(&base) };
    let error = s3(&once).put(&large).unwrap_err();
    assert!(error.to_string().contains("too little for too long"), "{error}");
    assert_eq!(error.retry(), Retry::Later(Duration::ZERO));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let error = s3(&Remote { attempts: 2, ..remote(&base) }).put(&large).unwrap_err();
    let told = error.to_string();
    assert!(told.starts_with("cannot reach http://127.0.0.1:"), "{told}");
    assert!(told.ends_with(". Hint: check the network, and the service's endpoint"), "{told}");
    assert_eq!(error.retry(), Retry::Later(Duration::ZERO));
}

#[test]
fn hostile_answers_are_bounded() {
    let endless = "x".repeat(8 << 20);
    let bomb = format!(
        "<!DOCTYPE a [<!ENTITY b \"{}\">]><Error><Code>&b;&b;</Code></Error>",
        "&b;".repeat(1000)
    );
    let long = format!("<Error><Code>{endless}</Code></Error>");
    for (answer, words) in [
        (Answer::new("400 Bad Request", bomb), "was refused with 400: &b;&b;"),
        (Answer::new("400 Bad Request", long), "was refused with 400: 400"),
        (Answer::new("400 Bad Request", "").header("x-a", "y".repeat(1 << 20)), "header"),
        (Answer::new("403 Forbidden", "\u{1b}[2J{\"__type\": 7}"), "refused with 403: 403"),
    ] {
        let server = Server::new(move |_| answer.clone());
        let error = s3(&remote(&server.base)).put(&object("a")).unwrap_err().to_string();
        assert!(error.contains(words) && error.len() < 2000, "{error:.2000}");
    }
    // A body that drips is waited for as long as for one that does not come.
    let server = Server::new(|_| Answer {
        drip: Some((1, Duration::from_millis(100))),
        ..Answer::new("404 Not Found", "x".repeat(1000))
    });
    let error = s3(&remote(&server.base)).put(&object("a")).unwrap_err();
    assert_eq!(error.code(), "404");
}

#[test]
fn the_bandwidth_is_limited_and_uploads_can_be_stopped() {
    let server = Server::new(|_| Answer::new("200 OK", ""));
    let slow = Remote { max_upload_bytes_per_s: Some(20_000), ..remote(&server.base) };
    let client = Client::new(&slow).unwrap();
    let s3 = S3::new(Aws::new(client.clone(), &slow, None).unwrap());
    let mut put = object("a");
    put.body = vec![0; 30_000].into();
    let started = std::time::Instant::now();
    s3.put(&put).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(1000), "{:?}", started.elapsed());
    put.body = vec![0; 10 << 20].into();
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        client.stop();
    });
    let error = s3.put(&put).unwrap_err();
    assert_eq!(error.to_string(), "it was cancelled");
    stopping.join().unwrap();
}

#[test]
fn what_cannot_be_sent_is_told_before() {
    let s3 = s3(&remote("http://127.0.0.1:9"));
    for (bucket, key, kind, words) in [
        ("a/b", "k", None, "'a/b' is no name of a bucket"),
        ("bucket", "", None, "a key has 1 to 1024 bytes, not 0"),
        ("bucket", "k", Some("a\nb"), "is no type of content"),
    ] {
        let put = PutObject {
            bucket: bucket.to_owned(),
            content_type: kind.map(str::to_owned),
            ..object(key)
        };
        let error = s3.put(&put).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
}
