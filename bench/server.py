"""What a server adds: requests to a model that does nothing, over loopback, by `wrk`.

`wrk` is native code, so that what is measured is the server and not the client.
"""

import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from runners import PEERS

HERE = Path(__file__).parent
RESULT = re.compile(r"RESULT (.*)")
LEFT_ALONE_S = 25  # it looks every 10 s whether there were requests


class Server:
    """A server process that is stopped at the end."""

    def __init__(self, command, port, env=None):
        begun = time.perf_counter()
        self.process = subprocess.Popen([str(part) for part in command], env=env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.port = port
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.perf_counter() - begun > 60:
                    raise RuntimeError(f"{command[0]} does not listen") from None
                time.sleep(0.002)
        self.ready_ms = (time.perf_counter() - begun) * 1000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def pss_kib(self):
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    def post(self, path, body, content_type, count):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        for _ in range(count):
            connection.request("POST", path, body, {"Content-Type": content_type})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"{path} answered {response.status}")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def sedge(runners, models, *flags):
    port = free_port()
    command = [runners.sedge, "serve", *models, "--listen", f"127.0.0.1:{port}", *flags]
    return Server(command, port, {**os.environ, **runners.env})


def wrk(port, script, path, connections, seconds, environment=None):
    """Latencies in microseconds as the client sees them, and answers per second."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / f"wrk/{script}.lua",
               f"http://127.0.0.1:{port}{path}"]
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                         cwd=HERE.parent, env={**os.environ, **(environment or {})})
    found = RESULT.search(ran.stdout)
    if not found:
        raise RuntimeError(f"wrk failed: {ran.stderr or ran.stdout}")
    p50, p90, p99, count, micros, failed = map(int, found[1].split())
    if failed:
        raise RuntimeError(f"{failed} of {count} requests to {path} failed")
    return {"p50_us": p50, "p90_us": p90, "p99_us": p99, "per_s": count * 1e6 / micros}


def overhead(runners, settings):
    """Rows of server and protocol, interleaved."""
    if not shutil.which("wrk"):
        return []
    noop = runners.path("made:noop_1", package=True)
    with sedge(runners, [noop], "--name", "noop") as ours, \
            sedge(runners, [noop], "--name", "noop", "--engine", "onnxruntime") as second, \
            Server([sys.executable, PEERS / "fastapi_noop.py", port := free_port()], port) as peer, \
            Server([sys.executable, PEERS / "bare_socket.py", port := free_port()], port) as bare:
        oip, sagemaker = "/v2/models/noop/infer", "/endpoints/noop/invocations"
        targets = {
            "sedge, OIP binary tensors": (ours.port, "oip", oip),
            "sedge, SageMaker invocations with a picture": (ours.port, "sagemaker", sagemaker),
            "sedge+onnxruntime, OIP binary tensors": (second.port, "oip", oip),
            "FastAPI and uvicorn, the body's length": (peer.port, "oip", "/invocations"),
        }
        # It answers one connection at a time.
        floor = {"a bare socket: two system calls, no HTTP": (bare.port, "oip", "/")}
        rows = []
        for connections in settings["connections"]:
            shown = {**floor, **targets} if connections == 1 else targets
            ran = {name: [] for name in shown}
            for name, (port, script, path) in shown.items():
                wrk(port, script, path, connections, 1)  # warm
            for _ in range(settings["rounds"]):
                for name, (port, script, path) in shown.items():
                    ran[name].append(wrk(port, script, path, connections, settings["seconds"]))
            for name, results in ran.items():
                middle = {key: round(statistics.median(r[key] for r in results), 1)
                          for key in results[0]}
                p50s = [r["p50_us"] for r in results]
                rows.append({"name": name, "connections": connections, "rounds_p50_us": p50s,
                             **middle})
        return rows


def footprint(runners):
    """`sedge serve`: ready, idle, after 50 pictures, and when it has been left alone again."""
    picture = Path("testdata/images/cat_720p.jpg").read_bytes()
    rows = []
    for name, model in [
        ("a model that does nothing", "made:noop_1"),
        ("MobileNet v1 1.0-224 f32", "made:mobilenet_v1"),
        ("MobileNet v1 1.0-224 int8", "made:mobilenet_v1_int8"),
        ("MobileNet v2 1.0-224 quantised (TFLite)", "testdata/models/mobilenet-v2"),
    ]:
        with sedge(runners, [runners.path(model, package=True)], "--name", "model") as server:
            time.sleep(0.3)
            idle = server.pss_kib()
            server.post("/endpoints/model/invocations", picture, "image/jpeg", 50)
            after = server.pss_kib()
            time.sleep(LEFT_ALONE_S)
            rows.append({"name": name, "ready_ms": round(server.ready_ms, 1), "idle_kib": idle,
                         "after_kib": after, "later_kib": server.pss_kib()})
    return rows
