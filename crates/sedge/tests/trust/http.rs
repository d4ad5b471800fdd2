//! A client that keeps its connection.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// Longest wait for any answer here: beyond every timeout that a test sets.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a version said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) version: u64,
    pub(crate) y: f32,
}

/// What was answered instead; status 0 is a connection that broke.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.text)
    }
}

/// What a request has the model do; see [`crate::models::model`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) x: f32,
    pub(crate) size: i64,
    pub(crate) bulk: i64,
}

impl Ask {
    /// The least.
    pub(crate) fn quick(x: f32) -> Self {
        Self { x, size: 1, bulk: 1 }
    }
}

pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Has a service compute.
    pub(crate) fn infer(&mut self, service: &str, ask: Ask) -> Result<Answer, Refusal> {
        let path = format!("/v2/models/{service}/infer");
        let (status, body) = self
            .exchange("POST", &path, &Self::body(ask))
            .map_err(|error| Refusal { status: 0, text: error.to_string() })?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status != 200 {
            return Err(Refusal { status, text });
        }
        let value: Value = serde_json::from_slice(&body).unwrap();
        let version = value["model_version"].as_str().unwrap().parse().unwrap();
        Ok(Answer { version, y: value["outputs"][0]["data"][0].as_f64().unwrap() as f32 })
    }

    /// A request in the words of the protocol.
    pub(crate) fn body(ask: Ask) -> Vec<u8> {
        let input = |name: &str, datatype: &str, number: Value| json!({ "name": name, "datatype": datatype, "shape": [1], "data": [number] });
        let inputs = json!([
            input("x", "FP32", json!(ask.x)),
            input("size", "INT64", json!(ask.size)),
            input("bulk", "INT64", json!(ask.bulk)),
        ]);
        json!({ "inputs": inputs }).to_string().into_bytes()
    }

    fn exchange(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let result = exchange(self.stream.as_mut().unwrap(), method, path, body);
        if result.is_err() {
            self.stream = None;
        }
        result
    }
}

/// One request and its answer on a connection that is kept.
pub(crate) fn exchange(
    stream: &mut (impl Read + Write),
    method: &str,
    path: &str,
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut got = Vec::new();
    let (end, length) = loop {
        if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            break (end + 4, length.unwrap().trim().parse::<usize>().unwrap());
        }
        more(stream, &mut got)?;
    };
    while got.len() < end + length {
        more(stream, &mut got)?;
    }
    let status = std::str::from_utf8(&got[9..12]).unwrap().parse().unwrap();
    Ok((status, got[end..end + length].to_vec()))
}

fn more(stream: &mut impl Read, got: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 16384];
    match stream.read(&mut buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            got.extend_from_slice(&buffer[..count]);
            Ok(())
        }
    }
}
