"""Traces as an OpenTelemetry collector receives them: OTLP over HTTP, read with its own messages.

Needs a binary with the feature `otel`; `./test` builds one and says so with SEDGE_OTEL=1.
"""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sedge import picture, serving

if not os.environ.get("SEDGE_OTEL"):
    pytest.skip("the binary is built without the feature otel", allow_module_level=True)

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVICE = "mobilenet-v1-0-25-128-quant"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture
def collector(monkeypatch):
    """Collects what is posted to it, as an OpenTelemetry collector at its usual path."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    yield received
    server.shutdown()


def traced(requests):
    """Runs the requests against a server of its own, which sends what it has when it ends."""
    with serving([SERVICE]) as server:
        runtime = server.boto3(retries={"max_attempts": 1})
        requests(server, runtime)
        server.terminate()
        assert server.wait() == 0


def spans(received):
    groups = [scope for request in received for resource in request.resource_spans
              for scope in resource.scope_spans]
    return [span for scope in groups for span in scope.spans]


def attributes(items):
    return {item.key: item.value.string_value for item in items}


def with_headers(runtime, **headers):
    def add(request, **_):
        for name, value in headers.items():
            request.headers[name] = value

    runtime.meta.events.register("before-sign.sagemaker-runtime.InvokeEndpoint", add)


def test_a_request_continues_its_callers_trace(collector):
    def requests(_, runtime):
        with_headers(runtime, traceparent=f"00-{TRACE}-{PARENT}-01")
        runtime.invoke_endpoint(EndpointName=SERVICE, Body=picture("cat_720p.jpg"))

    traced(requests)
    resource = attributes(collector[0].resource_spans[0].resource.attributes)
    assert resource["service.name"] == "sedge" and resource["service.version"]
    request, *stages = spans(collector)
    assert request.name == f"infer {SERVICE}" and request.kind == Span.SPAN_KIND_SERVER
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(request.attributes)["sedge.outcome"] == "ok"
    assert attributes(request.attributes)["sedge.model"].startswith(SERVICE + "@")
    names = [stage.name for stage in stages]
    # A stage that took no microsecond has no span.
    assert {"decode", "inference"} <= set(names)
    assert names == [n for n in ["queue", "decode", "preprocess", "inference", "postprocess"]
                     if n in names]
    for stage in stages:
        assert (stage.trace_id, stage.parent_span_id) == (request.trace_id, request.span_id)
        assert request.start_time_unix_nano <= stage.start_time_unix_nano
        assert stage.end_time_unix_nano <= request.end_time_unix_nano


def test_an_error_is_told_with_its_words(collector):
    def requests(_, runtime):
        with pytest.raises(runtime.exceptions.ModelError):
            runtime.invoke_endpoint(EndpointName=SERVICE, Body=b"no picture")

    traced(requests)
    (request,) = spans(collector)
    assert request.status.code == Status.STATUS_CODE_ERROR
    assert "picture" in request.status.message
    assert attributes(request.attributes)["sedge.outcome"] == "picture"


def test_a_caller_that_does_not_record_is_not_recorded(collector):
    def requests(_, runtime):
        with_headers(runtime, traceparent=f"00-{TRACE}-{PARENT}-00")
        runtime.invoke_endpoint(EndpointName=SERVICE, Body=picture("cat_720p.jpg"))

    traced(requests)
    assert spans(collector) == []


def test_a_collector_that_is_not_there_holds_nobody_up(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")

    def requests(_, runtime):
        runtime.invoke_endpoint(EndpointName=SERVICE, Body=picture("cat_720p.jpg"))

    traced(requests)
