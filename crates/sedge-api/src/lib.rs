//! HTTP adapters over named services: the SageMaker Runtime dialect, the Open Inference Protocol,
//! and what the server tells of itself.
//!
//! For: turning requests of existing clients into [`sedge_service::Request`]s and the answers back,
//! with every size, wait and queue bounded. Not for: inference, models, configuration; an adapter
//! knows the protocol and a [`Services`], nothing else.
//!
//! Read [`router`] first, then the modules `sagemaker`, `oip` and `control`, each of which says at
//! its top what was chosen where the protocol leaves a choice.

#![forbid(unsafe_code)]

use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use sedge_service::Services;

mod body;
mod coding;
mod control;
mod health;
mod log;
mod metrics;
mod oip;
mod outward;
mod sagemaker;
mod server;
mod trace;

pub use control::{
    Action, Latency, ManageError, Managed, Manager, Requests, ServiceStatus, TensorStatus,
};
pub use outward::{BrokerStatus, BucketStatus, Leaving, LeavingLane, Outward, SampleCounts};
pub use server::{bind_local, serve, serve_local, serve_with_heads};

use crate::body::Budget;
use crate::control::Listeners;
use crate::metrics::HttpStatistics;

/// Limits and names of the HTTP surface.
#[derive(Clone, Debug)]
pub struct Options {
    /// Largest request body in bytes, as sent and as decompressed.
    pub max_body_bytes: u64,
    /// Bytes that the bodies of all requests together may hold; a request that does not fit is
    /// refused at once.
    pub max_buffered_bytes: u64,
    /// Name in the server's metadata.
    pub server_name: String,
    /// Version in the server's metadata.
    pub server_version: String,
    /// Public host names under which browsers may ask for the page; addresses and private names
    /// need not be here.
    pub page_hosts: Vec<String>,
    /// Who knows what leaves the device.
    pub outward: Option<Arc<dyn Outward>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 << 20,
            max_buffered_bytes: 256 << 20,
            server_name: "sedge".into(),
            server_version: env!("CARGO_PKG_VERSION").into(),
            page_hosts: Vec::new(),
            outward: None,
        }
    }
}

/// What every handler sees.
#[derive(Debug)]
struct App {
    services: Arc<Services>,
    options: Options,
    budget: Budget,
    http: HttpStatistics,
    listeners: Listeners,
}

impl App {
    /// True when every service takes requests.
    fn is_ready(&self) -> bool {
        self.services.all().iter().all(|service| service.is_ready())
    }

    /// The names of all services, for messages.
    fn names(&self) -> String {
        let names = self.services.all();
        names.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ")
    }
}

/// All protocols over one set of services, and the page where there is one.
///
/// With the page's routes comes what it is made of, `/api/v1`; both are kept from other web sites.
pub fn router(services: Arc<Services>, options: Options, page: Option<Router>) -> Router {
    let budget = Budget::new(options.max_buffered_bytes.max(options.max_body_bytes));
    let (http, listeners) = (HttpStatistics::default(), Listeners::default());
    let app = Arc::new(App { services, options, budget, http, listeners });
    let page = page.map_or_else(Router::new, |page| {
        let guard = middleware::from_fn_with_state(app.clone(), control::guard);
        control::routes().merge(page.with_state(())).layer(guard)
    });
    Router::new()
        .merge(page)
        .merge(sagemaker::routes())
        .merge(oip::routes())
        .merge(metrics::routes())
        .merge(health::routes())
        .fallback(|uri: Uri| async move { unrouted(&uri, StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|uri: Uri| async move {
            unrouted(&uri, StatusCode::METHOD_NOT_ALLOWED)
        })
        .layer(middleware::from_fn_with_state(app.clone(), trace::observe))
        .with_state(app)
}

/// What the control socket answers: the server's status, and what may be done with services.
pub fn control_router(
    services: Arc<Services>,
    options: Options,
    manager: Arc<dyn Manager>,
) -> Router {
    let budget = Budget::new(options.max_body_bytes);
    let (http, listeners) = (HttpStatistics::default(), Listeners::default());
    let app = Arc::new(App { services, options, budget, http, listeners });
    control::routes().with_state(app.clone()).merge(control::manage_routes(app, manager))
}

/// The answer to a path or method that no protocol has, in the words of the nearest one.
fn unrouted(uri: &Uri, status: StatusCode) -> Response {
    let message = match status {
        StatusCode::METHOD_NOT_ALLOWED => format!("{} does not take this method", uri.path()),
        _ => format!("there is nothing at {}", uri.path()),
    };
    if uri.path().starts_with("/endpoints/") {
        return sagemaker::Error::validation(status, message).into_response();
    }
    oip::Error::new(status, message).into_response()
}

#[cfg(test)]
mod tests;
