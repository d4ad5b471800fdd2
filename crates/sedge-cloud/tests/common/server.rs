//! A web server as tests want it: honest, or hostile in a way of their choice.
#![allow(clippy::unwrap_used, dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body after which the connection ends.
    pub(crate) cut: Option<usize>,
    /// Bytes of the body that are sent at once, and how long there is nothing afterwards.
    pub(crate) drip: Option<(usize, Duration)>,
}

impl Answer {
    pub(crate) fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None, drip: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn cut(self, bytes: usize) -> Self {
        Self { cut: Some(bytes), ..self }
    }

    /// A file as an honest server gives it: with an entity tag, in ranges, unless it is known.
    pub(crate) fn file(asked: &Asked, body: &[u8], etag: &str) -> Self {
        let etag = format!("\"{etag}\"");
        if asked.header("if-none-match") == Some(&etag) {
            return Self::new("304 Not Modified", "").header("ETag", etag);
        }
        let range =
            asked.header("range").filter(|_| asked.header("if-range").unwrap_or(&etag) == etag);
        let Some((first, last)) = range.and_then(|r| r.strip_prefix("bytes=")?.split_once('-'))
        else {
            return Self::new("200 OK", body).header("ETag", etag);
        };
        let first: usize = first.parse().unwrap();
        let end = last.parse().map_or(body.len(), |last: usize| (last + 1).min(body.len()));
        if first >= end {
            let range = format!("bytes */{}", body.len());
            return Self::new("416 Range Not Satisfiable", "").header("Content-Range", range);
        }
        let range = format!("bytes {first}-{}/{}", end - 1, body.len());
        Self::new("206 Partial Content", &body[first..end])
            .header("ETag", etag)
            .header("Content-Range", range)
    }

    pub(crate) fn send(&self, stream: &mut impl Write) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", self.status);
        if !self.headers.iter().any(|(name, _)| *name == "Transfer-Encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(head.as_bytes())?;
        stream.write_all(b"\r\n")?;
        let body = &self.body[..self.cut.unwrap_or(self.body.len())];
        let Some((portion, pause)) = self.drip else { return stream.write_all(body) };
        for portion in body.chunks(portion) {
            stream.write_all(portion)?;
            std::thread::sleep(pause);
        }
        Ok(())
    }
}

/// Runs until the process ends.
pub(crate) struct Server {
    pub(crate) base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers every request as `answer` says, on a thread for each connection.
    pub(crate) fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer, log) = (stream.unwrap(), answer.clone(), log.clone());
                std::thread::spawn(move || {
                    if let Some(asked) = read(&mut stream) {
                        log.lock().unwrap().push(asked.clone());
                        // Clients go away when they have seen enough.
                        let _ = answer(&asked).send(&mut stream);
                    }
                });
            }
        });
        Self { base, asked }
    }

    /// The requests since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// Reads one request with all of its body, which is asked for where the client waits for that.
pub(crate) fn read(stream: &mut (impl Read + Write)) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { method, path, headers, body: Vec::new() };
    if asked.header("expect").is_some() {
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let length = asked.header("content-length").and_then(|length| length.parse().ok());
    reader.take(length.unwrap_or(0)).read_to_end(&mut asked.body).ok()?;
    Some(asked)
}
