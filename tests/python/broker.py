"""A real mosquitto with mutual TLS, and a client of it, for tests."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def program():
    """Debian has it where ordinary users do not look."""
    found = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, "mosquitto is missing. Hint: apt-get install mosquitto"
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Certificates of an authority, a broker and devices."""

    def __init__(self, directory):
        self.directory = Path(directory)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "2", "-subj", "/CN=tests", "-keyout", self.path("ca.key"),
                "-out", self.path("ca.pem"))
        self.issue("broker")

    def path(self, name):
        return self.directory / name

    def issue(self, name):
        """Key and certificate for a name, as files that anybody may read."""
        key, request, certificate = (self.path(f"{name}.{end}") for end in ("key", "csr", "pem"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self.path("names.cnf")
        extensions.write_text(NAMES)
        openssl("x509", "-req", "-in", request, "-CA", self.path("ca.pem"),
                "-CAkey", self.path("ca.key"), "-CAcreateserial", "-days", "2",
                "-extfile", extensions, "-out", certificate)
        for file in (key, certificate):
            file.chmod(0o644)
        return key, certificate


class Broker:
    """A mosquitto that lets in who has a certificate; it can be ended and come back."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.authority = Authority(directory)
        self.port, self.process = free_port(), None
        (self.directory / "mosquitto.conf").write_text("\n".join([
            "user root", f"listener {self.port} 127.0.0.1",
            f"cafile {self.authority.path('ca.pem')}",
            f"certfile {self.authority.path('broker.pem')}",
            f"keyfile {self.authority.path('broker.key')}",
            "require_certificate true", "use_identity_as_username true",
            "message_size_limit 131072", "max_queued_messages 0", "max_inflight_messages 0",
            "persistence true", f"persistence_location {self.directory}/",
            f"log_dest file {self.directory}/mosquitto.log", "",
        ]))
        self.start()

    def start(self):
        self.process = subprocess.Popen([program(), "-c", self.directory / "mosquitto.conf"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.05)

    def stop(self, kill=False):
        self.process.kill() if kill else self.process.terminate()
        self.process.wait()

    def settings(self, name, port=None):
        """`[mqtt]` of a device with this name, which may know another port than the broker's."""
        key, certificate = self.authority.issue(name)
        return (f"[mqtt]\nhost = 'localhost'\nport = {port or self.port}\n"
                f"ca_file = '{self.authority.path('ca.pem')}'\n"
                f"cert_file = '{certificate}'\nkey_file = '{key}'\n")


class Listener:
    """A client that keeps what is published under a filter, in its order."""

    def __init__(self, broker, *filters):
        self.messages, self.arrived = [], threading.Condition()
        key, certificate = broker.authority.issue("listener")
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="listener",
                                  clean_session=False)
        self.client.tls_set(str(broker.authority.path("ca.pem")), str(certificate), str(key))
        self.client.on_connect = lambda client, *_: [client.subscribe(one, qos=1)
                                                     for one in filters]
        self.subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._keep
        self.client.reconnect_delay_set(0.1, 1)
        self.client.connect("localhost", broker.port)
        self.client.loop_start()
        assert self.subscribed.wait(20)

    def _keep(self, _client, _data, message):
        with self.arrived:
            self.messages.append((message.topic, message.payload))
            self.arrived.notify_all()

    def of(self, topic):
        with self.arrived:
            return [payload for name, payload in self.messages if name == topic]

    def wait(self, topic, count=1, timeout=60):
        """The payloads of a topic, as soon as there are so many."""
        with self.arrived:
            found = self.arrived.wait_for(
                lambda: sum(name == topic for name, _ in self.messages) >= count, timeout)
            assert found, f"{topic}: {[name for name, _ in self.messages]}"
        return self.of(topic)

    def json(self, topic, count=1, timeout=60):
        return [json.loads(payload) for payload in self.wait(topic, count, timeout)]

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()
