use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::{App, oip};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Ends of names that the public domain name system does not give to anybody: RFC 6761, RFC 6762,
/// RFC 8375, ICANN's resolution on `.internal`, and the custom of home routers.
const PRIVATE: [&str; 5] = [".localhost", ".local", ".home.arpa", ".internal", ".lan"];

/// Keeps other web pages in the user's browser from reading what is shown here.
///
/// A page of another site that reads across is stopped by the browser, as there are no CORS
/// headers, and here by `Sec-Fetch-Site`. A page whose name was made to point at this machine (DNS
/// rebinding) counts as our own to the browser, and is told by its `Host`: a public name that
/// nobody configured.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(request.headers(), &app.options.page_hosts) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refusal(headers: &HeaderMap, allowed: &[String]) -> Option<oip::Error> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(host) = headers.get(header::HOST).filter(|host| !is_ours(host, allowed)) {
        let host = String::from_utf8_lossy(host.as_bytes());
        let message = format!(
            "the page is not served under the name '{host}'. Hint: use the address, or allow the name with --page-host or page_hosts"
        );
        return Some(oip::Error::new(StatusCode::MISDIRECTED_REQUEST, message));
    }
    // Following a link from elsewhere is fine: the other site sees nothing of it.
    let foreign = matches!(text(FETCH_SITE), Some("cross-site" | "same-site"));
    let message = "other sites may not read this. Hint: open the page itself";
    (foreign && text(FETCH_MODE) != Some("navigate"))
        .then(|| oip::Error::new(StatusCode::FORBIDDEN, message))
}

/// True for addresses, for names that cannot be public, and for those in `allowed`.
fn is_ours(host: &HeaderValue, allowed: &[String]) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.parse::<IpAddr>().is_ok()
        || v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
        || !host.contains(['.', '['])
        || PRIVATE.iter().any(|end| host.ends_with(end))
        || allowed.iter().any(|name| name.eq_ignore_ascii_case(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_names_have_to_be_allowed() {
        let allowed = ["Sedge.example.com".to_owned()];
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "192.168.1.7",
            "localhost:8080",
            "camera",
            "Camera.local:80",
            "sedge.localhost.",
            "sedge.example.com:8443",
        ] {
            assert!(is_ours(&HeaderValue::from_static(host), &allowed), "{host}");
        }
        for host in ["evil.example:8080", "127.0.0.1.evil.example", "local.evil.example", "", "a b"]
        {
            assert!(!is_ours(&HeaderValue::from_static(host), &allowed), "{host}");
        }
    }
}
