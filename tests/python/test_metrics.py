"""`/metrics` as Prometheus reads it: with the parser of its own client library."""

import re
import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sedge import ROOT, picture, serving

SERVICE = "mobilenet-v1-0-25-128-quant"
STAGES = ["queue", "decode", "preprocess", "inference", "postprocess"]


@pytest.fixture
def server():
    with serving([SERVICE]) as server:
        yield server


# Names of the metrics of what leaves the device.
OUTWARD = ("sedge_spool_", "sedge_mqtt_", "sedge_upload", "sedge_samples_", "sedge_answers_missed_")


def scrape(server):
    """All samples by name and labels, and the families that were announced."""
    with urllib.request.urlopen(server.url + "/metrics") as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in samples, key
            samples[key] = sample.value
    return samples, {family.name: family for family in families}


def value(samples, name, **labels):
    return samples[(name, *sorted(labels.items()))]


def test_requests_are_counted_by_outcome_and_timed_by_stage(server):
    runtime = server.boto3(retries={"max_attempts": 1})
    call = {"EndpointName": SERVICE, "ContentType": "image/jpeg"}
    for _ in range(3):
        runtime.invoke_endpoint(Body=picture("cat_720p.jpg"), **call)
    with pytest.raises(runtime.exceptions.ModelError):
        runtime.invoke_endpoint(Body=b"no picture", **call)
    samples, _ = scrape(server)
    assert value(samples, "sedge_requests_total", service=SERVICE, outcome="ok") == 3
    assert value(samples, "sedge_requests_total", service=SERVICE, outcome="picture") == 1
    assert value(samples, "sedge_requests_total", service=SERVICE, outcome="deadline") == 0
    assert value(samples, "sedge_request_seconds_count", service=SERVICE) == 3
    assert value(samples, "sedge_http_responses_total", code="200") == 3
    assert value(samples, "sedge_http_responses_total", code="424") == 1
    received = value(samples, "sedge_http_received_bytes_total")
    assert received == 3 * len(picture("cat_720p.jpg")) + len(b"no picture")
    total = value(samples, "sedge_request_seconds_sum", service=SERVICE)
    stages = 0.0
    for stage in STAGES:
        labels = {"service": SERVICE, "stage": stage}
        assert value(samples, "sedge_stage_seconds_count", **labels) == 3
        stages += value(samples, "sedge_stage_seconds_sum", **labels)
    # Each stage is rounded down to a microsecond.
    assert stages == pytest.approx(total, abs=3 * len(STAGES) * 1e-6)


def test_buckets_are_cumulative_and_end_in_all(server):
    runtime = server.boto3()
    runtime.invoke_endpoint(EndpointName=SERVICE, Body=picture("face.jpg"))
    _, families = scrape(server)
    buckets = {}
    for sample in families["sedge_stage_seconds"].samples:
        if sample.name.endswith("_bucket"):
            buckets.setdefault(sample.labels["stage"], []).append(sample)
    assert sorted(buckets) == sorted(STAGES)
    for samples in buckets.values():
        bounds = [float(sample.labels["le"]) for sample in samples]
        counts = [sample.value for sample in samples]
        assert bounds == sorted(bounds) and bounds[-1] == float("inf")
        assert counts == sorted(counts) and counts[-1] == 1


def test_the_process_is_described(server):
    samples, _ = scrape(server)
    assert 4e6 < value(samples, "sedge_memory_pss_bytes") < 200e6
    assert value(samples, "process_resident_memory_bytes") > 4e6
    assert value(samples, "process_open_fds") < value(samples, "process_max_fds")
    assert abs(value(samples, "process_start_time_seconds") - time.time()) < 60


def test_every_documented_metric_is_there_with_its_kind():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    assert len(rows) > 20
    # Memory is told of processes, and its limit where there is one.
    with serving([SERVICE], "--isolation", "process", "--memory-mib", 200) as server:
        scrape(server)
        samples, families = scrape(server)
    assert value(samples, "sedge_service_memory_limit_bytes", service=SERVICE) == 200 << 20
    assert 4e6 < value(samples, "sedge_service_memory_bytes", service=SERVICE) < 100e6
    # The parser leaves `_total` out of the names of counters.
    # What leaves the device is told where something does: test_egress.py looks at that.
    told = {(name.removesuffix("_total"), kind) for name, kind in rows
            if not name.startswith(OUTWARD)}
    assert told == {(family.name, family.type) for family in families.values()}


def test_reading_metrics_is_not_a_request_to_a_service(server):
    scrape(server)
    samples, _ = scrape(server)
    assert value(samples, "sedge_requests_total", service=SERVICE, outcome="ok") == 0
