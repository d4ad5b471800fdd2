"""What happens at the edges: size, number, malice, the end."""

import gzip
import http.client
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from botocore.exceptions import ClientError

from sedge import IMAGES, picture, serving

MODEL = "mobilenet-v2"
DETECTOR = "ultraface-rfb320"
INVOKE = f"/endpoints/{MODEL}/invocations"


def post(server, path, body, headers=()):
    connection = http.client.HTTPConnection(server.address, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "image/jpeg", **dict(headers)})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


def test_sixty_four_clients_at_once_get_their_own_answers(server):
    images = ["parrot.jpg", "cat_720p.jpg", "chelsea_exif6.jpg", "astronaut_gray.jpg"]
    ask = server.boto3()

    def boto3(image):
        answer = ask.invoke_endpoint(
            EndpointName=MODEL, Body=picture(image), ContentType="image/jpeg"
        )
        return answer["Body"].read()

    def tritonclient(image):
        with triton.InferenceServerClient(server.address, network_timeout=120) as client:
            tensor = triton.InferInput("image", (1,), "BYTES")
            tensor.set_data_from_numpy(np.array([picture(image)], dtype=np.object_))
            return client.infer(MODEL, [tensor]).as_numpy("MobilenetV2/Predictions/Softmax").tobytes()

    calls = [(call, image) for image in images for call in (boto3, tritonclient)]
    expected = {call: call[0](call[1]) for call in calls}
    assert len(set(expected.values())) == len(calls)
    start = threading.Barrier(64)

    def one(call):
        start.wait()
        return [call[0](call[1]) for _ in range(2)]

    with ThreadPoolExecutor(64) as pool:
        work = [(call, pool.submit(one, call)) for call in calls * 8]
        for call, future in work:
            assert future.result() == [expected[call]] * 2


@pytest.fixture(scope="module")
def small():
    with serving([MODEL], "--max-body-mib", 1) as server:
        yield server


def test_an_oversized_body_is_refused_before_it_is_read(small):
    runtime = small.boto3(retries={"total_max_attempts": 1})
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName=MODEL, Body=b"x" * (20 << 20), ContentType="image/jpeg")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert "1048576 bytes" in caught.value.response["Error"]["Message"]
    # Only announced: nothing of it is sent.
    with socket.create_connection(small.address.split(":"), timeout=10) as raw:
        raw.sendall(
            f"POST {INVOKE} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
    chunks = (b"x" * 65536 for _ in range(32))
    assert post(small, INVOKE, chunks)[0] == 413


def test_a_gzip_bomb_is_refused(small):
    before = small.memory()
    bomb = gzip.compress(bytes(500 << 20), 9)
    assert len(bomb) < 1 << 20
    status, _, body = post(small, INVOKE, bomb, {"Content-Encoding": "gzip"})
    assert (status, b"limit" in body) == (413, True)
    assert small.memory() - before < 50 << 20


def test_deep_and_broken_json_is_refused(small):
    path = f"/v2/models/{MODEL}/infer"
    nested = '{"inputs":[{"name":"input","shape":[1],"datatype":"UINT8","data":%s}]}'
    deep = nested % ("[" * 100_000 + "]" * 100_000)
    for body in [deep, "[" * 500_000, "{", "", "null", '{"inputs":7}', "\xff", nested % "[1e400]"]:
        status, _, answer = post(small, path, body.encode("latin-1"))
        assert (status, bool(json.loads(answer)["error"])) == (400, True), body[:50]


@pytest.mark.parametrize("service", [MODEL, DETECTOR])
def test_malformed_pictures_are_refused_in_little_memory(service):
    files = sorted((IMAGES / "malformed").iterdir())
    assert len(files) >= 17
    with serving([service]) as server:
        for path in files:
            status, _, body = post(server, f"/endpoints/{service}/invocations", path.read_bytes())
            assert 400 <= status < 500, path.name
            assert json.loads(body)["Message"], path.name
        with triton.InferenceServerClient(server.address) as client:
            for path in files:
                tensor = triton.InferInput("image", (1,), "BYTES")
                tensor.set_data_from_numpy(np.array([path.read_bytes()], dtype=np.object_))
                with pytest.raises(triton.InferenceServerException) as caught:
                    client.infer(service, [tensor])
                assert caught.value.status() == "400", path.name
        # It still works, nothing unwound, and it stayed small.
        path = f"/endpoints/{service}/invocations"
        assert post(server, path, picture("parrot.jpg"))[0] == 200
        assert server.memory() < 300 << 20
        assert not [line for line in server.lines if "panic" in line]


def test_overload_is_refused_at_once():
    with serving([DETECTOR], "--queue", 2, "--instances", 1) as server:
        path = f"/endpoints/{DETECTOR}/invocations"
        start = threading.Barrier(40)

        def one(_):
            start.wait()
            started = time.monotonic()
            status, headers, _ = post(server, path, picture("cat_720p.jpg"))
            return status, headers, time.monotonic() - started

        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(one, range(40)))
        refused = [(headers, took) for status, headers, took in answers if status == 503]
        assert {status for status, _, _ in answers} == {200, 503}
        assert len(refused) > 10
        assert all(int(headers["retry-after"]) >= 1 for headers, _ in refused)
        assert all(headers["x-amzn-errortype"] == "ServiceUnavailable" for headers, _ in refused)
        assert post(server, path, picture("cat_720p.jpg"))[0] == 200


def test_a_deadline_is_told():
    with serving([DETECTOR], "--timeout-ms", 1) as server:
        with pytest.raises(ClientError) as caught:
            server.boto3().invoke_endpoint(
                EndpointName=DETECTOR, Body=picture("cat_720p.jpg"), ContentType="image/jpeg"
            )
        assert caught.value.response["Error"]["Code"] == "ModelError"
        assert caught.value.response["OriginalStatusCode"] == 0


def test_sigterm_finishes_what_runs_and_exits_with_zero():
    body = picture("parrot.jpg")
    with serving([MODEL]) as server:
        expected = post(server, INVOKE, body)[2]
        with socket.create_connection(server.address.split(":"), timeout=30) as raw:
            head = f"POST {INVOKE} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:1000])
            idle = socket.create_connection(server.address.split(":"), timeout=30)
            time.sleep(0.2)
            server.terminate()
            server.event("draining")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(server.address.split(":"), timeout=5)
            assert server.process.poll() is None
            raw.sendall(body[1000:])
            response = http.client.HTTPResponse(raw)
            response.begin()
            assert (response.status, response.read()) == (200, expected)
        assert idle.recv(1) == b""
        assert server.wait() == 0
        assert server.process.stdout.read() == b""


def test_requests_are_logged_as_json():
    with serving([MODEL]) as server:
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        _, headers, _ = post(server, INVOKE, picture("parrot.jpg"), {"traceparent": parent})
        assert headers["x-request-id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
        event = server.event("request")
        assert event["method"] == "POST" and event["path"] == INVOKE
        assert (event["service"], event["status"]) == (MODEL, 200)
        assert event["bytes_in"] == len(picture("parrot.jpg")) and event["bytes_out"] > 1000
        assert event["micros"] > 0 and event["trace_id"] == headers["x-request-id"]
        post(server, "/endpoints/nobody/invocations", b"x", {"X-Request-Id": "job-1"})
        event = server.event("request")
        assert (event["status"], event["trace_id"]) == (400, "job-1")
        assert "not found" in event["error"]
        server.terminate()
        assert server.wait() == 0
        assert all(event["level"] and event["message"] for event in server.events())


def test_threads_follow_the_affinity_of_the_process():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with serving(["mobilenet-v1-0-25-128-quant"]) as server:
            core = Path(f"/proc/{server.process.pid}/task/{server.process.pid}")
            # With --isolation process the model is in a process of its own.
            pids = [server.process.pid, *(core / "children").read_text().split()]
            tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
            names = [(task / "comm").read_text().strip() for task in tasks]
    finally:
        os.sched_setaffinity(0, allowed)
    assert len([name for name in names if name.startswith("rten-")]) == 1, names
