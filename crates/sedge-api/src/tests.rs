//! The whole router over a model that does nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use sedge_engine::TensorInfo;
use sedge_graph::Dim;
use sedge_service::{
    Limits, ModelInfo, Payload, Prediction, Runner, RunnerError, Service, Services, Timings,
};
use sedge_tensor::{DType, Tensor};
use sedge_vision::Class;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::coding::Coding;
use crate::{Options, router};

mod control;

/// Answers its input `x`; as picture, `bad` is none and `slow` takes its time.
struct Echo(ModelInfo);

impl Echo {
    fn new() -> Self {
        let tensor = |name: &str, dtype, shape| TensorInfo {
            name: name.into(),
            dtype,
            shape,
            ranked: true,
            quantization: None,
        };
        Self(ModelInfo {
            name: "echo".into(),
            identity: "0123456789ab".into(),
            version: None,
            task: "image-classification".into(),
            format: "onnx".into(),
            engine: "none".into(),
            inputs: vec![tensor("x", DType::F32, vec![Dim::Unknown, Dim::Fixed(2)])],
            outputs: vec![tensor("y", DType::F32, vec![Dim::Unknown, Dim::Fixed(2)])],
            picture_input: Some(0),
            missing: None,
            labels: vec!["no".into(), "yes".into()],
        })
    }
}

impl Runner for Echo {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn run(
        &self,
        request: &sedge_service::Request,
    ) -> Result<sedge_service::Response, RunnerError> {
        let bytes = match &request.payload {
            Payload::Tensors(tensors) => {
                let outputs = tensors.iter().map(|(_, tensor)| ("y".to_owned(), tensor.clone()));
                let outputs = outputs.collect();
                return Ok(sedge_service::Response {
                    prediction: None,
                    probabilities: None,
                    outputs,
                    timings_us: Timings::default(),
                });
            }
            Payload::Picture(bytes) => bytes,
        };
        match &bytes[..] {
            b"bad" => return Err(RunnerError::Picture("this is no picture".into())),
            b"panic" => panic!("on purpose"),
            b"slow" => std::thread::sleep(Duration::from_millis(300)),
            _ => {}
        }
        let class = Class { index: 1, label: Some("yes".into()), score: 0.75 };
        let prediction = Prediction {
            image: request.image.clone(),
            classes: Some(vec![class]),
            ..Prediction::default()
        };
        let scores = vec![0.25, 0.75];
        let output = Tensor::new([1, 2], scores.clone()).unwrap();
        Ok(sedge_service::Response {
            prediction: Some(prediction),
            probabilities: Some(scores),
            outputs: vec![("y".into(), output)],
            timings_us: Timings::default(),
        })
    }
}

fn app() -> Router {
    let limits = Limits { queue: 1, instances: 1, timeout_ms: 1000, ..Limits::default() };
    let services = Services::default();
    let events = services.events().clone();
    let service = Service::start("echo", Arc::new(Echo::new()), limits, events).unwrap();
    services.add(service).unwrap();
    router(
        Arc::new(services),
        Options { max_body_bytes: 1000, ..Options::default() },
        Some(Router::new()),
    )
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(app: &Router, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

const INVOKE: &str = "POST /endpoints/echo/invocations";
const INFER: &str = "POST /v2/models/echo/infer";

#[tokio::test]
async fn an_invocation_answers_the_bare_list() {
    let answer = ask(&app(), INVOKE, &[("content-type", "image/jpeg")], "picture").await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"[0.25,0.75]"[..]));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-amzn-invoked-production-variant"), "AllTraffic");
    assert_eq!(answer.header("x-amzn-requestid"), answer.header("x-request-id"));
    let accept = ("accept", "application/vnd.sedge.prediction+json");
    let id = ("x-amzn-sagemaker-inference-id", "cat-7");
    let answer = ask(&app(), INVOKE, &[accept, id], "picture").await;
    let class = json!([{"index": 1, "label": "yes", "score": 0.75}]);
    assert_eq!((&answer.json()["classes"], &answer.json()["image"]), (&class, &json!("cat-7")));
}

#[tokio::test]
async fn invocation_errors_are_those_boto3_knows() {
    let app = app();
    let jpeg = ("content-type", "image/jpeg");
    let gzip = ("content-encoding", "gzip");
    let large = "x".repeat(1001);
    let bomb = Coding::Gzip.encode(&[0; 100_000]).unwrap();
    assert!(bomb.len() < 1000);
    for (line, headers, body, status, kind) in [
        ("POST /endpoints/dogs/invocations", &[jpeg][..], "x".into(), 400, "ValidationError"),
        ("GET /endpoints/echo/invocations", &[], "".into(), 405, "ValidationError"),
        ("POST /endpoints/echo/other", &[], "".into(), 404, "ValidationError"),
        ("POST /endpoints/%ff/invocations", &[], "".into(), 400, "ValidationError"),
        (INVOKE, &[("content-type", "text/csv")], "x".into(), 415, "ValidationError"),
        (INVOKE, &[jpeg, ("accept", "text/csv")], "x".into(), 406, "ValidationError"),
        (INVOKE, &[jpeg], large.into(), 413, "ValidationError"),
        (INVOKE, &[jpeg, gzip], bomb.into(), 413, "ValidationError"),
        (INVOKE, &[jpeg, gzip], "no gzip".into(), 400, "ValidationError"),
        (INVOKE, &[("content-encoding", "br")], "x".into(), 415, "ValidationError"),
        (INVOKE, &[jpeg], "bad".into(), 424, "ModelError"),
        (INVOKE, &[jpeg], "panic".into(), 424, "ModelError"),
    ] {
        let body: Bytes = body;
        let answer = ask(&app, line, headers, body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-amzn-errortype")), (status, kind));
        assert!(answer.json()["Message"].as_str().is_some_and(|text| !text.is_empty()));
    }
    let answer = ask(&app, INVOKE, &[jpeg], "bad").await;
    assert_eq!(answer.json()["OriginalStatusCode"], 400);
    assert_eq!(answer.json()["OriginalMessage"], "this is no picture");
}

#[tokio::test]
async fn overload_is_answered_at_once() {
    let app = app();
    // One runs, one waits, and the third finds no room.
    let mut asked = Vec::new();
    for _ in 0..2 {
        let app = app.clone();
        asked.push(tokio::spawn(async move { ask(&app, INVOKE, &[], "slow").await.status }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let started = std::time::Instant::now();
    for (line, body) in [(INVOKE, "x"), (INFER, r#"{"inputs": []}"#)] {
        let answer = ask(&app, line, &[], body).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    assert!(started.elapsed() < Duration::from_millis(150));
    for task in asked {
        assert_eq!(task.await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn metadata_tells_what_is_there() {
    let app = app();
    for (line, expected) in [
        ("GET /v2/health/live", json!({"live": true})),
        ("GET /v2/health/ready", json!({"ready": true})),
        ("GET /v2/models/echo/ready", json!({"name": "echo", "ready": true})),
        (
            "GET /v2/models/echo/versions/1",
            json!({
                "name": "echo", "versions": ["1"], "platform": "sedge_onnx",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
                "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
            }),
        ),
    ] {
        let answer = ask(&app, line, &[], "").await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected), "{line}");
    }
    let config = ask(&app, "GET /v2/models/echo/config", &[], "").await.json();
    assert_eq!(config["input"][0]["data_type"], "TYPE_FP32");
    assert_eq!(config["parameters"]["prediction_output"]["string_value"], "prediction");
    for (line, status) in [
        ("GET /v2/models/dogs", 404),
        ("GET /v2/models/echo/versions/2/ready", 404),
        ("GET /v2/nothing", 404),
        ("DELETE /v2/models/echo", 405),
        ("POST /v2/repository/index", 501),
        ("GET /v2/models/echo/stats", 501),
        ("GET /v2/systemsharedmemory/status", 501),
    ] {
        let answer = ask(&app, line, &[], "").await;
        assert_eq!(answer.status.as_u16(), status, "{line}");
        assert!(answer.json()["error"].is_string());
    }
    let answer = ask(&app, "GET /ping", &[], "").await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn tensors_travel_as_json_and_binary() {
    let app = app();
    let answer = ask(
        &app,
        INFER,
        &[],
        r#"{"id": "7", "inputs": [
        {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 0.1]]}]}"#,
    )
    .await;
    let expected = r#"{"model_name":"echo","model_version":"1","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[2,2],"data":[1.0,2.0,3.0,0.1]}]}"#;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, expected.as_bytes()));

    let json = br#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],
        "parameters":{"binary_data_output":true,"sequence_id":3,"priority":"high"}}"#;
    let body = [&json[..], &1f32.to_le_bytes(), &2f32.to_le_bytes()].concat();
    let length = json.len().to_string();
    for coding in [Coding::Gzip, Coding::Deflate] {
        let packed = coding.encode(&body).unwrap();
        let headers =
            [("inference-header-content-length", &*length), ("content-encoding", coding.name())];
        let answer = ask(&app, INFER, &headers, packed).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        let split: usize = answer.header("inference-header-content-length").parse().unwrap();
        assert_eq!(answer.body[split..], body[json.len()..]);
    }

    let raw = [1f32.to_le_bytes(), 2f32.to_le_bytes(), 3f32.to_le_bytes(), 4f32.to_le_bytes()];
    let answer = ask(&app, INFER, &[("inference-header-content-length", "0")], raw.concat()).await;
    let split: usize = answer.header("inference-header-content-length").parse().unwrap();
    let head: Value = serde_json::from_slice(&answer.body[..split]).unwrap();
    assert_eq!(
        (&head["outputs"][0]["shape"], &answer.body[split..]),
        (&json!([2, 2]), &raw.concat()[..])
    );
}

#[tokio::test]
async fn pictures_travel_as_bytes() {
    let json = json!({
        "inputs": [{"name": "image", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 7}}],
        "outputs": [{"name": "y", "parameters": {"classification": 1}}, {"name": "prediction"}, ],
    })
    .to_string();
    let body = format!("{json}\u{3}\0\0\0jpg");
    let length = json.len().to_string();
    let headers = [("inference-header-content-length", &*length)];
    let outputs = ask(&app(), INFER, &headers, body).await.json()["outputs"].take();
    assert_eq!(
        outputs[0],
        json!({"name": "y", "datatype": "BYTES", "shape": [1], "data": ["0.75:1:yes"]})
    );
    let prediction: Prediction =
        serde_json::from_str(outputs[1]["data"][0].as_str().unwrap()).unwrap();
    assert_eq!(prediction.classes.unwrap()[0].index, 1);
}

#[tokio::test]
async fn bad_inference_requests_say_what_is_wrong() {
    let app = app();
    let input = |fields: Value| {
        let mut input = json!({"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]});
        for (key, value) in fields.as_object().unwrap() {
            input[key] = value.clone();
        }
        json!({ "inputs": [input] })
    };
    let outputs = |outputs: Value| {
        let mut request = input(json!({}));
        request["outputs"] = outputs;
        request
    };
    for (body, status, message) in [
        (json!({}), 400, "missing field `inputs`"),
        (input(json!({"name": "z"})), 400, "no such input; it has x"),
        (input(json!({"datatype": "INT8"})), 400, "takes FP32"),
        (input(json!({"datatype": "FLOAT"})), 400, "unknown datatype"),
        (input(json!({"shape": [-1, 2]})), 400, "dimension -1"),
        (input(json!({"shape": [2, 2]})), 400, "has 2 elements"),
        (input(json!({"data": null})), 400, "neither"),
        (input(json!({"parameters": {"binary_data_size": 8}})), 400, "both"),
        (input(json!({"data": null, "parameters": {"binary_data_size": 8}})), 400, "bytes left"),
        (input(json!({"parameters": {"shared_memory_region": "r"}})), 501, "shared memory"),
        (input(json!({"datatype": "BYTES", "data": ["x", "y"]})), 400, "no text"),
        (outputs(json!([{"name": "z"}])), 400, "no such output; it has y"),
        (outputs(json!([{"name": "y"}, {"name": "y"}])), 400, "twice"),
        (outputs(json!([{"name": "prediction"}])), 400, "only for pictures"),
        (outputs(json!([{"name": "y", "parameters": {"classification": -1}}])), 400, "negative"),
    ] {
        let answer = ask(&app, INFER, &[], body.to_string()).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(answer.status.as_u16(), status, "{error}");
        assert!(error.contains(message), "{error}");
    }
    for (length, body, status) in
        [("-1", "{}", 400), ("3", "{}", 400), ("x", "{}", 400), ("0", "abc", 400)]
    {
        let answer = ask(&app, INFER, &[("inference-header-content-length", length)], body).await;
        assert_eq!(answer.status.as_u16(), status, "{length}");
    }
    let surplus = input(json!({})).to_string();
    let length = surplus.len().to_string();
    let headers = [("inference-header-content-length", &*length)];
    let answer = ask(&app, INFER, &headers, surplus + "xyz").await;
    assert!(answer.json()["error"].as_str().unwrap().contains("3 binary bytes"));
}
