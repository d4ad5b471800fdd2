"""A `sedge serve` process for tests, and what it is asked with."""

import io
import json
import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[2]
TESTDATA = ROOT / "testdata"
IMAGES = TESTDATA / "images"
MODELS = TESTDATA / "models"
SEDGE = os.environ.get("SEDGE", str(ROOT / "target/debug/sedge"))

# For all servers of the run, such as `--engine onnxruntime`.
FLAGS = os.environ.get("SEDGE_SERVE_FLAGS", "").split()


class Server:
    """A running server; its log is read as it comes."""

    def __init__(self, models, *flags, listen="127.0.0.1:0"):
        command = [SEDGE, "serve", *map(str, models), "--listen", listen]
        command += ["--log-format", "json", *FLAGS, *map(str, flags)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.lines = []
        self._new = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self.event("listening", timeout=60)["address"]
        self.url = f"http://{self.address}"

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode())
            self._new.put(line)
        self._new.put(None)

    def event(self, message, timeout=10):
        """Waits for the next event of this name."""
        deadline = time.monotonic() + timeout
        while True:
            line = self._new.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line and line[:1] == b"{", f"no '{message}' came:\n{''.join(self.lines)}"
            event = json.loads(line)
            if event["message"] == message:
                return event

    def events(self):
        return [json.loads(line) for line in list(self.lines)]

    def memory(self, key="VmHWM"):
        """Bytes from /proc; by default the most that was ever resident."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(key)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout=30):
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        return status

    def boto3(self, **config):
        """The client as applications make it, but for the address and made-up credentials."""
        return boto3.client(
            "sagemaker-runtime",
            endpoint_url=self.url,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(**config) if config else None,
        )


@contextmanager
def serving(models, *flags):
    server = Server([MODELS / model for model in models], *flags)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.terminate()
            try:
                server.wait()
            finally:
                server.process.kill()


def picture(name):
    return (IMAGES / name).read_bytes()


def upright(name):
    """The picture as Pillow shows it to a person."""
    return ImageOps.exif_transpose(Image.open(IMAGES / name)).convert("RGB")


def png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
