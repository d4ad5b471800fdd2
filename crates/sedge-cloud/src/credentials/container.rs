//! Credentials from an endpoint of this machine: of a container runtime, or of the token exchange
//! service of Greengrass.
//!
//! Source: "Container credential provider", AWS SDKs and Tools Reference Guide.

use std::fs;
use std::io::Read;

use serde::Deserialize;

use super::environment::Environment;
use super::{Issued, Origin, point_in_time};
use crate::address::host;
use crate::{Client, ClientError, Keys, Remote, Request, is_loopback};

/// Of Amazon's container service and of pods; beside them only this machine and TLS are trusted
/// with the token.
const HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
const MOST_TOKEN_BYTES: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

/// The keys of the endpoint that the environment names, if it does.
pub(crate) fn keys(
    remote: &Remote,
    environment: &Environment<'_>,
) -> Result<Option<Issued>, ClientError> {
    let relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let url = match (relative, environment("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        (Some(path), _) => format!("http://{}{path}", HOSTS[0]),
        (None, Some(url)) => url,
        (None, None) => return Ok(None),
    };
    let local = trusted(&url)?;
    let mut request = Request::get(&url).header("accept", "application/json");
    if let Some(token) = token(environment)? {
        request = request.header("authorization", token);
    }
    let client = if local { Client::direct(remote) } else { Client::new(remote)? };
    let mut response = client.send(&request)?;
    let text = response.text()?;
    if response.status != 200 {
        let problem = "it gives no credentials".to_owned();
        return Err(ClientError::Status { url, status: response.status, problem });
    }
    // Not told by the parser's words, which could hold parts of the secret.
    let answer: Answer = serde_json::from_str(&text).map_err(|_| ClientError::Response {
        url: url.clone(),
        problem: "it has no AccessKeyId and SecretAccessKey".to_owned(),
    })?;
    let keys = Keys {
        access_key_id: answer.access_key_id,
        secret_access_key: answer.secret_access_key,
        session_token: answer.token,
    };
    let origin = Origin::Container { url };
    // Endpoints of this machine may be asked each time, so that one that is vague about the end
    // costs little.
    let expiration = answer.expiration.as_deref().and_then(point_in_time);
    Issued::until(keys, origin, expiration, &response).map(Some)
}

/// Refuses hosts that are not to have the token; whether the endpoint is one without TLS, which no
/// proxy may see either.
fn trusted(url: &str) -> Result<bool, ClientError> {
    let refuse = || {
        ClientError::Credentials(format!(
            "the container endpoint {url} is neither of this machine nor https"
        ))
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(refuse)?;
    if scheme == "https" {
        return Ok(false);
    }
    let host = host(rest);
    let own = HOSTS.contains(&host) || is_loopback(url);
    if scheme == "http" && own { Ok(true) } else { Err(refuse()) }
}

fn token(environment: &Environment<'_>) -> Result<Option<String>, ClientError> {
    let Some(path) = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") else {
        return Ok(environment("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    };
    let refuse = |problem: String| {
        ClientError::Credentials(format!("cannot use the container token in {path}: {problem}"))
    };
    let mut text = String::new();
    let read = fs::File::open(&path)
        .and_then(|file| file.take(MOST_TOKEN_BYTES).read_to_string(&mut text));
    read.map_err(|error| refuse(error.to_string()))?;
    let token = text.trim();
    if token.contains(char::is_control) {
        return Err(refuse("it has more than one line".to_owned()));
    }
    Ok(Some(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Answers one request and gives what was asked.
    fn endpoint(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/get?x=1", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = vec![0; 4096];
            let count = stream.read(&mut text).unwrap();
            let length = answer.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all((head + answer).as_bytes()).unwrap();
            String::from_utf8(text[..count].to_vec()).unwrap().to_ascii_lowercase()
        });
        (url, asked)
    }

    #[test]
    fn the_endpoint_is_shown_the_token_and_gives_keys() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("token");
        std::fs::write(&file, "open sesame\n").unwrap();
        let answer = r#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"x"}"#;
        for (variable, value) in [
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.display().to_string()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "open sesame".to_owned()),
        ] {
            let (url, asked) = endpoint(answer);
            let environment = |name: &str| match name {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI" => Some(url.clone()),
                name if name == variable => Some(value.clone()),
                _ => None,
            };
            let issued = keys(&Remote::default(), &environment).unwrap().unwrap();
            assert_eq!(issued.source(), &Origin::Container { url: url.clone() });
            let keys = issued.keys();
            assert_eq!((&*keys.access_key_id, &*keys.secret_access_key), ("A", "S"));
            assert_eq!(keys.session_token.as_deref(), Some("T"));
            let asked = asked.join().unwrap();
            assert!(asked.starts_with("get /get?x=1 http/1.1\r\n"), "{asked}");
            assert!(asked.contains("\r\nauthorization: open sesame\r\n"), "{asked}");
        }
        let (url, _asked) = endpoint(r#"{"AccessKeyId":"A","SecretAccessKey":7}"#);
        let error = keys(&Remote::default(), &|name| {
            (name == "AWS_CONTAINER_CREDENTIALS_FULL_URI").then(|| url.clone())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with("it has no AccessKeyId and SecretAccessKey"), "{error}");
    }

    #[test]
    fn only_this_machine_and_tls_get_the_token() {
        for (url, trusts) in [
            ("http://localhost:1234/c", Some(true)),
            ("http://127.0.0.1/c", Some(true)),
            ("http://[::1]:80/c", Some(true)),
            ("http://169.254.170.2/c", Some(true)),
            ("http://[fd00:ec2::23]/v1", Some(true)),
            ("https://example.com/c", Some(false)),
            ("http://example.com/c", None),
            ("http://169.254.169.254/c", None),
            ("http://127.0.0.1.example.com/c", None),
            ("http://127.0.0.1@example.com/c", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(trusted(url).ok(), trusts, "{url}");
        }
    }
}
