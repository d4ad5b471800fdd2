//! The page of `sedge serve`: the services, a picture to try, the last answers of all clients.
//!
//! For: people in front of a browser. The page is a view: it shows [`ServiceStatus`] as it is when
//! it is asked for, and its script asks the same HTTP interfaces as everybody else. Not for:
//! deciding anything, or keeping state.
//!
//! Read [`routes`], `templates/page.html`, then `assets/sedge.js`. Everything is embedded in the
//! binary; nothing is loaded from elsewhere.

#![forbid(unsafe_code)]

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sedge_api::{Leaving, Options, Outward, ServiceStatus};
use sedge_service::Services;

mod assets;
mod filters;

use assets::{SAMPLES, Sample};

/// Only what this server sends may be shown or run; nothing inline, no frames, no forms.
///
/// `blob:` is the picture that was chosen, which the browser shows from its memory.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

#[derive(Debug)]
struct Page {
    services: Arc<Services>,
    outward: Option<Arc<dyn Outward>>,
    version: String,
    max_body_bytes: u64,
}

/// The page at `/` and what it is made of under `/page`, for [`sedge_api::router`].
pub fn routes(services: Arc<Services>, options: &Options) -> Router {
    let page = Page {
        services,
        outward: options.outward.clone(),
        version: options.server_version.clone(),
        max_body_bytes: options.max_body_bytes,
    };
    Router::new().route("/", get(index)).with_state(Arc::new(page)).merge(assets::routes())
}

#[derive(Template)]
#[template(path = "page.html")]
struct Html<'a> {
    services: &'a [ServiceStatus],
    leaving: Option<&'a Leaving>,
    samples: &'a [Sample],
    /// The service that is asked unless another one is chosen: the first that takes pictures.
    first: Option<&'a str>,
    version: &'a str,
    max_body: String,
    /// As the browser called this server.
    host: &'a str,
}

async fn index(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or("127.0.0.1:8080");
    let services: Vec<_> =
        page.services.all().iter().map(|service| ServiceStatus::of(service)).collect();
    if !text(header::ACCEPT).unwrap_or_default().contains("text/html") {
        return directory(&services, host).into_response();
    }
    let leaving = page.outward.as_ref().and_then(|outward| outward.leaving());
    let pictures = services.iter().find(|service| service.takes_pictures);
    let html = Html {
        services: &services,
        leaving: leaving.as_ref(),
        samples: &SAMPLES,
        first: pictures.or(services.first()).map(|service| service.name.as_str()),
        version: &page.version,
        max_body: filters::mebibytes(page.max_body_bytes),
        host,
    };
    match html.render() {
        Ok(html) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (OPENER_POLICY, "same-origin"),
            ];
            (headers, html).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What there is, for a client that is no browser.
fn directory(services: &[ServiceStatus], host: &str) -> String {
    let mut text = format!(
        "Sedge. A page for browsers is at http://{host}/\n\n\
         GET  /api/v1/services                 every service and what it did\n\
         GET  /api/v1/events                   requests as they are answered\n\
         GET  /api/v1/egress                   what waits to leave the device\n\
         GET  /v2                              Open Inference Protocol\n\
         GET  /ping                            200 when all services are ready\n"
    );
    for service in services {
        text += &format!("POST /endpoints/{}/invocations\n", service.name);
    }
    text
}

#[cfg(test)]
mod tests;
