"""What a process of its own costs a service: the same model behind both kinds of `isolation`.

Both services are in one server and take turns, so that whatever else the machine does befalls both.
"""

import json
import os
import shutil
import statistics
import tempfile
from pathlib import Path

import server

KINDS = ["thread", "process"]
PIXELS = {"FP32": 4, "UINT8": 1}


def measure(cases, runners, settings):
    """A row for each case: latencies of both kinds with one connection."""
    if not shutil.which("wrk"):
        return []
    return [row(case, runners, settings) for case in cases]


def row(case, runners, settings):
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        config = directory / "sedge.toml"
        model = Path(runners.path(case["model"], package=True)).absolute()
        config.write_text("".join(
            f'[[service]]\nname = "{kind}"\nmodel = "{model}"\nisolation = "{kind}"\n'
            for kind in KINDS))
        environment = request(case, directory)
        port = server.free_port()
        command = [runners.sedge, "serve", "--config", config, "--root", directory / "root",
                   "--listen", f"127.0.0.1:{port}"]
        ran = {kind: [] for kind in KINDS}
        with server.Server(command, port, {**os.environ, "SEDGE_LOG": "warn"}):
            for turn in range(settings["rounds"] + 1):
                for kind in KINDS:
                    path = f"/v2/models/{kind}/infer" if "shape" in case \
                        else f"/endpoints/{kind}/invocations"
                    seconds = settings["seconds"] if turn else 1  # the first one warms
                    ran[kind].append(server.wrk(port, "body", path, 1, seconds, environment))
        middle = {kind: {key: statistics.median(result[key] for result in results[1:])
                         for key in ("p50_us", "p99_us", "per_s")}
                  for kind, results in ran.items()}
        rounds = {kind: [result["p50_us"] for result in results[1:]]
                  for kind, results in ran.items()}
        return {"name": case["name"], "bytes": Path(environment["BODY"]).stat().st_size,
                "rounds_p50_us": rounds, **middle}


def request(case, directory):
    """What `body.lua` finds in its environment."""
    if "picture" in case:
        return {"BODY": str(Path(case["picture"]).absolute()), "TYPE": "image/jpeg", "HEAD": "0"}
    size = PIXELS[case["datatype"]]
    for dimension in case["shape"]:
        size *= dimension
    head = json.dumps({
        "inputs": [{"name": "input", "shape": case["shape"], "datatype": case["datatype"],
                    "parameters": {"binary_data_size": size}}],
        "parameters": {"binary_data_output": True}}).encode()
    body = directory / "body"
    body.write_bytes(head + bytes(size))
    return {"BODY": str(body), "TYPE": "application/octet-stream", "HEAD": str(len(head))}
