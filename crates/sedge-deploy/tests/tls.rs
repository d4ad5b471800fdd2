//! Who a server is: certificates, proxies, and the way from https to http.
//!
//! The certificate is made by openssl; where that is missing, the tests are skipped and say so.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../sedge-cloud/tests/common/openssl.rs"]
mod openssl;
#[path = "../../sedge-cloud/tests/common/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Device, model, request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use server::{Answer, Asked};

/// Makes a certificate for `localhost` that is its own authority, and its key.
fn certificate(place: &Path) -> bool {
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=localhost", "-days", "2", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(place.join("key.pem"))
        .arg("-out")
        .arg(place.join("ca.pem"));
    openssl::made(&mut make)
}

/// A server with that certificate; its port.
fn serve(place: &Path, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(place.join("ca.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(place.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (config, answer) = (Arc::new(config), Arc::new(answer));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, answer) = (config.clone(), answer.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                if let Some(asked) = server::read(&mut stream) {
                    let _ = answer(&asked).send(&mut stream);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
        }
    });
    port
}

#[test]
fn only_servers_with_a_trusted_certificate_are_believed() {
    let device = Device::new();
    if !certificate(device.place.path()) {
        return;
    }
    let port = serve(device.place.path(), |asked| match asked.path.as_str() {
        "/down" => Answer::new("302 Found", "").header("Location", "http://127.0.0.1:9/m.tflite"),
        _ => Answer::file(asked, &model("abs"), "one"),
    });
    let from = |host: &str, path: &str| {
        let mut request = request(&format!("https://{host}:{port}{path}"));
        request.remote.attempts = 1;
        request
    };
    let error = device.refused(&from("localhost", "/m.tflite"));
    assert!(error.contains("/m.tflite cannot prove who it is: "), "{error}");
    assert!(error.contains("Hint: check the clock of the device"), "{error}");

    let mut trusted = from("localhost", "/m.tflite");
    trusted.remote.ca_file = Some(device.path("ca.pem"));
    device.deploy(&trusted);
    for (host, path, words) in [
        ("127.0.0.1", "/m.tflite", "cannot prove who it is"),
        ("localhost", "/down", "it moved from https to http, where anybody could exchange it"),
    ] {
        let mut request = from(host, path);
        request.remote.ca_file = Some(device.path("ca.pem"));
        let error = device.refused(&request);
        assert!(error.contains(words), "{error}");
    }
    for (file, words) in [("key.pem", "it holds none"), ("nothing.pem", "No such file")] {
        let mut request = from("localhost", "/m.tflite");
        request.remote.ca_file = Some(device.path(file));
        let error = device.refused(&request);
        assert!(error.contains("cannot use the trusted certificates in PLACE/"), "{error}");
        assert!(error.contains(words), "{error}");
    }
    device.is_sound();
}

/// Connects clients to whom they ask for; the URL and how many came.
fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
            let mut server = TcpStream::connect(target).unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut server, &mut client);
                let _ = client.shutdown(Shutdown::Write);
            });
        }
    });
    (url, count)
}

#[test]
fn a_proxy_passes_the_connection_on() {
    let device = Device::new();
    if !certificate(device.place.path()) {
        return;
    }
    let port = serve(device.place.path(), |asked| Answer::file(asked, &model("abs"), "one"));
    let (url, count) = proxy();
    let mut request = request(&format!("https://localhost:{port}/m.tflite"));
    request.remote.attempts = 1;
    request.remote.ca_file = Some(device.path("ca.pem"));
    request.remote.proxy = Some(url);
    device.deploy(&request);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    request.remote.proxy = Some("http://127.0.0.1:9".to_owned());
    let error = device.refused(&request);
    assert!(error.starts_with("cannot reach https://localhost:"), "{error}");
    request.remote.proxy = Some("no proxy".to_owned());
    let error = device.refused(&request);
    assert!(error.starts_with("'no proxy' is no URL of a proxy"), "{error}");
}
