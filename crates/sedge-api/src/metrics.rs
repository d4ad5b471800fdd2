//! `GET /metrics`: what services, server and process did and hold, in Prometheus' text format.
//!
//! Every metric stands in [`table`], from where `docs/metrics.md` is made; nothing is counted here
//! but HTTP answers. Reading takes about a millisecond, most of it the kernel's count of memory.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sedge_service::{Outcome, Service, Stage, Version};

mod http;
mod outward;
mod page;
mod process;
mod table;

pub(crate) use http::HttpStatistics;

use crate::App;
use page::Page;

/// <https://prometheus.io/docs/instrumenting/exposition_formats/#basic-info>
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    // The kernel walks the process's page tables for it.
    let text = tokio::task::spawn_blocking(move || text(&app)).await;
    match text {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn text(app: &App) -> prometheus::Result<String> {
    let mut page = Page::default();
    page.add(&table::BUILD_INFO, &[&app.options.server_version], 1.0);
    for service in app.services.all() {
        add_service(&mut page, &service);
    }
    app.http.add_to(&mut page);
    if let Some(leaving) = app.leaving() {
        outward::add_to(&mut page, &leaving);
    }
    page.add(&table::BODY_BYTES, &[], app.budget.used() as f64);
    process::add_to(&mut page);
    page.text()
}

fn add_service(page: &mut Page, service: &Service) {
    let (name, limits, statistics) = (service.name(), service.limits(), service.statistics());
    if let Some(serving) = service.serving() {
        let info = serving.info();
        let version = info.version.as_deref().unwrap_or_default();
        page.add(
            &table::SERVICE_INFO,
            &[name, &info.name, &info.identity, version, &info.task, &info.format, &info.engine],
            1.0,
        );
        add_version(page, name, &serving);
    }
    let number = |flag: bool| f64::from(u8::from(flag));
    page.add(&table::SERVICE_READY, &[name], number(service.is_ready()));
    for outcome in Outcome::ALL {
        let count = statistics.count(outcome) as f64;
        page.add(&table::REQUESTS, &[name, outcome.name()], count);
    }
    page.histogram(&table::REQUEST_SECONDS, &[name], statistics.requests());
    for stage in Stage::ALL {
        page.histogram(&table::STAGE_SECONDS, &[name, stage.name()], statistics.stage(stage));
    }
    page.add(&table::QUEUE_LENGTH, &[name], service.waiting() as f64);
    page.add(&table::QUEUE_LENGTH_MOST, &[name], statistics.most_waiting() as f64);
    page.add(&table::QUEUE_LIMIT, &[name], limits.queue as f64);
    page.add(&table::RUNNING, &[name], statistics.running() as f64);
    page.add(&table::INSTANCES, &[name], limits.instances as f64);
}

/// What answers, and the process in which it does.
fn add_version(page: &mut Page, name: &str, version: &Version) {
    let status = version.status();
    page.add(&table::SERVICE_VERSION, &[name], version.number() as f64);
    page.add(&table::RESTARTS, &[name], status.restarts as f64);
    if let Some(memory) = status.memory {
        page.add(&table::MEMORY, &[name], memory.resident as f64);
        page.add(&table::MEMORY_PEAK, &[name], memory.peak as f64);
        if let Some(limit) = memory.limit {
            page.add(&table::MEMORY_LIMIT, &[name], limit as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/metrics.md` between its two markers is the table of the code.
    #[test]
    fn the_documentation_lists_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (begin, end) = ("<!-- metrics: begin -->\n", "<!-- metrics: end -->");
        let (before, rest) = text.split_once(begin).unwrap();
        let (_, after) = rest.split_once(end).unwrap();
        let wanted = format!("{before}{begin}\n{}\n{end}{after}", table::markdown());
        if std::env::var_os("SEDGE_UPDATE_DOCS").is_some() {
            std::fs::write(path, &wanted).unwrap();
            return;
        }
        assert_eq!(text, wanted, "SEDGE_UPDATE_DOCS=1 brings docs/metrics.md up to date");
    }
}
