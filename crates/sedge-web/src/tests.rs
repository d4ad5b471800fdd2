//! The page and its files as a browser is answered.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use sedge_api::Options;
use sedge_service::{
    Limits, ModelInfo, Request as Asked, Response, Runner, RunnerError, Service, Services,
};
use tower::ServiceExt;

use crate::assets::SAMPLES;
use crate::routes;

struct Hostile(ModelInfo);

impl Runner for Hostile {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn run(&self, _: &Asked) -> Result<Response, RunnerError> {
        Err(RunnerError::Failed(String::new()))
    }
}

const HOSTILE: &str = "<script>alert('\"&')</script>";

fn page(models: &[&str]) -> Router {
    let services = Services::default();
    for name in models {
        let info = ModelInfo {
            name: HOSTILE.into(),
            identity: "0123456789ab".into(),
            version: Some(HOSTILE.into()),
            task: HOSTILE.into(),
            format: "onnx".into(),
            engine: HOSTILE.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            picture_input: None,
            missing: Some(HOSTILE.into()),
            labels: Vec::new(),
        };
        let limits = Limits { queue: 1, instances: 1, timeout_ms: 1000, ..Limits::default() };
        let events = services.events().clone();
        let service = Service::start(*name, Arc::new(Hostile(info)), limits, events).unwrap();
        services.add(service).unwrap();
    }
    routes(Arc::new(services), &Options::default())
}

async fn get(
    app: &Router,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

const BROWSER: (&str, &str) = ("accept", "text/html,*/*;q=0.8");

#[tokio::test]
async fn what_models_say_is_escaped() {
    let host = ("host", "<script>alert('\"&')</script>");
    let (status, headers, body) = get(&page(&["one", "two"]), "/", &[BROWSER, host]).await;
    let html = String::from_utf8(body).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(html.contains("&#60;script&#62;alert(&#39;&#34;&#38;&#39;)"), "{html}");
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!html.contains(" style=") && !html.contains(" onclick"), "the policy forbids them");
}

#[tokio::test]
async fn a_server_without_models_says_what_to_do() {
    let (_, _, body) = get(&page(&[]), "/", &[BROWSER]).await;
    let html = String::from_utf8(body).unwrap();
    assert!(html.contains("No model yet") && html.contains("sedge serve"), "{html}");
    assert!(!html.contains("id=\"service\""), "{html}");
}

#[tokio::test]
async fn a_client_that_is_no_browser_gets_text() {
    let app = page(&["one"]);
    for headers in [&[("accept", "*/*")][..], &[]] {
        let (status, headers, body) = get(&app, "/", headers).await;
        assert_eq!(status, StatusCode::OK);
        assert!(headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
        assert!(String::from_utf8(body).unwrap().contains("POST /endpoints/one/invocations"));
    }
}

#[tokio::test]
async fn files_are_kept_until_they_change() {
    let app = page(&[]);
    let samples = SAMPLES.iter().map(|sample| format!("samples/{}", sample.file));
    let files = ["sedge.css", "sedge.js", "icon.svg"].map(str::to_owned);
    for path in files.into_iter().chain(samples).map(|file| format!("/page/{file}")) {
        let (status, headers, body) = get(&app, &path, &[]).await;
        assert_eq!((status, body.is_empty()), (StatusCode::OK, false), "{path}");
        let tag = headers[header::ETAG].to_str().unwrap();
        let (status, _, body) = get(&app, &path, &[("if-none-match", tag)]).await;
        assert_eq!((status, body.is_empty()), (StatusCode::NOT_MODIFIED, true), "{path}");
    }
}
