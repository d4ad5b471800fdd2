//! Files behind URLs.

use sedge_cloud::{Client, ClientError, Request, Response, is_loopback};

/// More hops than any server needs that is not going in circles.
const MOST_REDIRECTS: usize = 5;

/// A URL and the terms on which it is fetched.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) client: Client,
    pub(super) url: String,
    /// Whether the bytes are known, so that nobody on the way could exchange them.
    pub(super) is_known: bool,
}

impl Page {
    /// Gets the file, wherever it has moved to.
    pub(super) fn get(&self, headers: &[(&'static str, String)]) -> Result<Response, ClientError> {
        let mut url = self.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let request = Request::get(&url).headers(headers);
            let mut response = self.client.send(&request)?;
            match response.status {
                200 | 206 | 304 | 412 | 416 => return Ok(response),
                301 | 302 | 303 | 307 | 308 => {
                    let refuse =
                        |problem: String| ClientError::Response { url: url.clone(), problem };
                    let location = response.header("location");
                    let location =
                        location.ok_or_else(|| refuse("it moved to nowhere".to_owned()))?;
                    let next = resolved(&url, location)
                        .ok_or_else(|| refuse(format!("it moved to '{location}'")))?;
                    self.allow(&url, &next).map_err(refuse)?;
                    url = next;
                }
                status => {
                    let problem = refusal(status, &response.text().unwrap_or_default());
                    return Err(ClientError::Status { url, status, problem });
                }
            }
        }
        let problem = format!("it moved more than {MOST_REDIRECTS} times");
        Err(ClientError::Response { url: self.url.clone(), problem })
    }

    fn allow(&self, from: &str, to: &str) -> Result<(), String> {
        let secure = |url: &str| url.starts_with("https://");
        if secure(to) {
            return Ok(());
        }
        if secure(from) {
            return Err("it moved from https to http, where anybody could exchange it".to_owned());
        }
        match self.is_known || is_loopback(to) {
            true => Ok(()),
            false => Err("it moved to another host over http. Hint: give its sha256".to_owned()),
        }
    }
}

fn refusal(status: u16, text: &str) -> String {
    let hint = match status {
        401 | 403 => "Hint: a URL carries no credentials; use one that is signed, or s3://",
        404 | 410 => "Hint: check the URL",
        429 | 500..=599 => "Hint: the server has trouble; try again later",
        _ => "",
    };
    let first = text.lines().next().unwrap_or_default();
    let first: String = first.chars().filter(|c| !c.is_control()).take(80).collect();
    let shown = match first.starts_with('<') || first.is_empty() {
        true => "no model".to_owned(),
        false => format!("'{first}'"),
    };
    if hint.is_empty() { shown } else { format!("{shown}. {hint}") }
}

/// Where a `Location` leads from a URL (RFC 3986, section 5), without steps up.
fn resolved(base: &str, location: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let location = location.split('#').next()?;
    let next = if location.contains("://") {
        location.to_owned()
    } else if let Some(other) = location.strip_prefix("//") {
        format!("{scheme}://{other}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let path = base.split('?').next()?;
        let directory = path.rsplit_once('/').map(|(directory, _)| directory)?;
        format!("{directory}/{location}")
    };
    let known = next.starts_with("https://") || next.starts_with("http://");
    (known && next.is_ascii() && !next.contains(char::is_whitespace)).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_lead_on() {
        let base = "https://host:8/a/b?x=/1";
        for (location, expected) in [
            ("https://other/c", Some("https://other/c")),
            ("//other/c", Some("https://other/c")),
            ("/c?d=e#f", Some("https://host:8/c?d=e")),
            ("c", Some("https://host:8/a/c")),
            ("ftp://other/c", None),
            ("/c d", None),
        ] {
            assert_eq!(resolved(base, location).as_deref(), expected, "{location}");
        }
    }
}
