use super::*;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

#[tokio::test]
async fn services_tell_what_they_are_and_did() {
    let app = app();
    ask(&app, INVOKE, &[], "picture").await;
    ask(&app, INVOKE, &[], "bad").await;
    let answer = ask(&app, "GET /api/v1/services", &[], "").await;
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let status = answer.json();
    assert_eq!(status["max_body_bytes"], 1000);
    let service = &status["services"][0];
    for (key, value) in [
        ("name", json!("echo")),
        ("state", json!("ready")),
        ("model", json!("echo@0123456789ab")),
        ("takes_pictures", json!(true)),
        ("inputs", json!([{"name": "x", "dtype": "f32", "shape": [-1, 2]}])),
        ("queue", json!(1)),
        (
            "requests",
            json!({"ok": 1, "errors": 1, "cancelled": 0, "errors_by_kind": {"picture": 1}}),
        ),
    ] {
        assert_eq!(service[key], value, "{key}");
    }
    let stages: Vec<_> = service["latency_us"].as_array().unwrap().iter().collect();
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["queue", "decode", "preprocess", "inference", "postprocess", "total"]);
    assert!(stages.iter().all(|stage| stage["p99"].is_u64()), "{stages:?}");
}

async fn listen(app: &Router) -> axum::response::Response {
    let request = Request::builder().uri("/api/v1/events").body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn listeners_hear_what_was_and_what_comes() {
    let app = app();
    ask(&app, INVOKE, &[("x-request-id", "first")], "picture").await;
    let response = listen(&app).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        String::from_utf8(frame.to_vec()).unwrap()
    };
    assert_eq!(next().await, "retry: 2000\n\n");
    let event = |text: String| -> Value {
        let json = text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
        serde_json::from_str(json).unwrap()
    };
    let first = event(next().await);
    assert_eq!((&first["sequence"], &first["trace_id"]), (&json!(1), &json!("first")));
    assert_eq!(first["prediction"]["classes"][0]["label"], "yes");
    ask(&app, INVOKE, &[], "bad").await;
    let second = event(next().await);
    assert_eq!(
        (&second["outcome"], &second["error"]),
        (&json!("picture"), &json!("this is no picture"))
    );
}

#[tokio::test]
async fn a_slow_listener_is_told_what_it_missed() {
    let app = app();
    let mut body = listen(&app).await.into_body();
    for _ in 0..300 {
        ask(&app, INVOKE, &[], "bad").await;
    }
    body.frame().await;
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&frame[..], b"event: missed\ndata: {\"missed\":44}\n\n");
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_comment() {
    let app = app();
    let mut body = listen(&app).await.into_body();
    body.frame().await;
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&frame[..], b":\n\n");
}

#[tokio::test]
async fn listeners_are_bounded_and_give_their_place_back() {
    let app = app();
    let mut listeners = Vec::new();
    for _ in 0..32 {
        listeners.push(listen(&app).await);
    }
    let refused = listen(&app).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    listeners.pop();
    assert_eq!(listen(&app).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_listener_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(crate::serve(listener, app(), async { drop(stopped.await) }));
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = client.split();
    let request = b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut write, request).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"retry: 2000\n\n\r\n") {
        let read = tokio::io::AsyncReadExt::read_buf(&mut read, &mut heard).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
    }
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), server).await;
    ended.expect("the listener is let go at once").unwrap().unwrap();
}

#[tokio::test]
async fn other_sites_are_told_nothing() {
    let app = app();
    for (headers, status) in [
        (&[("host", "evil.example:8080")][..], 421),
        (&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")], 403),
        (
            &[("host", "localhost"), ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")],
            403,
        ),
        (
            &[
                ("host", "a.local"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
            ],
            200,
        ),
        (&[("host", "[::1]:8080"), ("sec-fetch-site", "same-origin")], 200),
    ] {
        let answer = ask(&app, "GET /api/v1/services", headers, "").await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        // What the public protocols answer does not depend on any of this.
        assert_eq!(ask(&app, "GET /ping", headers, "").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn without_the_page_there_is_no_control_either() {
    let app = router(Arc::new(Services::default()), Options::default(), None);
    for path in ["GET /", "GET /api/v1/services", "GET /api/v1/events"] {
        assert_eq!(ask(&app, path, &[], "").await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
