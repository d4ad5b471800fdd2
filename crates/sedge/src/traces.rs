//! OpenTelemetry traces: a request and its stages as spans, sent to a collector by OTLP over HTTP.
//!
//! Spans are made from the events that services tell when a request has ended, so that requests
//! do nothing for them. The collector's address and headers come from OpenTelemetry's own
//! variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, ...); without an address nothing is sent.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanProcessor,
};
use sedge_service::{Answered, Events, Stage};
use tokio::sync::broadcast::error::RecvError;

/// <https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp>
const ADDRESSES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The way of spans to the collector.
#[derive(Debug)]
pub(crate) struct Traces {
    processor: BatchSpanProcessor,
}

impl Traces {
    /// The way to the collector that the environment names; `None` when it names none. To be
    /// called outside the async runtime: the exporter blocks a thread of its own.
    pub(crate) fn from_environment() -> Result<Option<Self>> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let Some(address) = ADDRESSES.into_iter().find_map(set) else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .build()
            .with_context(|| format!("cannot send traces to {}", address.to_string_lossy()))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win where they are set.
        let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
        let mut resource = Resource::builder().with_attribute(version);
        if !named {
            resource = resource.with_service_name("sedge");
        }
        processor.set_resource(&resource.build());
        tracing::info!(collector = %address.to_string_lossy(), "sending traces");
        Ok(Some(Self { processor }))
    }

    /// Sends what requests did until the services are gone.
    pub(crate) async fn follow(&self, events: &Events) {
        let (_, mut coming) = events.listen();
        loop {
            match coming.recv().await {
                Ok(event) => {
                    for span in spans(&event, &RandomIdGenerator::default()) {
                        self.processor.on_end(span);
                    }
                }
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "traces fell behind"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Sends what is left. Blocks, for five seconds at most.
    pub(crate) fn finish(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(Duration::from_secs(5)) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The spans of one request: itself, and below it the stages that took any time. None when its
/// caller does not record the trace.
fn spans(event: &Answered, ids: &impl IdGenerator) -> Vec<SpanData> {
    if event.trace_parent.is_some_and(|parent| !parent.sampled) {
        return Vec::new();
    }
    // Names that are no W3C identifier (`x-request-id`) are kept as an attribute.
    let given = event.trace_id.as_deref().filter(|id| id.len() == 32);
    let trace_id = given.and_then(|id| TraceId::from_hex(id).ok());
    let trace_id = trace_id.unwrap_or_else(|| ids.new_trace_id());
    let context = |span_id| {
        SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::default())
    };
    let timings = &event.timings_us;
    let ended = UNIX_EPOCH + Duration::from_millis(event.unix_ms);
    let started = ended - Duration::from_micros(timings.total);
    let request = context(ids.new_span_id());
    let mut attributes = vec![
        KeyValue::new("sedge.service", event.service.clone()),
        KeyValue::new("sedge.outcome", event.outcome.clone()),
    ];
    if let Some(id) = event.trace_id.clone().filter(|_| given.is_none()) {
        attributes.push(KeyValue::new("sedge.request_id", id));
    }
    if let Some(prediction) = &event.prediction {
        attributes.push(KeyValue::new("sedge.model", prediction.model.clone()));
    }
    let span = |name: String, context: SpanContext, from, to| SpanData {
        span_context: context,
        parent_span_id: request.span_id(),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: from,
        end_time: to,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("sedge").build(),
    };
    let parent = event.trace_parent.map_or(SpanId::INVALID, |p| SpanId::from(p.span_id));
    let mut all = vec![SpanData {
        parent_span_id: parent,
        parent_span_is_remote: event.trace_parent.is_some(),
        span_kind: SpanKind::Server,
        attributes,
        status: event.error.clone().map_or(Status::Unset, Status::error),
        ..span(format!("infer {}", event.service), request.clone(), started, ended)
    }];
    let mut at = started;
    for stage in Stage::ALL {
        let until = at + Duration::from_micros(stage.of(timings));
        if until > at {
            all.push(span(stage.name().to_owned(), context(ids.new_span_id()), at, until));
        }
        at = until;
    }
    all
}

#[cfg(test)]
mod tests {
    use sedge_service::{Timings, TraceParent};

    use super::*;

    fn event() -> Answered {
        let timings_us = Timings { queue: 5, inference: 100, total: 105, ..Timings::default() };
        Answered {
            sequence: 1,
            unix_ms: 1_000,
            service: "cats".into(),
            outcome: "ok".into(),
            error: None,
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            trace_parent: Some(TraceParent { span_id: 7, sampled: true }),
            prediction: None,
            timings_us,
        }
    }

    #[test]
    fn stages_follow_each_other_below_the_request() {
        let spans = spans(&event(), &RandomIdGenerator::default());
        let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["infer cats", "queue", "inference"]);
        let [request, queue, inference] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(request.parent_span_id, SpanId::from(7));
        assert_eq!(request.span_context.trace_id().to_string(), event().trace_id.unwrap());
        assert_eq!(queue.parent_span_id, request.span_context.span_id());
        assert_eq!((request.start_time, queue.end_time), (queue.start_time, inference.start_time));
        assert_eq!(inference.end_time, request.end_time);
    }

    #[test]
    fn what_the_caller_does_not_record_is_not_sent() {
        let parent = Some(TraceParent { span_id: 7, sampled: false });
        let unsampled = Answered { trace_parent: parent, ..event() };
        assert!(spans(&unsampled, &RandomIdGenerator::default()).is_empty());
    }

    #[test]
    fn other_identifiers_become_an_attribute() {
        let named = Answered { trace_id: Some("job-17".into()), trace_parent: None, ..event() };
        let spans = spans(&named, &RandomIdGenerator::default());
        let request = &spans[0];
        assert!(request.attributes.contains(&KeyValue::new("sedge.request_id", "job-17")));
        assert_eq!(request.parent_span_id, SpanId::INVALID);
        assert_ne!(request.span_context.trace_id(), TraceId::INVALID);
    }
}
