//! Signature Version 4 of Amazon Web Services: who asks, for what, and when.
//!
//! Source: "Signing AWS API requests", AWS General Reference. The path is signed as it is sent,
//! which is S3's rule and the same for `/`, the only path of the services beside it.

use std::fmt::Write;

use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};

use crate::{Keys, Request, Utc};

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// The headers that sign a request. Those that it already has are signed with it, and nothing may
/// be changed or added afterwards but headers without meaning to the service.
pub(crate) fn sign(
    request: &Request,
    keys: &Keys,
    scope: Scope<'_>,
    now: Utc,
) -> Vec<(&'static str, String)> {
    let date = now.basic();
    let payload = request.body.sha256();
    let url = request.url.split_once("://").map_or("", |(_, rest)| rest);
    let (host, path) = url.split_at(url.find(['/', '?']).unwrap_or(url.len()));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut added = vec![("host", host.to_owned()), ("x-amz-date", date.clone())];
    if scope.service == "s3" {
        added.push(("x-amz-content-sha256", payload.clone()));
    }
    if let Some(token) = &keys.session_token {
        added.push(("x-amz-security-token", token.clone()));
    }
    let own = request.headers.iter().map(|(name, value)| (name.as_ref(), value));
    let mut headers: Vec<(String, String)> = own
        .chain(added.iter().map(|(name, value)| (*name, value)))
        .map(|(name, value)| (name.to_ascii_lowercase(), collapsed(value)))
        .collect();
    headers.sort();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut queries: Vec<String> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| if part.contains('=') { part.to_owned() } else { format!("{part}=") })
        .collect();
    queries.sort();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{payload}",
        request.method,
        if path.is_empty() { "/" } else { path },
        queries.join("&"),
    );
    let Scope { region, service } = scope;
    let day = &date[..8];
    let credential = format!("{day}/{region}/{service}/aws4_request");
    let digest = sha256(canonical.as_bytes());
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{credential}\n{digest}");
    let secret = format!("AWS4{}", keys.secret_access_key);
    let parts = [day, region, service, "aws4_request"];
    let key = parts.iter().fold(secret.into_bytes(), |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &text));
    added.push((
        "authorization",
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{credential}, SignedHeaders={names}, \
             Signature={signature}",
            keys.access_key_id
        ),
    ));
    added
}

/// The SHA-256 of some bytes, in hex digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// A header's value without spaces at its ends and with single ones inside.
fn collapsed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Percent-encodes a key of S3 as it is signed and sent: all but unreserved characters (RFC 3986)
/// and slashes.
pub(crate) fn encoded(key: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    fn signature(request: &Request, keys: &Keys, scope: Scope<'_>, seconds: i64) -> String {
        let (_, authorization) =
            sign(request, keys, scope, Utc::at(seconds).unwrap()).pop().unwrap();
        authorization.rsplit_once('=').unwrap().1.to_owned()
    }

    /// Cases of the "AWS Signature Version 4 test suite", which gives the signatures.
    #[test]
    fn the_published_requests_get_the_published_signatures() {
        let keys = Keys {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        let url = "https://example.amazonaws.com/";
        let get = Request::get;
        let form = Request {
            method: "POST",
            body: Body::from("Param1=value1".to_owned()),
            ..get(url).header("Content-Type", "application/x-www-form-urlencoded")
        };
        for (name, request, expected) in [
            (
                "get-vanilla",
                get(url),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                get("https://example.amazonaws.com/?Param2=value2&Param1=value1"),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-header-value-trim",
                get(url).header("My-Header1", " value1").header("My-Header2", " \"a   b   c\""),
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "post-x-www-form-urlencoded",
                form,
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let scope = Scope { region: "us-east-1", service: "service" };
            assert_eq!(signature(&request, &keys, scope, 1_440_938_160), expected, "{name}");
        }
    }

    /// "Examples of the complete Version 4 signing process", Amazon S3 API Reference.
    #[test]
    fn the_example_of_s3_gets_its_signature() {
        let keys = Keys {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        let request = Request::get("https://examplebucket.s3.amazonaws.com/test.txt")
            .header("Range", "bytes=0-9");
        let scope = Scope { region: "us-east-1", service: "s3" };
        assert_eq!(
            signature(&request, &keys, scope, 1_369_353_600),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(encoded("a b/ä+~.tar.gz"), "a%20b/%C3%A4%2B~.tar.gz");
    }
}
