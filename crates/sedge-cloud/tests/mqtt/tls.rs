//! Who is let in, who is believed, and what is said where not.

use std::path::Path;
use std::sync::{Arc, Mutex};

use sedge_cloud::mqtt::{Settings, Tls};
use sedge_cloud::{Identity, Pem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use crate::broker::Mosquitto;
use crate::certificates::{authority, issue};
use crate::queue::Queue;
use crate::{LONG, QOS_1, connected, error_of, eventually, link, settings};

const MUTUAL: &str = "cafile PLACE/ca.pem\ncertfile PLACE/broker.pem\nkeyfile PLACE/broker.key\n\
                      require_certificate true\nuse_identity_as_username true";

/// A broker that lets in who has a certificate of its authority, and files of others.
fn broker(days: i32) -> Mosquitto {
    Mosquitto::prepared(MUTUAL, |place| {
        authority(place, "ca");
        authority(place, "other");
        issue(place, "ca", "broker", "DNS:localhost", days);
        issue(place, "ca", "camera", "DNS:camera", 2);
        issue(place, "ca", "expired", "DNS:camera", -1);
        issue(place, "other", "stranger", "DNS:camera", 2);
    })
}

fn encrypted(place: &Path, port: u16, ca: &str, identity: Option<(&str, &str)>) -> Settings {
    let file = |name: String| Pem::File(place.join(name));
    let mut settings = settings(port);
    settings.host = "localhost".to_owned();
    settings.tls = Some(Tls {
        ca: Some(file(format!("{ca}.pem"))),
        identity: identity.map(|(certificate, key)| Identity {
            certificate: file(format!("{certificate}.pem")),
            key: file(format!("{key}.key")),
        }),
        alpn: None,
    });
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_let_in_by_its_certificate() {
    let broker = broker(2);
    let place = broker.place.path();
    let queue = Arc::new(Queue::default());
    let wanted = vec![("#".to_owned(), QOS_1)];
    let settings = encrypted(place, broker.port, "ca", Some(("camera", "camera")));
    let link = crate::Link::start(settings, queue.clone(), queue.clone(), wanted.clone()).unwrap();
    queue.put("camera/large", QOS_1, vec![b'x'; 100_000]);
    eventually("received", || queue.received().len() == 1).await;
    assert_eq!(queue.received()[0].payload.len(), 100_000);
    eventually("its name", || broker.log().contains("as camera (p5")).await;
    link.stop(LONG).await;
    // The same as text.
    let mut settings = encrypted(place, broker.port, "ca", Some(("camera", "camera")));
    let read = |pem: &mut Pem| {
        if let Pem::File(path) = pem {
            *pem = Pem::Text(std::fs::read(path).unwrap());
        }
    };
    let tls = settings.tls.as_mut().unwrap();
    read(tls.ca.as_mut().unwrap());
    let identity = tls.identity.as_mut().unwrap();
    read(&mut identity.certificate);
    read(&mut identity.key);
    assert!(!format!("{settings:?}").contains("45, 45, 45"), "no key in a log");
    let link = crate::link(settings, &queue);
    connected(&link).await;
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_certificates_is_told() {
    let broker = broker(2);
    let place = broker.place.path();
    let mine = Some(("camera", "camera"));
    let with = |ca, identity| encrypted(place, broker.port, ca, identity);
    let mut other_name = with("ca", mine);
    other_name.host = "127.0.0.1".to_owned();
    std::fs::write(place.join("empty.pem"), "nothing").unwrap();
    let cases = [
        (with("other", mine), "of an authority that is not trusted. Hint: set ca to the"),
        (other_name, "has a certificate for another name. Hint: "),
        (with("ca", None), "wants a certificate of the client. Hint: set the device's"),
        (with("ca", Some(("expired", "expired"))), "refuses the client's certificate"),
        (with("ca", Some(("stranger", "stranger"))), "refuses the client's certificate"),
        (with("ca", Some(("camera", "broker"))), "it is not the key of the certificate. Hint: "),
        (with("missing", mine), "missing.pem: No such file or directory"),
        (
            with("empty", mine),
            "empty.pem: it holds none. Hint: in PEM they stand between BEGIN CERTIFICATE",
        ),
    ];
    for (settings, words) in cases {
        let queue = Arc::new(Queue::default());
        let link = link(settings, &queue);
        let error = error_of(&link).await;
        assert!(error.contains(words), "not '{words}': {error}");
        assert_eq!(link.status().connections, 0, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_certificate_has_expired_is_not_believed() {
    let broker = broker(-1);
    let settings = encrypted(broker.place.path(), broker.port, "ca", Some(("camera", "camera")));
    let queue = Arc::new(Queue::default());
    let error = error_of(&link(settings, &queue)).await;
    assert!(error.contains("has a certificate that has expired. Hint: check the clock"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_used_by_the_next_connection() {
    let broker = broker(2);
    let place = broker.place.path();
    let queue = Arc::new(Queue::default());
    queue.put("renewed", QOS_1, "1");
    let link = link(encrypted(place, broker.port, "ca", Some(("expired", "expired"))), &queue);
    error_of(&link).await;
    for ending in ["pem", "key"] {
        let (new, old) = (format!("camera.{ending}"), format!("expired.{ending}"));
        std::fs::copy(place.join(new), place.join(old)).unwrap();
    }
    eventually("settled", || queue.is_empty()).await;
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_without_tls_is_told() {
    let (tls, plain) = (broker(2), Mosquitto::start());
    let queue = Arc::new(Queue::default());
    let without_tls = settings(tls.port);
    let error = error_of(&link(without_tls, &queue)).await;
    assert!(error.contains("Hint: check that this port speaks MQTT, with TLS"), "{error}");
    let with_tls = encrypted(tls.place.path(), plain.port, "ca", None);
    let error = error_of(&link(with_tls, &queue)).await;
    assert!(error.contains("during the TLS handshake"), "{error}");
    assert!(error.contains("Hint: check that this port has TLS"), "{error}");
}

/// What a client asked a server for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Asked {
    name: Option<String>,
    protocol: Option<Vec<u8>>,
    certificates: usize,
}

/// A TLS server that wants a certificate, accepts MQTT, and keeps what it was asked for.
async fn server(place: &Path, protocols: &[&[u8]]) -> (u16, Arc<Mutex<Vec<Asked>>>) {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(place.join("ca.pem")).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(place.join("endpoint.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(place.join("endpoint.key")).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let kept = asked.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let connection = stream.get_ref().1;
            kept.lock().unwrap().push(Asked {
                name: connection.server_name().map(str::to_owned),
                protocol: connection.alpn_protocol().map(<[u8]>::to_vec),
                certificates: connection.peer_certificates().map_or(0, <[_]>::len),
            });
            tokio::spawn(async move {
                stream.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap();
                while stream.read_u8().await.is_ok() {}
            });
        }
    });
    (port, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_iot_is_asked_for_by_name_and_on_port_443_by_protocol() {
    const HOST: &str = "a1b2c3-ats.iot.eu-west-1.amazonaws.com";
    let place = tempfile::TempDir::new().unwrap();
    authority(place.path(), "ca");
    issue(place.path(), "ca", "endpoint", &format!("DNS:{HOST},DNS:localhost"), 2);
    issue(place.path(), "ca", "camera", "DNS:camera", 2);
    let (address, asked) = server(place.path(), &[b"x-amzn-mqtt-ca", b"mqtt"]).await;
    let alpn = |name: &str| Some(vec![name.to_owned()]);
    for (host, port, configured, expected) in [
        (HOST, 443, None, Some("x-amzn-mqtt-ca")),
        (HOST, 8883, None, None),
        (HOST, 443, alpn("mqtt"), Some("mqtt")),
        ("localhost", 443, None, None),
    ] {
        let mut settings = encrypted(place.path(), port, "ca", Some(("camera", "camera")));
        settings.host = host.to_owned();
        settings.address = Some(([127, 0, 0, 1], address).into());
        settings.tls.as_mut().unwrap().alpn = configured;
        let queue = Arc::new(Queue::default());
        let link = link(settings, &queue);
        connected(&link).await;
        let asked = asked.lock().unwrap().pop().unwrap();
        let protocol = expected.map(|name| name.as_bytes().to_vec());
        assert_eq!(asked, Asked { name: Some(host.to_owned()), protocol, certificates: 1 });
    }
    let mut settings = encrypted(place.path(), 443, "ca", Some(("camera", "camera")));
    settings.address = Some(([127, 0, 0, 1], address).into());
    settings.tls.as_mut().unwrap().alpn = alpn("http/1.1");
    let queue = Arc::new(Queue::default());
    let error = error_of(&link(settings, &queue)).await;
    assert!(error.contains("does not offer the protocol that was asked for (ALPN)"), "{error}");
}
