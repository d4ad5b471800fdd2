//! What anything on the device may send to the port.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bench::{Bench, arn, pinned};

const ECHO: &str = "
import os
def handler(event, context):
    return os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN']
";

/// Sends bytes and returns what comes back until the other end closes or stops.
async fn exchange(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // The other end may have refused and closed before all of it is there.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_millis(500), read).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn request(port: u16, method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: \
         {length}\r\n\r\n{body}"
    );
    exchange(port, text.as_bytes()).await
}

#[tokio::test]
async fn tokens_open_only_their_own() {
    let bench = Bench::start(vec![(pinned("a"), ECHO), (pinned("b"), ECHO)]).await;
    let port = bench.core.status().port;
    let token = bench.call("a", &json!({})).await.unwrap().as_str().unwrap().to_owned();
    let other = bench.call("b", &json!({})).await.unwrap().as_str().unwrap().to_owned();
    assert_ne!(token, other);
    let base = format!("/2016-11-01/functions/{}", arn("a"));
    let work = format!("{base}/work");
    let near = token.replace(token.chars().next().unwrap(), "g");
    for headers in [
        String::new(),
        "Authorization: \r\n".into(),
        format!("Authorization: {near}\r\n"),
        format!("Authorization: {}\r\n", &token[1..]),
        format!("Authorization: Bearer {token}\r\n"),
    ] {
        let answer = request(port, "POST", &base, &headers, "{}").await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{headers}: {answer}");
    }
    let own = format!("Authorization: {token}\r\n");
    let foreign = format!("Authorization: {other}\r\n");
    let id = "X-Amz-InvocationId: 1\r\n";
    for (method, path, headers, wanted) in [
        ("GET", &work, format!("{foreign}{id}"), "403"),
        ("POST", &work, format!("{foreign}{id}"), "403"),
        ("PUT", &format!("{base}/initialized"), foreign.clone(), "403"),
        ("POST", &work, format!("{own}{id}"), "409"),
        ("POST", &work, own.clone(), "400"),
        ("GET", &base, format!("{own}{id}"), "404"),
        ("DELETE", &base, own.clone(), "404"),
        ("GET", &"/2016-11-01/credentialprovider/".into(), own.clone(), "404"),
        ("GET", &"/".into(), own.clone(), "404"),
        ("POST", &"/2016-11-01/functions/arn:aws:s3:::x".into(), own.clone(), "400"),
        ("POST", &base, format!("{own}X-Amz-Client-Context: !!\r\n"), "400"),
        ("POST", &base, format!("{own}X-Amz-Client-Context: e30=x\r\n"), "400"),
        ("POST", &base, format!("{own}X-Amz-Invocation-Type: \u{1}\r\n"), "400"),
        ("PUT", &format!("{base}/initialized"), own.clone(), "400"),
    ] {
        let answer = request(port, method, path, &headers, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")), "{method} {path}: {answer}");
    }
    // A result is fetched by whoever made the call.
    let made = request(port, "POST", &base, &own, "{}").await;
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let id = made.lines().find_map(|line| line.strip_prefix("x-amz-invocationid: ")).unwrap();
    let id = format!("X-Amz-InvocationId: {id}\r\n");
    let answer = request(port, "GET", &base, &format!("{foreign}{id}"), "").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = request(port, "GET", &base, &format!("{own}{id}"), "").await;
    assert!(answer.contains(&token), "{answer}");
    let again = request(port, "GET", &base, &format!("{own}{id}"), "").await;
    assert!(again.starts_with("HTTP/1.1 404"), "{again}");
    bench.core.stop().await;
}

#[tokio::test]
async fn nonsense_is_refused_and_the_rest_goes_on() {
    let bench = Bench::start(vec![(pinned("a"), ECHO)]).await;
    let port = bench.core.status().port;
    let token = bench.call("a", &json!({})).await.unwrap().as_str().unwrap().to_owned();
    let base = format!("/2016-11-01/functions/{}", arn("a"));
    let head = format!("POST {base} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n");
    for (bytes, wanted) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "HTTP/1.1 400"),
        (b"GET\r\n\r\n".to_vec(), "HTTP/1.1 400"),
        (format!("{head}Content-Length: 70000000\r\n\r\n").into_bytes(), "HTTP/1.1 413"),
        (format!("{head}Content-Length: -1\r\n\r\n").into_bytes(), "HTTP/1.1 400"),
        (
            format!("{head}Content-Length: 99999999999999999999\r\n\r\n").into_bytes(),
            "HTTP/1.1 400",
        ),
        (format!("{head}Content-Length: 5\r\n\r\nab").into_bytes(), ""),
        (format!("{head}X: {}\r\n\r\n", "x".repeat(9 << 20)).into_bytes(), "HTTP/1.1 431"),
        (
            format!("{head}X-Amz-Client-Context: {}\r\n\r\n", "e30=".repeat(1 << 18)).into_bytes(),
            "HTTP/1.1 400",
        ),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n").into_bytes(), "HTTP/1.1 400"),
    ] {
        let answer = exchange(port, &bytes).await;
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        // Who still sends when the answer comes may find the connection reset instead.
        let is_reset = answer.is_empty() && bytes.len() > 1 << 20;
        assert!(answer.starts_with(wanted) || is_reset, "{begin}: {answer}");
    }
    // Connections that say nothing hold nothing up.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    assert_eq!(bench.call("a", &json!({})).await.unwrap(), json!(token));
    drop(silent);
    bench.core.stop().await;
}
