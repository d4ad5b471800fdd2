//! Models from web servers that are honest, slow, broken or hostile.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../sedge-cloud/tests/common/server.rs"]
mod server;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Device, SERVICE, archive, model, names, request};
use sedge_deploy::{DeployError, Hooks, InstallRequest, Installed, Progress, Store};
use server::{Answer, Server};

/// A model that is more than a few packets long: padding behind it is not the model's.
fn large(operator: &str) -> Vec<u8> {
    let mut noise = 1_u32;
    let mut byte = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    };
    let padding: Vec<u8> = (0..1 << 20).map(|_| byte()).collect();
    archive(&[("m.tflite", &model(operator)), ("padding.bin", &padding)])
}

fn from(server: &Server, path: &str) -> InstallRequest {
    let mut request = request(&format!("{}{path}", server.base));
    request.remote.attempts = 1;
    request
}

fn parts(device: &Device) -> Vec<String> {
    names(&device.path("root/store/incoming"))
}

#[test]
fn a_file_arrives_and_is_not_fetched_again() {
    let body = model("abs");
    let digest = "\"one\"";
    let server = Server::new(move |asked| Answer::file(asked, &body, "one"));
    let device = Device::new();
    let request = from(&server, "/models/abs.tflite?token=secret");
    let plan = device.store.plan(SERVICE, &request).unwrap();
    let size = model("abs").len() as u64;
    assert_eq!((plan.changed, plan.download_bytes), (true, Some(size)));
    let version = device.deploy(&request);
    assert_eq!(version.entry, "abs.tflite");
    assert_eq!(version.artefact.etag.as_deref(), Some(digest));
    assert_eq!(version.artefact.bytes, size);
    server.asked();

    assert!(matches!(device.install(&request).unwrap(), Installed::Unchanged(_)));
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("if-none-match"), Some(digest));
    assert!(!device.store.plan(SERVICE, &request).unwrap().changed);

    // A known digest is not even asked for.
    let mut given = request.clone();
    given.sha256 = version.artefact.sha256.clone();
    server.asked();
    assert!(matches!(device.install(&given).unwrap(), Installed::Unchanged(_)));
    assert!(server.asked().is_empty());
    assert_eq!(parts(&device), [""; 0]);
    device.is_sound();
}

#[test]
fn another_file_at_the_same_url_is_refused_unless_updates_are_wanted() {
    let current = Arc::new(Mutex::new("abs"));
    let shown = current.clone();
    let server = Server::new(move |asked| {
        let name = *shown.lock().unwrap();
        Answer::file(asked, &model(name), name)
    });
    let device = Device::new();
    let mut request = from(&server, "/m.tflite");
    device.deploy(&request);
    *current.lock().unwrap() = "neg";
    let error = device.refused(&request);
    assert!(error.contains("is not the file that was asked for: its sha256 is "), "{error}");
    assert!(error.contains("the first one that was installed from a URL counts"), "{error}");
    assert_eq!(device.store.history(SERVICE).unwrap().current, Some(1));
    request.accept_changed = true;
    assert_eq!(device.deploy(&request).number, 2);
    device.is_sound();
}

#[test]
fn a_download_that_broke_off_goes_on_where_it_was() {
    let body = Arc::new(large("abs"));
    let (whole, calls) = (body.clone(), Arc::new(AtomicUsize::new(0)));
    let server = Server::new(move |asked| {
        let answer = Answer::file(asked, &whole, "one");
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => answer.cut(300_000),
            _ => answer,
        }
    });
    let device = Device::new();
    let request = from(&server, "/m.tar.gz");
    let error = device.refused(&request);
    let words = format!(
        "/m.tar.gz ended after 300000 bytes of {}. What arrived is kept for next time",
        body.len()
    );
    assert!(error.ends_with(&words), "{error}");
    assert_eq!(parts(&device).len(), 2);
    device.is_sound();

    // A new process finds the part.
    let root = device.store.root().to_owned();
    let Device { place, store } = device;
    drop(store);
    let device = Device { store: Store::open(&root).unwrap(), place };
    server.asked();
    device.deploy(&request);
    let asked = server.asked();
    assert_eq!(asked[0].header("range"), Some("bytes=300000-"));
    assert_eq!(asked[0].header("if-range"), Some("\"one\""));
    assert_eq!(parts(&device), [""; 0]);
    device.is_sound();
}

#[test]
fn what_has_changed_meanwhile_is_fetched_from_its_beginning() {
    let calls = AtomicUsize::new(0);
    let server = Server::new(move |asked| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::file(asked, &large("abs"), "one").cut(500_000),
        _ => Answer::file(asked, &large("neg"), "two"),
    });
    let device = Device::new();
    let mut request = from(&server, "/m.tar.gz");
    request.remote.attempts = 3;
    assert_eq!(device.deploy(&request).artefact.etag.as_deref(), Some("\"two\""));
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    device.is_sound();
}

#[test]
fn servers_that_lie_about_ranges_are_not_believed() {
    let body = Arc::new(large("abs"));
    let calls = AtomicUsize::new(0);
    let whole = body.clone();
    let server = Server::new(move |asked| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::file(asked, &whole, "one").cut(500_000),
        // The same tag, other bytes than were asked for.
        1 => Answer::new("206 Partial Content", &whole[100..])
            .header("ETag", "\"one\"")
            .header("Content-Range", format!("bytes 100-{}/{}", whole.len() - 1, whole.len())),
        _ => Answer::new("200 OK", &**whole),
    });
    let device = Device::new();
    let mut request = from(&server, "/m.tar.gz");
    request.remote.attempts = 2;
    let version = device.deploy(&request);
    assert_eq!(version.artefact.bytes, body.len() as u64);
    device.is_sound();
}

#[test]
fn trouble_that_may_pass_is_waited_for_and_other_is_not() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let server = Server::new(move |asked| match asked.path.as_str() {
        "/busy.tflite" => match seen.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Answer::new("503 Service Unavailable", "come later"),
            _ => Answer::file(asked, &model("abs"), "one"),
        },
        "/gone.tflite" => Answer::new("404 Not Found", "no such file"),
        "/closed.tflite" => Answer::new("403 Forbidden", "<html>"),
        _ => Answer::new("500 Internal Server Error", ""),
    });
    let device = Device::new();
    for (path, requests, words) in [
        ("/gone.tflite", 1, "answered 404: 'no such file'. Hint: check the URL"),
        ("/closed.tflite", 1, "answered 403: no model. Hint: a URL carries no credentials"),
        ("/broken.tflite", 2, "answered 500: no model. Hint: the server has trouble"),
    ] {
        let mut request = from(&server, path);
        request.remote.attempts = 2;
        let error = device.refused(&request);
        assert!(error.contains(words), "{error}");
        assert_eq!(server.asked().len(), requests, "{path}");
        assert_eq!(parts(&device), [""; 0]);
    }
    let mut request = from(&server, "/busy.tflite");
    request.remote.attempts = 3;
    device.deploy(&request);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    let mut nobody = common::request("http://127.0.0.1:9/m.tflite");
    nobody.remote.attempts = 1;
    let error = device.refused(&nobody);
    assert!(error.starts_with("cannot reach http://127.0.0.1:9/m.tflite: "), "{error}");
    assert_eq!(device.store.history(SERVICE).unwrap().current, Some(1));
    device.is_sound();
}

#[test]
fn a_server_that_is_too_slow_is_left() {
    let server = Server::new(move |asked| {
        let mut answer = Answer::file(asked, &large("abs"), "one");
        answer.drip = match asked.path.as_str() {
            "/silent.tar.gz" => Some((1000, Duration::from_secs(60))),
            _ => Some((1, Duration::from_millis(200))),
        };
        answer
    });
    let device = Device::new();
    for path in ["/silent.tar.gz", "/drip.tar.gz"] {
        let mut request = from(&server, path);
        request.remote.progress_timeout = Duration::from_secs(1);
        let started = Instant::now();
        let error = device.refused(&request);
        assert!(error.contains("has sent too little for too long"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
        // What came is worth keeping.
        assert_eq!(parts(&device).len(), 2);
        Store::verify(&device.store).unwrap();
        for name in parts(&device) {
            std::fs::remove_file(device.path("root/store/incoming").join(name)).unwrap();
        }
    }
}

#[test]
fn sizes_are_refused_before_they_are_fetched() {
    let server = Server::new(move |asked| match asked.path.as_str() {
        "/vast.tar.gz" => Answer::new("200 OK", "x")
            .header("Transfer-Encoding", "identity")
            .header("Content-Length", (1_u64 << 60).to_string()),
        // No size at all: it goes on until somebody has had enough.
        "/endless.tar.gz" => {
            let mut body = Vec::new();
            for _ in 0..100 {
                body.extend_from_slice(b"10000\r\n");
                body.resize(body.len() + 0x10000, 7);
                body.extend_from_slice(b"\r\n");
            }
            Answer::new("200 OK", body).header("Transfer-Encoding", "chunked")
        }
        _ => Answer::file(asked, &large("abs"), "one"),
    });
    let device = Device::new();
    let mut small = from(&server, "/m.tar.gz");
    small.limits.download_bytes = 1000;
    let error = device.refused(&small);
    assert!(error.ends_with("bytes large, more than the 1000 that are allowed"), "{error}");
    let mut endless = from(&server, "/endless.tar.gz");
    endless.limits.download_bytes = 1 << 20;
    assert!(device.refused(&endless).contains("more than the 1048576 that are allowed"));
    let mut vast = from(&server, "/vast.tar.gz");
    vast.limits.download_bytes = u64::MAX;
    let error = device.refused(&vast);
    assert!(
        error.contains("bytes free for models, at least 1152921504606846976 are needed"),
        "{error}"
    );
    assert_eq!(parts(&device), [""; 0]);
    device.is_sound();
}

#[test]
fn redirects_are_followed_within_bounds() {
    let server = Server::new(move |asked| {
        let moved = |to: &str| Answer::new("302 Found", "").header("Location", to);
        match asked.path.as_str() {
            "/start/m.tflite" => moved("../hop"),
            "/start/../hop" => moved("/models/m.tflite"),
            "/circle" => moved("/circle"),
            "/nowhere" => Answer::new("302 Found", ""),
            "/outside" => moved("http://example.invalid/m.tflite"),
            "/file" => moved("file:///etc/passwd"),
            _ => Answer::file(asked, &model("abs"), "one"),
        }
    });
    let device = Device::new();
    device.deploy(&from(&server, "/start/m.tflite"));
    for (path, words) in [
        ("/circle", "it moved more than 5 times"),
        ("/nowhere", "it moved to nowhere"),
        ("/outside", "it moved to another host over http. Hint: give its sha256"),
        ("/file", "it moved to 'file:///etc/passwd'"),
    ] {
        let error = device.refused(&from(&server, path));
        assert!(error.contains(words), "{error}");
    }
    let plain = device.refused(&request("http://example.com/m.tflite"));
    assert!(plain.contains("Hint: give its sha256, or use https"), "{plain}");
}

#[test]
fn a_wrong_digest_leaves_nothing_behind() {
    let server = Server::new(move |asked| Answer::file(asked, &model("abs"), "one"));
    let device = Device::new();
    let mut request = from(&server, "/m.tflite");
    request.sha256 = Some("0".repeat(64));
    let error = device.refused(&request);
    assert!(error.contains("not 0000000000"), "{error}");
    assert!(error.ends_with("Hint: give the sha256 of the file that is meant"), "{error}");
    assert_eq!(parts(&device), [""; 0]);
    assert_eq!(names(&device.path("root/store/blobs")), [""; 0]);
    device.is_sound();

    // Nor is what is already there, unchanged, taken for what was asked for.
    let mut without = request.clone();
    without.sha256 = None;
    device.deploy(&without);
    assert!(device.refused(&request).contains("not 0000000000"));
    assert!(device.store.plan(SERVICE, &request).is_err());
}

#[test]
fn the_speed_is_limited_and_told_and_a_cancelled_download_kept() {
    let server = Server::new(move |asked| Answer::file(asked, &large("abs"), "one"));
    let device = Device::new();
    let mut request = from(&server, "/m.tar.gz");
    request.remote.max_bytes_per_s = Some(500_000);
    let cancel = AtomicBool::new(false);
    let seen = AtomicUsize::new(0);
    let progress = |progress: Progress| {
        seen.store(progress.bytes as usize, Ordering::Relaxed);
        assert_eq!(progress.total, Some(large("abs").len() as u64));
        if progress.bytes > 0 {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let hooks = Hooks { progress: &progress, cancel: &cancel, ..Hooks::default() };
    let started = Instant::now();
    let result = device.store.install(SERVICE, &request, &hooks);
    assert!(matches!(result, Err(DeployError::Cancelled)), "{result:?}");
    let bytes = seen.load(Ordering::Relaxed);
    assert!(bytes >= 256 << 10, "{bytes}");
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    request.remote.max_bytes_per_s = None;
    device.deploy(&request);
    let resumed = server.asked().pop().unwrap();
    assert!(resumed.header("range").is_some());
    device.is_sound();
}

#[test]
fn a_whole_download_that_nobody_used_is_used() {
    for (now, requests) in [("abs", 1), ("neg", 2)] {
        let calls = AtomicUsize::new(0);
        let server = Server::new(move |asked| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::file(asked, &large("abs"), "abs").cut(300_000),
            _ => Answer::file(asked, &large(now), now),
        });
        let device = Device::new();
        let request = from(&server, "/m.tar.gz");
        device.refused(&request);
        // As a process leaves it that is killed after the last byte.
        let part = parts(&device).into_iter().find(|name| name.ends_with(".part")).unwrap();
        common::write(&device.path("root/store/incoming").join(part), &large("abs"));
        server.asked();
        let version = device.deploy(&request);
        assert_eq!(version.artefact.etag, Some(format!("\"{now}\"")));
        let asked = server.asked();
        assert_eq!(asked.len(), requests, "{asked:?}");
        assert_eq!(asked[0].header("if-none-match"), Some("\"abs\""));
        assert_eq!(parts(&device), [""; 0]);
        device.is_sound();
    }
}

#[test]
fn two_services_may_want_the_same_file_at_once() {
    let server = Server::new(move |asked| Answer::file(asked, &large("abs"), "one"));
    let device = Device::new();
    let request = from(&server, "/m.tar.gz");
    std::thread::scope(|scope| {
        for service in ["cats", "dogs", "birds"] {
            let (store, request) = (&device.store, &request);
            scope.spawn(move || {
                let Installed::Candidate(candidate) =
                    store.install(service, request, &Hooks::default()).unwrap()
                else {
                    panic!("{service} has it")
                };
                store.commit(&candidate).unwrap();
            });
        }
    });
    assert_eq!(device.store.services().unwrap(), ["birds", "cats", "dogs"]);
    assert_eq!(names(&device.path("root/store/packages")).len(), 1);
    device.is_sound();
}
