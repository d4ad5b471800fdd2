//! Signatures as Amazon's own client makes them, and what the services' answers mean.
//!
//! moto believes every signature; here botocore signs again what arrived, byte for byte, and has to
//! come to the same.
#![allow(clippy::unwrap_used)]

#[path = "common/moto.rs"]
mod moto;
#[path = "common/server.rs"]
mod server;

use std::process::Command;

use sedge_cloud::{
    Aws, Body, Client, Credentials, Encryption, Keys, LogEvent, Logs, Measured, Metric, Metrics,
    PutObject, Remote, S3,
};
use serde_json::{Value, json};
use server::{Answer, Asked, Server};

/// Prints the signature that botocore makes for each request of a file. The names of the signed
/// headers are the only thing that is believed.
const SIGN: &str = "
import base64, json, sys
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
keys = Credentials('AKID', 'se/cr+et', 'tok/en==')
for r in json.load(open(sys.argv[1])):
    given = dict(r['headers'])
    scope, names = given['authorization'].split(' SignedHeaders=')
    _, day, region, service, _ = scope.split('Credential=')[1].rstrip(',').split('/')
    names = names.split(',')[0].split(';')
    assert 'host' in names and 'x-amz-security-token' in names, names
    assert given['x-amz-security-token'] == 'tok/en=='
    assert given['x-amz-date'][:8] == day
    must = [n for n in given if n.startswith('x-amz-') or n in ('content-type', 'content-encoding')]
    assert not set(must) - set(names), (must, names)
    signer = (S3SigV4Auth if service == 's3' else SigV4Auth)(keys, service, region)
    request = AWSRequest(r['method'], 'http://' + given['host'] + r['path'],
        headers={n: given[n] for n in names}, data=base64.b64decode(r['body']))
    request.context['timestamp'] = given['x-amz-date']
    if service == 's3':
        assert given['x-amz-content-sha256'] == signer.payload(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    assert given['authorization'].endswith('Signature=' + signature), canonical
    print(service, region)
";

fn aws(base: &str) -> Aws {
    let remote = Remote {
        s3_endpoint: Some(base.to_owned()),
        metrics_endpoint: Some(base.to_owned()),
        logs_endpoint: Some(base.to_owned()),
        region: Some("eu-central-1".to_owned()),
        credentials: Credentials::Static(Keys {
            access_key_id: "AKID".to_owned(),
            secret_access_key: "se/cr+et".to_owned(),
            session_token: Some("tok/en==".to_owned()),
        }),
        proxy: Some(String::new()),
        attempts: 1,
        ..Remote::default()
    };
    Aws::new(Client::new(&remote).unwrap(), &remote, None).unwrap()
}

fn told(asked: &Asked) -> Value {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(&asked.body);
    json!({"method": asked.method, "path": asked.path, "headers": asked.headers, "body": body})
}

#[test]
fn botocore_signs_the_same() {
    let Some(python) = moto::python() else { return };
    let server = Server::new(|_| Answer::new("200 OK", "{}"));
    let aws = aws(&server.base);
    let s3 = S3::new(aws.clone());
    let object = |key: &str| PutObject {
        bucket: "bucket".to_owned(),
        key: key.to_owned(),
        body: Body::from(vec![1, 2, 3]),
        ..PutObject::default()
    };
    for key in ["a", "a//b/../c d", "ü+~!'()*,:;=@$&?%#", "/lead", "trail/", "%41"] {
        s3.put(&object(key)).unwrap();
    }
    s3.put(&PutObject {
        content_type: Some("image/jpeg,  image/png".to_owned()),
        metadata: [("publish-ts", "2019-07-11 00:12:48.816752"), ("Z", "ä  b"), ("a", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        encryption: Some(Encryption::Kms(Some("arn:aws:kms:x:1:key/k".to_owned()))),
        body: Body::None,
        ..object("with everything")
    })
    .unwrap();
    let metric = Metric {
        name: "A b&=+%".to_owned(),
        dimensions: vec![("d".to_owned(), "ü".to_owned())],
        timestamp: None,
        value: Measured::Many(vec![(1e-300, 2.0), (-5.0, 1.0)]),
        unit: None,
        high_resolution: true,
    };
    Metrics::new(aws.clone()).put("n", std::slice::from_ref(&metric)).unwrap();
    Metrics::new(aws.clone()).put("n", &vec![metric; 500]).unwrap();
    let event = LogEvent { timestamp_ms: 1, message: "\u{1f600} \\ \" \n".to_owned() };
    Logs::new(aws).put("g", "s", &[event]).unwrap();

    let asked: Vec<Value> = server.asked().iter().map(told).collect();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("asked.json");
    std::fs::write(&file, Value::from(asked.clone()).to_string()).unwrap();
    let output = Command::new(python).args(["-c", SIGN]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let s3 = "s3 eu-central-1\n".repeat(7);
    assert_eq!(
        lines,
        format!("{s3}monitoring eu-central-1\nmonitoring eu-central-1\nlogs eu-central-1\n")
    );
    assert_eq!(asked.len(), 10);
}

#[test]
fn refused_log_events_are_counted() {
    let server = Server::new(|_| {
        Answer::new(
            "200 OK",
            r#"{"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 2,
                "expiredLogEventEndIndex": 3, "tooNewLogEventStartIndex": 4}}"#,
        )
        .header("x-amzn-RequestId", "R1")
    });
    let logs = Logs::new(aws(&server.base));
    let events = vec![LogEvent { timestamp_ms: 1, message: "a".to_owned() }; 6];
    let taken = logs.put("g", "s", &events).unwrap();
    assert_eq!((taken.too_old, taken.expired, taken.too_new), (2, 3, 2));
    assert_eq!(taken.request_id.as_deref(), Some("R1"));
    // Numbers that cannot be are no more than all.
    let server = Server::new(|_| {
        let rejected = r#"{"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 99}}"#;
        Answer::new("200 OK", rejected)
    });
    assert_eq!(Logs::new(aws(&server.base)).put("g", "s", &events).unwrap().too_old, 6);
}

#[test]
fn refusals_of_all_forms_are_read() {
    for (status, headers, body, expected) in [
        (
            "400 Bad Request",
            None,
            "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate \
             exceeded</Message></Error><RequestId>R</RequestId></ErrorResponse>",
            "1 metrics of 'n' was refused with 400: Throttling: Rate exceeded",
        ),
        (
            "400 Bad Request",
            None,
            r#"{"__type":"com.amazonaws.x#InvalidParameterException","message":"no"}"#,
            "1 metrics of 'n' was refused with 400: InvalidParameterException: no",
        ),
        (
            "403 Forbidden",
            Some(("x-amzn-ErrorType", "AccessDeniedException:http://internal")),
            r#"{"Message":"User is not authorized"}"#,
            "1 metrics of 'n' was refused with 403: AccessDeniedException: these credentials may \
             not do that. Hint: see which permissions are needed in docs/cloud.md. It says: User is \
             not authorized",
        ),
        ("502 Bad Gateway", None, "<html>", "1 metrics of 'n' was refused with 502: 502"),
    ] {
        let server = Server::new(move |_| match headers {
            Some((name, value)) => Answer::new(status, body).header(name, value),
            None => Answer::new(status, body),
        });
        let metric = Metric {
            name: "m".to_owned(),
            dimensions: vec![],
            timestamp: None,
            value: Measured::One(1.0),
            unit: None,
            high_resolution: false,
        };
        let error = Metrics::new(aws(&server.base)).put("n", &[metric]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
