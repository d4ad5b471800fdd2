//! Objects, metrics and logs as moto's server plays their services, read back by Amazon's own client.
#![allow(clippy::unwrap_used)]

#[path = "common/moto.rs"]
mod moto;

use std::collections::BTreeSet;
use std::time::SystemTime;

use moto::Moto;
use sedge_cloud::{
    Aws, Body, Client, Credentials, Encryption, Keys, LogEvent, Logs, Measured, Metric, Metrics,
    PutObject, Remote, Retry, S3, log_batches, metric_batches,
};
use serde_json::{Value, json};

fn remote(base: &str) -> Remote {
    Remote {
        s3_endpoint: Some(base.to_owned()),
        metrics_endpoint: Some(base.to_owned()),
        logs_endpoint: Some(base.to_owned()),
        region: Some("us-east-1".to_owned()),
        credentials: Credentials::Static(Keys {
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: Some("token".to_owned()),
        }),
        proxy: Some(String::new()),
        attempts: 2,
        ..Remote::default()
    }
}

fn aws(base: &str) -> Aws {
    let remote = remote(base);
    Aws::new(Client::new(&remote).unwrap(), &remote, None).unwrap()
}

fn object(key: &str, body: impl Into<Body>) -> PutObject {
    PutObject {
        bucket: "samples".to_owned(),
        key: key.to_owned(),
        body: body.into(),
        ..PutObject::default()
    }
}

#[test]
fn objects_are_kept_with_what_is_told_of_them() {
    let Some(moto) = Moto::start() else { return };
    let s3 = S3::new(aws(&moto.base));
    let error = s3.put(&object("a", "x".to_owned())).unwrap_err();
    assert_eq!((error.code(), error.retry()), ("NoSuchBucket", Retry::Never), "{error}");
    assert!(error.to_string().starts_with("s3://samples/a was refused with 404: NoSuchBucket"));

    moto.python("s3.create_bucket(Bucket='samples')", &[]);
    let key = "mlfeedback-random/a b/ü+~.png,jpg";
    let stored = s3
        .put(&PutObject {
            content_type: Some("image/jpeg,image/png".to_owned()),
            metadata: vec![
                ("publish-ts".to_owned(), "2019-07-11 00:12:48.816752".to_owned()),
                ("Camera".to_owned(), "1".to_owned()),
            ],
            encryption: Some(Encryption::S3),
            ..object(key, vec![7; 100_000])
        })
        .unwrap();
    assert_eq!((stored.status, stored.retries, stored.cut.len()), (200, 0, 0));
    assert_eq!(stored.server_side_encryption(), Some("AES256"));
    let kept: Value = serde_json::from_str(&moto.python(
        "o = s3.get_object(Bucket='samples', Key=sys.argv[1])\n\
         print(json.dumps([o['ContentType'], o['Metadata'], len(o['Body'].read()), o['ETag']]))",
        &[key],
    ))
    .unwrap();
    let metadata = json!({"publish-ts": "2019-07-11 00:12:48.816752", "camera": "1"});
    let expected = json!(["image/jpeg,image/png", metadata, 100_000, stored.etag()]);
    assert_eq!(kept, expected);

    // The same call by Amazon's client gives an answer of the same shape.
    let theirs: Value = serde_json::from_str(&moto.python(
        "print(json.dumps(s3.put_object(Bucket='samples', Key='b', Body=bytes([7] * 100_000), \
         ServerSideEncryption='AES256')))",
        &[],
    ))
    .unwrap();
    let ours = stored.response();
    let names = |value: &Value| -> BTreeSet<String> {
        // Their client adds a checksum that ours has in its signature.
        let names = value.as_object().unwrap().keys().filter(|name| !name.starts_with("Checksum"));
        names.cloned().collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    assert_eq!(names(&ours["ResponseMetadata"]), names(&theirs["ResponseMetadata"]));
    assert_eq!(ours["ETag"], theirs["ETag"]);
    assert_eq!(ours["ResponseMetadata"]["HTTPHeaders"]["etag"], ours["ETag"]);
}

#[test]
fn files_and_nothing_at_all_are_objects_as_well() {
    let Some(moto) = Moto::start() else { return };
    let s3 = S3::new(aws(&moto.base));
    moto.python("s3.create_bucket(Bucket='samples')", &[]);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("sample");
    // Large enough for the server to be asked first.
    std::fs::write(&path, vec![1; 3 << 20]).unwrap();
    s3.put(&object("file", Body::file(&path).unwrap())).unwrap();
    s3.put(&object("empty", Body::None)).unwrap();
    let sizes = moto
        .python("print([o['Size'] for o in s3.list_objects(Bucket='samples')['Contents']])", &[]);
    assert_eq!(sizes.trim(), "[0, 3145728]");
}

#[test]
fn metrics_arrive_small_and_compressed() {
    let Some(moto) = Moto::start() else { return };
    let metrics = Metrics::new(aws(&moto.base));
    let now = SystemTime::now();
    let metric = |name: &str, value| Metric {
        name: name.to_owned(),
        dimensions: vec![("coreName".to_owned(), "core & co=1".to_owned())],
        timestamp: Some(now),
        value,
        unit: Some("Count".to_owned()),
        high_resolution: false,
    };
    let few = [
        metric("SampleUploadSuccess", Measured::One(1.0)),
        metric(
            "Summary",
            Measured::Summary { samples: 4.0, sum: 10.0, minimum: 1.0, maximum: 5.0 },
        ),
    ];
    // Large enough to be compressed.
    let many = (0..1200).map(|i| metric("Many", Measured::One(f64::from(i))));
    let batches = metric_batches("Greengrass Feedback", few.into_iter().chain(many), now);
    assert_eq!((batches.requests.len(), batches.left_out.len()), (2, 0));
    for request in &batches.requests {
        let accepted = metrics.put("Greengrass Feedback", request).unwrap();
        assert!(accepted.request_id.is_some());
    }
    let kept: Value = serde_json::from_str(&moto.python(
        "import datetime\n\
         now = datetime.datetime.now(datetime.timezone.utc)\n\
         hour = datetime.timedelta(hours=1)\n\
         d = [{'Name': 'coreName', 'Value': 'core & co=1'}]\n\
         def total(name):\n    \
             points = cloudwatch.get_metric_statistics(Namespace='Greengrass Feedback', \
                 MetricName=name, Dimensions=d, StartTime=now - hour, EndTime=now + hour, \
                 Period=7200, Statistics=['Sum', 'SampleCount'])['Datapoints']\n    \
             return sum(p['Sum'] for p in points), sum(p['SampleCount'] for p in points)\n\
         print(json.dumps([total('SampleUploadSuccess'), total('Many')]))",
        &[],
    ))
    .unwrap();
    assert_eq!(kept, json!([[1.0, 1.0], [719_400.0, 1200.0]]));
    let names = moto.python(
        "print(sorted({m['MetricName'] for m in cloudwatch.list_metrics()['Metrics']}))",
        &[],
    );
    assert_eq!(names.trim(), "['Many', 'SampleUploadSuccess', 'Summary']");
    let error = metrics.put("AWS/EC2", &batches.requests[0]).unwrap_err();
    assert!(error.to_string().contains("Amazon's own"), "{error}");
}

#[test]
fn log_events_arrive_in_streams_that_are_made() {
    let Some(moto) = Moto::start() else { return };
    let logs = Logs::new(aws(&moto.base));
    let (group, stream) = ("/aws/greengrass/Lambda/us-east-1/1/f", "2026/11/21/1/group/core");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let event =
        |age: i64, message: &str| LogEvent { timestamp_ms: now - age, message: message.to_owned() };
    let events = [event(10, "second"), event(20, "first \u{1f600}\n  and more"), event(0, "")];
    let batches = log_batches(events, now);
    assert_eq!((batches.requests.len(), batches.left_out.len()), (1, 1));
    for _ in 0..2 {
        let taken = logs.put(group, stream, &batches.requests[0]).unwrap();
        assert_eq!((taken.too_old, taken.too_new, taken.expired), (0, 0, 0));
    }
    let kept = moto.python(
        "e = logs.get_log_events(logGroupName=sys.argv[1], logStreamName=sys.argv[2])['events']\n\
         print(json.dumps([x['message'] for x in e], ensure_ascii=False))",
        &[group, stream],
    );
    let kept: Vec<String> = serde_json::from_str(&kept).unwrap();
    let first = "first \u{1f600}\n  and more";
    assert_eq!(kept.iter().filter(|message| *message == first).count(), 2);
    assert_eq!(kept.len(), 4);
    for (group, stream) in [("a b", "s"), ("g", "s:t")] {
        assert!(
            logs.put(group, stream, &batches.requests[0])
                .unwrap_err()
                .to_string()
                .contains("is no name of")
        );
    }
}
