//! Models from S3 and SageMaker as moto's server plays them, put there by Amazon's own client.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../sedge-cloud/tests/common/moto.rs"]
mod moto;
#[path = "../../sedge-cloud/tests/common/server.rs"]
mod server;

use common::{Device, SERVICE, archive, model, names, request};
use moto::Moto;
use sedge_deploy::{Credentials, InstallRequest, Installed, Keys};
use server::{Answer, Server};

/// moto's server with a bucket.
fn start() -> Option<Moto> {
    let moto = Moto::start()?;
    moto.python("s3.create_bucket(Bucket='models')", &[]);
    Some(moto)
}

fn put(moto: &Moto, device: &Device, key: &str, bytes: &[u8], acl: &str) {
    let file = device.path("object");
    common::write(&file, bytes);
    let script = "s3.put_object(Bucket='models', Key=sys.argv[2], Body=open(sys.argv[1], 'rb'), \
                  ACL=sys.argv[3])";
    moto.python(script, &[file.to_str().unwrap(), key, acl]);
}

fn at(endpoint: &str, source: &str) -> InstallRequest {
    let mut request = request(source);
    request.remote.s3_endpoint = Some(endpoint.to_owned());
    request.remote.sagemaker_endpoint = Some(endpoint.to_owned());
    request.remote.region = Some("us-east-1".to_owned());
    request.remote.attempts = 1;
    request.remote.credentials = Credentials::Static(Keys {
        access_key_id: "key".to_owned(),
        secret_access_key: "secret".to_owned(),
        session_token: Some("token".to_owned()),
    });
    request
}

#[test]
fn an_object_is_installed_left_alone_updated_and_missed() {
    let Some(moto) = start() else { return };
    let device = Device::new();
    let key = "team a/ümlaut+model.tar.gz";
    put(&moto, &device, key, &archive(&[("m.tflite", &model("abs"))]), "private");
    let request = at(&moto.base, &format!("s3://models/{key}"));
    let plan = device.store.plan(SERVICE, &request).unwrap();
    assert!(plan.changed && plan.download_bytes.is_some());
    let first = device.deploy(&request);
    assert!(matches!(device.install(&request).unwrap(), Installed::Unchanged(_)));
    assert!(!device.store.plan(SERVICE, &request).unwrap().changed);

    put(&moto, &device, key, &archive(&[("m.tflite", &model("neg"))]), "private");
    let second = device.deploy(&request);
    assert_eq!((first.number, second.number), (1, 2));
    assert_ne!(first.identity, second.identity);

    for (source, words) in [
        (
            "s3://models/other.tar.gz",
            "s3://models/other.tar.gz answered 404: there is no such object in the bucket. \
             Hint: check the key",
        ),
        (
            "s3://nobodys/m.tar.gz",
            "s3://nobodys/m.tar.gz answered 404: there is no such bucket. \
             Hint: check its name and the endpoint",
        ),
    ] {
        assert_eq!(device.refused(&at(&moto.base, source)), words);
    }
    // The server is gone; the model is not.
    drop(moto);
    let error = device.refused(&request);
    assert!(error.starts_with("cannot reach http://127.0.0.1:"), "{error}");
    assert_eq!(device.store.history(SERVICE).unwrap().current, Some(2));
    device.is_sound();
}

#[test]
fn public_objects_need_no_credentials_and_others_do() {
    let Some(moto) = start() else { return };
    let device = Device::new();
    put(&moto, &device, "public.tflite", &model("abs"), "public-read");
    put(&moto, &device, "private.tflite", &model("neg"), "private");
    let anonymous = |source: &str| {
        let mut request = at(&moto.base, source);
        request.remote.credentials = Credentials::Anonymous;
        request
    };
    device.deploy(&anonymous("s3://models/public.tflite"));
    let error = device.refused(&anonymous("s3://models/private.tflite"));
    assert_eq!(
        error,
        "s3://models/private.tflite answered 403: nobody without credentials may read it. \
         Hint: give some"
    );
    device.is_sound();
}

#[test]
fn a_training_job_gives_its_model() {
    let Some(moto) = start() else { return };
    let device = Device::new();
    moto.python(
        "sagemaker.create_training_job(TrainingJobName='job-1', \
         AlgorithmSpecification={'TrainingImage': 'image', 'TrainingInputMode': 'File'}, \
         RoleArn='arn:aws:iam::123456789012:role/training', \
         OutputDataConfig={'S3OutputPath': 's3://models/out'}, \
         ResourceConfig={'InstanceType': 'ml.m5.large', 'InstanceCount': 1, 'VolumeSizeInGB': 1}, \
         StoppingCondition={'MaxRuntimeInSeconds': 60})",
        &[],
    );
    let arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/job-1";
    let request = at(&moto.base, arn);
    // The job is done, its artefact is not there.
    let error = device.refused(&request);
    assert!(error.starts_with("s3://models/out/job-1/output/model.tar.gz answered 404"), "{error}");
    let packed = archive(&[("m.tflite", &model("abs"))]);
    put(&moto, &device, "out/job-1/output/model.tar.gz", &packed, "private");
    let version = device.deploy(&request);
    assert_eq!(version.source, arn);
    assert!(matches!(device.install(&request).unwrap(), Installed::Unchanged(_)));
    let error = device.refused(&at(&moto.base, &arn.replace("job-1", "job-2")));
    assert!(error.starts_with(&arn.replace("job-1", "job-2")), "{error}");
    assert!(error.contains("answered 400: "), "{error}");
    device.is_sound();
}

#[test]
fn what_s3_refuses_is_told_with_the_way_on() {
    let refusal = |code: &str, rest: &str| {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code>{rest}</Error>")
    };
    let server = Server::new(move |asked| {
        let xml = |status, code: &str| Answer::new(status, refusal(code, "<Message>m</Message>"));
        match asked.path.rsplit('/').next().unwrap() {
            "denied" => xml("403 Forbidden", "AccessDenied"),
            "unknown" => xml("403 Forbidden", "InvalidAccessKeyId"),
            "secret" => xml("403 Forbidden", "SignatureDoesNotMatch"),
            "clock" => xml("403 Forbidden", "RequestTimeTooSkewed"),
            "frozen" => xml("403 Forbidden", "InvalidObjectState"),
            "moved" => Answer::new(
                "301 Moved Permanently",
                refusal("PermanentRedirect", "<Message>m</Message>"),
            )
            .header("x-amz-bucket-region", "eu-west-1"),
            "malformed" => Answer::new(
                "400 Bad Request",
                refusal("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
            ),
            "bare" => Answer::new("400 Bad Request", ""),
            "customer" => Answer::new(
                "400 Bad Request",
                refusal(
                    "InvalidRequest",
                    "<Message>The object was stored using a form of Server Side Encryption. The \
                     correct parameters must be provided to retrieve the object.</Message>",
                ),
            ),
            _ => xml("418 Teapot", "Teapot"),
        }
    });
    let device = Device::new();
    let elsewhere = "the bucket is in another region. Hint: region = \"eu-west-1\", not us-east-1";
    for (key, words) in [
        ("denied", "answered 403: these credentials may not read it. Hint: they need s3:GetObject"),
        ("unknown", "answered 403: nobody knows the access key. Hint: check the credentials"),
        ("secret", "answered 403: the secret does not fit the access key"),
        ("clock", "answered 403: the clock of the device is wrong. Hint: set it"),
        ("frozen", "answered 403: it is archived. Hint: restore it"),
        ("moved", elsewhere),
        ("malformed", elsewhere),
        ("bare", "as S3 does for a bucket in another region. Hint: check region"),
        ("customer", "it is encrypted with a key of the customer's (SSE-C), which no device has"),
        ("other", "answered 418: Teapot: m"),
    ] {
        let error = device.refused(&at(&server.base, &format!("s3://models/{key}")));
        assert!(error.starts_with(&format!("s3://models/{key} answered ")), "{error}");
        assert!(error.contains(words), "{key}: {error}");
        assert_eq!(server.asked().len(), 1, "{key}");
    }
    assert_eq!(names(&device.path("root/store/incoming")), [""; 0]);
}

#[test]
fn a_truncated_object_is_told_and_resumed_by_its_tag() {
    let body = archive(&[("m.tflite", &model("abs")), ("noise", &[7; 1000])]);
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let whole = body.clone();
    let server = Server::new(move |asked| {
        let answer = Answer::file(asked, &whole, "one");
        match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => answer.cut(100),
            _ => answer,
        }
    });
    let device = Device::new();
    let request = at(&server.base, "s3://models/m.tar.gz");
    let error = device.refused(&request);
    assert!(error.contains(&format!("ended after 100 bytes of {}.", body.len())), "{error}");
    device.deploy(&request);
    let resumed = server.asked().pop().unwrap();
    assert_eq!(resumed.path, "/models/m.tar.gz");
    assert_eq!(resumed.header("range"), Some("bytes=100-"));
    assert_eq!(resumed.header("if-match"), Some("\"one\""));
    assert_eq!(resumed.header("x-amz-security-token"), Some("token"));
    let authorization = resumed.header("authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=key/"), "{authorization}");
    assert!(authorization.contains("/us-east-1/s3/aws4_request, "), "{authorization}");
    device.is_sound();
}

#[test]
fn training_jobs_without_a_model_say_why() {
    let server = Server::new(move |asked| {
        assert_eq!(asked.header("x-amz-target"), Some("SageMaker.DescribeTrainingJob"));
        let signed = asked.header("authorization").unwrap_or_default();
        let body = if signed.contains("/eu-west-1/sagemaker/") {
            r#"{"TrainingJobStatus":"Failed","FailureReason":"out of memory"}"#
        } else if signed.contains("/eu-west-2/sagemaker/") {
            r#"{"TrainingJobStatus":"InProgress"}"#
        } else {
            r#"{"TrainingJobStatus":"Completed","ModelArtifacts":{"S3ModelArtifacts":"s3://a.b.c/m"}}"#
        };
        Answer::new("200 OK", body)
    });
    let device = Device::new();
    for (region, words) in [
        ("eu-west-1", "the training job has failed: out of memory"),
        ("eu-west-2", "the training job is InProgress and has no model. Hint: wait"),
        ("eu-west-3", "the bucket 'a.b.c' has a period in its name"),
    ] {
        let arn = format!("arn:aws:sagemaker:{region}:123456789012:training-job/job");
        let error = device.refused(&at(&server.base, &arn));
        assert!(error.contains(words), "{error}");
    }
}
