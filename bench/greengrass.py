"""What a function of Greengrass V1 waits for: its connector through the SDK, the same service over
HTTP, and OpenCV and MXNet in the function itself, as before connectors."""

import functools
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import server

HERE = Path(__file__).parent
STAND_IN = HERE.parent / "tests/greengrass/greengrass_machine_learning_sdk"
REGION, ACCOUNT = "eu-west-1", "123456789012"


def measure(cases, runners, settings):
    """A row for each case: medians in microseconds."""
    return [row(case, runners, settings) for case in cases]


def row(case, runners, settings):
    picture, model = Path(case["picture"]).absolute(), Path(case["model"]).absolute()
    count, rounds = case["count"], settings["rounds"]
    with tempfile.TemporaryDirectory() as directory:
        found = connector(Path(directory), runners, model, picture, count, rounds)
    if runners.mxnet:
        prefix = next(model.glob("*-symbol.json")).name.removesuffix("-symbol.json")
        epoch = next(model.glob("*.params")).stem.rpartition("-")[2]
        command = [runners.mxnet, HERE / "greengrass/own_function.py", model / prefix, epoch,
                   picture, case["edge"], count, rounds]
        ran = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(ran.stderr)
        found["mxnet"] = json.loads(ran.stdout.splitlines()[-1])
    return {"name": case["name"], "bytes": picture.stat().st_size, "rounds_p50_us": found,
            "p50_us": {way: statistics.median(medians) for way, medians in found.items()}}


def connector(directory, runners, model, picture, count, rounds):
    """Medians of a function's calls, by way."""
    directory.chmod(0o711)
    bucket = directory / "models/greengrass-bench"
    bucket.mkdir(parents=True)
    with tarfile.open(bucket / "model.tar.gz", "w:gz") as tar:
        for file in model.iterdir():
            tar.add(file, arcname=file.name)
    code = directory / "lambda/bench"
    shutil.copytree(STAND_IN, code / STAND_IN.name)
    shutil.copy(HERE / "greengrass/connector_function.py", code / "bench.py")
    results = directory / "results"
    results.mkdir()
    results.chmod(0o777)
    port, result = server.free_port(), results / "result.json"
    variables = {"PICTURE": picture, "HTTP_PORT": port, "RESULT": result, "COUNT": count,
                 "ROUNDS": rounds}
    (directory / "group.json").write_text(json.dumps(group(variables)))
    handler = functools.partial(Quiet, directory=directory / "models")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        (directory / "sedge.toml").write_text(
            f"[s3]\nendpoint = 'http://127.0.0.1:{store.server_port}'\npath_style = true\n"
            f"credentials = 'anonymous'\nregion = '{REGION}'\n"
            f"[greengrass]\nport = 0\npython = '{sys.executable}'\n")
        command = [runners.sedge, "serve", "--group", directory / "group.json", "--config",
                   directory / "sedge.toml", "--root", directory / "root", "--lambda-dir",
                   directory / "lambda", "--listen", f"127.0.0.1:{port}"]
        with server.Server(command, port, {**os.environ, "SEDGE_LOG": "warn"}):
            until = time.monotonic() + 60 + rounds * count
            while not result.exists():
                if time.monotonic() > until:
                    logs = (directory / "root/greengrass/ggc/var/log").rglob("*.log")
                    raise RuntimeError("\n".join(log.read_text()[-2000:] for log in logs))
                time.sleep(0.2)
            store.shutdown()
    return json.loads(result.read_text())


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def group(variables):
    job = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/bench"
    return {
        "Connectors": [{
            "Id": "classification",
            "ConnectorArn": f"arn:aws:greengrass:{REGION}::/connectors/"
                            "ImageClassificationx86-64/versions/2",
            "Parameters": {
                "MLModelDestinationPath": "/model", "MLModelResourceId": "model",
                "MLModelSageMakerJobArn": job, "LocalInferenceServiceName": "classifier",
                "LocalInferenceServiceTimeoutSeconds": "10",
                "LocalInferenceServiceMemoryLimitKB": "512000"}}],
        "Functions": [{
            "Id": "bench", "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:bench:1",
            "FunctionConfiguration": {
                "Pinned": True, "MemorySize": 200000, "Timeout": 600,
                "Environment": {"Variables": {name: str(it) for name, it in variables.items()}}}}],
        "Resources": [{
            "Id": "model", "Name": "model", "ResourceDataContainer": {
                "S3MachineLearningModelResourceData": {
                    "DestinationPath": "/model",
                    "S3Uri": "s3://greengrass-bench/model.tar.gz"}}}],
    }
