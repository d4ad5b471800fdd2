//! One HTTP request through the whole router, in this process and without a socket.
//!
//! An input is written like a request: lines of `name: value`, an empty line, the body. A first
//! line such as `GET /v2` replaces the target's own.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt;
use sedge_api::{Options, router};
use sedge_engine::{Registry, TensorInfo};
use sedge_graph::Dim;
use sedge_package::Package;
use sedge_service::{
    Events, Limits, LoadOptions, ModelInfo, Payload, Pipeline, Response, Runner, RunnerError,
    Service, Services, Timings,
};
use sedge_tensor::DType;
use sedge_vision::DecodeLimits;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use crate::manifest;

/// Bodies are bounded to [`MAX_BODY_BYTES`]; JSON becomes tensors of up to four times its length.
pub(crate) const MAX_PEAK_BYTES: usize = 48 << 20;

const MAX_BODY_BYTES: u64 = 1 << 20;
const MAX_PIXELS: u64 = 1 << 18;

const CLASSIFIER: &str = r#"
schema = 1
model = { name = "pictures", files = ["classes.onnx"], labels = "labels.txt" }
decoder = { kind = "classes", activation = "softmax" }
[[input]]
kind = "image"
width = 16
height = 16
layout = "nchw"
dtype = "f32"
color = "rgb"
std = [255.0]
"#;

/// Sends the request and reads the whole answer.
pub(crate) fn ask(line: &str, bytes: &[u8]) {
    let Some((runtime, app)) = APP.as_ref() else { panic!("the services did not start") };
    let Some(request) = parse(line, bytes) else { return };
    runtime.block_on(async {
        let Ok(answer) = app.clone().oneshot(request).await;
        drop(answer.into_body().collect().await);
    });
}

fn parse(line: &str, bytes: &[u8]) -> Option<Request<Body>> {
    let split = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = split.map_or((&[][..], bytes), |at| (&bytes[..at], &bytes[at + 2..]));
    let mut line = line.as_bytes();
    let mut headers = Vec::new();
    let lines = head.split(|&byte| byte == b'\n').filter(|text| !text.is_empty());
    for (index, text) in lines.enumerate() {
        if index == 0 && text.contains(&b'/') && !text.contains(&b':') {
            line = text;
            continue;
        }
        let colon = text.iter().position(|&byte| byte == b':')?;
        let name = HeaderName::from_bytes(&text[..colon]).ok()?;
        headers.push((name, HeaderValue::from_bytes(text[colon + 1..].trim_ascii()).ok()?));
    }
    let space = line.iter().position(|&byte| byte == b' ')?;
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = Method::from_bytes(&line[..space]).ok()?;
    *request.uri_mut() = Uri::try_from(&line[space + 1..]).ok()?;
    request.headers_mut().extend(headers);
    Some(request)
}

static APP: LazyLock<Option<(Runtime, Router)>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
    let limits = Limits { queue: 4, instances: 1, timeout_ms: 20_000, ..Limits::default() };
    let services = Services::default();
    let runners: [(&str, Arc<dyn Runner>); 2] =
        [("pictures", Arc::new(classifier()?)), ("echo", Arc::new(Echo::new()))];
    for (name, runner) in runners {
        let service = Service::start(name, runner, limits, Events::default()).ok()?;
        services.add(service).ok()?;
    }
    let options = Options { max_body_bytes: MAX_BODY_BYTES, ..Options::default() };
    Some((runtime, router(Arc::new(services), options, None)))
});

fn classifier() -> Option<Pipeline> {
    let directory = tempfile::tempdir().ok()?;
    manifest::write_package(directory.path(), CLASSIFIER).ok()?;
    let package = Package::open(directory.path(), &[]).ok()?;
    let options = LoadOptions {
        threads: 1,
        limits: DecodeLimits { max_pixels: MAX_PIXELS },
        ..LoadOptions::default()
    };
    Pipeline::load(package, &Registry::new(None), &options).ok()
}

/// Gives tensors back as they came: an input of each element type, named for it, of any shape.
struct Echo(ModelInfo);

impl Echo {
    fn new() -> Self {
        let types = [
            DType::Bool,
            DType::U8,
            DType::I8,
            DType::I16,
            DType::U32,
            DType::I64,
            DType::F16,
            DType::Bf16,
            DType::F32,
            DType::F64,
            DType::String,
        ];
        let info = |dtype: DType, shape: Vec<Dim>, ranked| TensorInfo {
            name: dtype.name().to_owned(),
            dtype,
            shape,
            ranked,
            quantization: None,
        };
        let mut inputs: Vec<_> = types.map(|dtype| info(dtype, Vec::new(), false)).into();
        inputs.push(info(DType::I32, vec![Dim::Unknown, Dim::Fixed(2)], true));
        Self(ModelInfo {
            name: "echo".into(),
            identity: "0123456789ab".into(),
            version: None,
            task: "tensor".into(),
            format: "onnx".into(),
            engine: "none".into(),
            outputs: inputs.clone(),
            inputs,
            picture_input: None,
            missing: None,
            labels: vec!["no".into(), "yes".into()],
        })
    }
}

impl Runner for Echo {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn run(&self, request: &sedge_service::Request) -> Result<Response, RunnerError> {
        match &request.payload {
            Payload::Tensors(tensors) => {
                let (outputs, timings_us) = (tensors.clone(), Timings::default());
                Ok(Response { prediction: None, probabilities: None, outputs, timings_us })
            }
            Payload::Picture(_) => Err(RunnerError::Unprepared("it takes tensors".into())),
        }
    }
}
