//! Credentials that the device's certificate gives, from a provider that wants to see it by mutual
//! TLS, and those of a container endpoint; how they are renewed, and what happens without them.
//!
//! Certificates are made by openssl; where that is missing, the tests are skipped and say so.
#![allow(clippy::unwrap_used)]

#[path = "common/openssl.rs"]
mod openssl;
#[path = "common/server.rs"]
mod server;

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use sedge_cloud::{
    Aws, Client, ClientError, Credentials, Identity, IotRole, Origin, Pem, PutObject, Remote, S3,
};
use server::{Answer, Asked, Server};

/// Makes two authorities, a certificate of the server and two of devices, one for each authority;
/// the keys in all forms that keys have.
fn certificates(place: &Path) -> bool {
    let script = "set -e; cd \"$1\"
        for ca in right wrong; do
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                -subj \"/CN=$ca\" -keyout $ca-ca.key -out $ca-ca.pem
        done
        sign() {
            openssl x509 -req -in $1.csr -CA $2-ca.pem -CAkey $2-ca.key -CAcreateserial -days 2 \
                -extfile $1.ext -out $1.pem
        }
        for name in server device stranger; do
            openssl req -newkey rsa:2048 -nodes -subj \"/CN=$name\" -keyout $name.key -out $name.csr
            echo subjectAltName=DNS:localhost > $name.ext
        done
        sign server right; sign device right; sign stranger wrong
        openssl rsa -in device.key -traditional -out device-pkcs1.key
        grep -q 'BEGIN RSA PRIVATE KEY' device-pkcs1.key";
    openssl::made(Command::new("sh").args(["-c", script, "sh"]).arg(place))
}

/// What a provider was asked, with the name that TLS was asked for.
type Log = Arc<Mutex<Vec<(Option<String>, Asked)>>>;

/// A credentials provider that believes in the right authority; its endpoint.
fn provider(place: &Path, answer: impl Fn() -> Answer + Send + Sync + 'static) -> (String, Log) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(place.join("right-ca.pem")).unwrap()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), ring.clone());
    let chain = vec![CertificateDer::from_pem_file(place.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(place.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let (config, log) = (Arc::new(config), Log::default());
    let (answer, asked) = (Arc::new(answer), log.clone());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, answer, log) = (config.clone(), answer.clone(), asked.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                if let Some(asked) = server::read(&mut stream) {
                    let name = stream.conn.server_name().map(str::to_owned);
                    log.lock().unwrap().push((name, asked));
                    let _ = answer().send(&mut stream);
                    stream.conn.send_close_notify();
                }
                let _ = stream.flush();
            });
        }
    });
    (endpoint, log)
}

/// What a provider gives: keys for so long, by a clock that is wrong by so much.
fn keys(name: &str, life: Duration, skew: Duration) -> Answer {
    let now = SystemTime::now() + skew;
    let end = humantime::format_rfc3339_seconds(now + life);
    let body = format!(
        r#"{{"credentials":{{"accessKeyId":"{name}","secretAccessKey":"S","sessionToken":"T",
            "expiration":"{end}"}}}}"#
    );
    Answer::new("200 OK", body).header("Date", httpdate::fmt_http_date(now))
}

fn remote(place: &Path, endpoint: &str, device: &str) -> Remote {
    let file = |name: &str| Pem::File(place.join(name));
    Remote {
        region: Some("us-east-1".to_owned()),
        credentials: Credentials::IotRole,
        iot_role: Some(IotRole {
            endpoint: endpoint.to_owned(),
            role_alias: "samples_role=1".to_owned(),
            thing_name: Some("core-1".to_owned()),
            identity: Identity {
                certificate: file(&format!("{device}.pem")),
                key: file(&format!("{device}.key")),
            },
            ca_file: Some(place.join("right-ca.pem")),
        }),
        proxy: Some(String::new()),
        attempts: 1,
        ..Remote::default()
    }
}

fn aws(remote: &Remote) -> Aws {
    Aws::new(Client::new(remote).unwrap(), remote, None).unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_device_gets_keys_once_and_keeps_them() {
    let place = tempfile::tempdir().unwrap();
    if !certificates(place.path()) {
        return;
    }
    // Its clock is two years ahead: lifetimes count from there.
    let answer = || keys("KEY", HOUR, HOUR * 24 * 730);
    let (endpoint, log) = provider(place.path(), answer);
    let aws = aws(&remote(place.path(), &endpoint, "device"));
    // Threads that want them at once wait for the one that asks.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(aws.credentials().unwrap().is_some()));
        }
    });
    for _ in 0..3 {
        let issued = aws.credentials().unwrap().unwrap();
        assert_eq!(issued.keys().access_key_id, "KEY");
        assert_eq!(issued.keys().session_token.as_deref(), Some("T"));
        let remaining = issued.remaining().unwrap();
        assert!(remaining <= HOUR && remaining > HOUR / 2, "{remaining:?}");
        let alias = "samples_role=1".to_owned();
        assert_eq!(issued.source(), &Origin::IotRole { alias, endpoint: endpoint.clone() });
        assert!(!format!("{issued:?}").contains("\"S\""), "{issued:?}");
    }
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 1);
    let (name, asked) = &log[0];
    assert_eq!(name.as_deref(), Some("localhost"));
    assert_eq!(asked.path, "/role-aliases/samples_role%3D1/credentials");
    assert_eq!(asked.header("x-amzn-iot-thingname"), Some("core-1"));

    // A key in the form in which Greengrass keeps it.
    let mut old = remote(place.path(), &endpoint, "device");
    old.iot_role.as_mut().unwrap().identity.key =
        Pem::Text(std::fs::read(place.path().join("device-pkcs1.key")).unwrap());
    drop(log);
    assert!(self::aws(&old).credentials().unwrap().is_some());
}

#[test]
fn who_is_not_known_is_told_why() {
    let place = tempfile::tempdir().unwrap();
    if !certificates(place.path()) {
        return;
    }
    let (endpoint, log) = provider(place.path(), || keys("KEY", HOUR, Duration::ZERO));
    let error = |change: &dyn Fn(&mut IotRole), device: &str| {
        let mut remote = remote(place.path(), &endpoint, device);
        change(remote.iot_role.as_mut().unwrap());
        aws(&remote).credentials().unwrap_err()
    };
    let refused = error(&|_| {}, "stranger");
    assert!(matches!(refused, ClientError::Certificate { .. }), "{refused:?}");
    assert!(refused.to_string().contains("does not accept who this device is"), "{refused}");
    let other = error(&|role| role.ca_file = Some(place.path().join("wrong-ca.pem")), "device");
    assert!(matches!(other, ClientError::Tls { .. }), "{other:?}");
    let stranger = place.path().join("stranger.key");
    let pair = error(&|role| role.identity.key = Pem::File(stranger.clone()), "device");
    assert!(pair.to_string().contains("it is not the key of the certificate"), "{pair}");
    for (change, words) in [
        ((|role| role.role_alias = "a/b".to_owned()) as fn(&mut IotRole), "is no role alias"),
        (|role| role.endpoint = "http://host/".to_owned(), "is no host of a credentials provider"),
        (
            |role| role.identity.certificate = Pem::File("/nowhere.pem".into()),
            "cannot use the certificate in",
        ),
        (|role| role.identity.key = role.identity.certificate.clone(), "it holds none"),
    ] {
        let error = error(&change, "device").to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(log.lock().unwrap().is_empty());
}

#[test]
fn a_refusal_is_told_with_the_way_on_and_not_repeated() {
    let place = tempfile::tempdir().unwrap();
    if !certificates(place.path()) {
        return;
    }
    let (endpoint, log) = provider(place.path(), || {
        Answer::new("403 Forbidden", r#"{"message":"Access Denied"}"#)
            .header("x-amzn-ErrorType", "AccessDeniedException:")
    });
    let aws = aws(&remote(place.path(), &endpoint, "device"));
    for _ in 0..5 {
        let error = aws.credentials().unwrap_err().to_string();
        assert!(error.contains("answered 403: it gives no credentials of 'samples_role=1'"));
        assert!(error.contains("iot:AssumeRoleWithCertificate"), "{error}");
    }
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[test]
fn keys_that_end_are_renewed_and_used_while_the_provider_is_down() {
    let place = tempfile::tempdir().unwrap();
    if !certificates(place.path()) {
        return;
    }
    let calls = AtomicUsize::new(0);
    let (endpoint, log) = provider(place.path(), move || {
        match calls.fetch_add(1, Ordering::Relaxed) {
            // A life of two seconds is to be renewed after one.
            0 => keys("FIRST", Duration::from_secs(2), Duration::ZERO),
            1 => Answer::new("503 Service Unavailable", ""),
            _ => keys("NEXT", HOUR, Duration::ZERO),
        }
    });
    let aws = aws(&remote(place.path(), &endpoint, "device"));
    let mut names = Vec::new();
    let started = std::time::Instant::now();
    while names.last().is_none_or(|name| name != "NEXT") {
        assert!(started.elapsed() < Duration::from_secs(60), "{names:?}");
        // After their end, until the provider may be asked again, there are none.
        let name = match aws.credentials() {
            Ok(issued) => issued.unwrap().keys().access_key_id.clone(),
            Err(error) => {
                assert!(error.to_string().contains("answered 503"), "{error}");
                "none".to_owned()
            }
        };
        if names.last() != Some(&name) {
            names.push(name);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(names == ["FIRST", "NEXT"] || names == ["FIRST", "none", "NEXT"], "{names:?}");
    assert_eq!(log.lock().unwrap().len(), 3);
}

#[test]
fn expired_keys_are_exchanged_while_an_object_is_put() {
    let place = tempfile::tempdir().unwrap();
    if !certificates(place.path()) {
        return;
    }
    let calls = AtomicUsize::new(0);
    let (endpoint, _log) = provider(place.path(), move || {
        keys(&format!("KEY{}", calls.fetch_add(1, Ordering::Relaxed)), HOUR, Duration::ZERO)
    });
    let store = Server::new(|asked| {
        match asked.header("authorization").unwrap().contains("Credential=KEY0/") {
            true => Answer::new(
                "400 Bad Request",
                "<Error><Code>ExpiredToken</Code><Message>it has expired</Message></Error>",
            ),
            false => Answer::new("200 OK", ""),
        }
    });
    let mut remote = remote(place.path(), &endpoint, "device");
    remote.s3_endpoint = Some(store.base.clone());
    let s3 = S3::new(aws(&remote));
    let object = PutObject {
        bucket: "bucket".to_owned(),
        key: "key".to_owned(),
        body: "sample".to_owned().into(),
        ..PutObject::default()
    };
    assert_eq!(s3.put(&object).unwrap().retries, 1);
    assert_eq!(s3.put(&object).unwrap().retries, 0);
}
