"""A day of operation, as fast as the machine goes: memory is flat at its end, and counters agree.

A plain service publishes each of its predictions and gives a random part of its pictures away,
with a budget. Meanwhile the broker ends and comes back, connections are cut, the bucket is away,
and the configuration is read again with other settings of the broker.
"""

import http.client
import json
import os
import random
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from broker import Listener
from test_egress import SAMPLES, broker, samples, until  # noqa: F401: fixtures
from test_greengrass import KEYS, cloud  # noqa: F401: a fixture
from way import Way

import sedge

SEED = int(os.environ.get("SEDGE_DAY_SEED", random.SystemRandom().randrange(1 << 32)))
HOURS = int(os.environ.get("SEDGE_DAY_HOURS", 1))
EACH_HOUR = 3600
CLIENTS = 2
EVENTS = ["broker restarts", "connection cut", "bucket away", "bucket back", "bucket cut",
          "configuration", "nothing"]
# Something happens ten times in an hour.
STRETCH = EACH_HOUR // 10
# After a tenth of the day everything has been done that is done again later.
FLAT = 1.05
SLACK = 2 << 20


class Day:
    """The program, who asks it, and what stands between it and the world."""

    def __init__(self, place, endpoint, broker):  # noqa: F811
        self.broker, self.endpoint = broker, endpoint
        self.broker_way, self.s3_way = Way(broker.port), Way(urlsplit(endpoint).port)
        self.mqtt = broker.settings("camera-8", self.broker_way.port)
        self.config, self.reloads, self.asked = place / "sedge.toml", 0, 0
        self.picture = (sedge.IMAGES / "shapes/shape_star.png").read_bytes()
        self.write()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**KEYS,
                                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.s3_way.port}"}.items():
                patch.setenv(name, value)
            self.server = sedge.Server([], "--config", self.config, "--root", place / "root")

    def write(self):
        """The configuration, with as many messages under way as the number of its version says."""
        self.config.write_text(self.mqtt + f"""max_in_flight = {20 + self.reloads % 7}
[cloud]
thing = "camera-8"
[[feedback]]
name = "some"
bucket = "{SAMPLES}"
prefix = "day"
strategy = "random"
rate = 0.05
daily_mib = {HOURS}
[[service]]
name = "shapes"
model = "{sedge.MODELS / 'mxnet-sagemaker-classifier'}"
feedback = ["some"]
[service.publish]
topic = "day/shapes"
payload = '{{"id":"${{id}}","label":"${{label}}"}}'
""")

    def ask(self, numbers):
        """Predictions for pictures of which no two are the same file."""
        client = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=60)
        for number in numbers:
            client.request("POST", "/endpoints/shapes/invocations",
                           self.picture + number.to_bytes(8, "big"), {"Content-Type": "image/png"})
            answer = client.getresponse()
            said = answer.read()
            assert answer.status == 200, said
        client.close()

    def predicts(self, count, meanwhile):
        numbers = range(self.asked, self.asked + count)
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            beside = pool.submit(meanwhile)
            list(pool.map(self.ask, [numbers[client::CLIENTS] for client in range(CLIENTS)]))
            beside.result()
        self.asked += count

    def happens(self, what, chance):
        """While predictions are asked for."""
        match what:
            case "broker restarts":
                self.broker.stop()
                self.broker.start()
            case "connection cut":
                self.broker_way.cut(chance.randrange(1, 20_000))
            case "bucket away":
                self.s3_way.close()
            case "bucket back":
                self.s3_way.heal()
            case "bucket cut":
                self.s3_way.heal()
                self.s3_way.cut(chance.randrange(1, 20_000))
            case "configuration":
                self.read_again()

    def read_again(self):
        self.reloads += 1
        self.write()
        self.server.process.send_signal(signal.SIGHUP)
        self.server.event("read the configuration again", timeout=60)

    def counts(self):
        text = urlopen(f"{self.server.url}/metrics", timeout=30).read().decode()
        found = re.findall(r"^(sedge_(?:spool|mqtt|uploads|samples|answers)\S*) (\S+)$", text, re.M)
        return {name: float(value) for name, value in found}

    def waiting(self):
        return sum(value for name, value in self.counts().items()
                   if name.startswith("sedge_spool_records"))

    def quiet(self):
        """Everything is whole again, and nothing waits. New settings end pauses after failures."""
        self.broker_way.heal()
        self.s3_way.heal()
        self.read_again()
        until("nothing waits", lambda: self.waiting() == 0, timeout=300)

    def size(self):
        """Resident bytes, those in proportion, descriptors and threads."""
        process = Path(f"/proc/{self.server.process.pid}")
        pss = re.search(r"^Pss:\s+(\d+)", (process / "smaps_rollup").read_text(), re.M)
        return {"VmRSS": self.server.memory("VmRSS"), "PSS": int(pss[1]) * 1024,
                "descriptors": len(list((process / "fd").iterdir())),
                "threads": len(list((process / "task").iterdir()))}


def total(counts, name, **labels):
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(value for key, value in counts.items()
               if key.partition("{")[0] == name and all(label in key for label in wanted))


def test_a_day_leaves_no_trace(cloud, samples, broker, tmp_path):  # noqa: F811
    chance = random.Random(SEED)
    print(f"SEDGE_DAY_SEED={SEED} SEDGE_DAY_HOURS={HOURS}")
    listener = Listener(broker, "day/#")
    day = Day(tmp_path, cloud[0], broker)
    try:
        stretches, first, happened, deck = HOURS * EACH_HOUR // STRETCH, None, {}, []
        for number in range(stretches):
            # In any order, but each of them within an hour.
            deck = deck or chance.sample(EVENTS, len(EVENTS))
            what = deck.pop()
            happened[what] = happened.get(what, 0) + 1
            day.predicts(STRETCH, lambda: day.happens(what, chance))
            if number + 1 == max(1, stretches // 10):
                day.quiet()
                first = day.size()
        day.quiet()
        last, counts = day.size(), day.counts()
        print(f"{day.asked} predictions; {happened}\nafter a tenth {first}\nat the end {last}")

        # What arrived, what was taken, and what Sedge says of both.
        missed = total(counts, "sedge_answers_missed_total")
        appended = total(counts, "sedge_spool_appended_total", destination="mqtt")
        delivered = total(counts, "sedge_spool_delivered_total", destination="mqtt")
        until("all messages", lambda: len(listener.of("day/shapes")) >= appended)
        ids = {json.loads(payload)["id"] for payload in listener.of("day/shapes")}
        print(f"{len(ids)} messages, {appended} kept, {delivered} delivered, {missed} missed")
        assert len(ids) == appended == delivered == day.asked - missed and missed == 0

        pages = samples.get_paginator("list_objects_v2").paginate(Bucket=SAMPLES, Prefix="day/")
        found = sum(len(page.get("Contents", [])) for page in pages)
        kept = total(counts, "sedge_spool_appended_total", destination=f"s3.{SAMPLES}")
        brought = total(counts, "sedge_spool_delivered_total", destination=f"s3.{SAMPLES}")
        print(f"{found} samples, {kept} kept, {brought} delivered")
        assert found == kept == brought > 0
        assert total(counts, "sedge_spool_dropped_total") == 0

        for name in ("VmRSS", "PSS"):
            assert last[name] <= FLAT * first[name] + SLACK, (name, first, last)
        # The runtime keeps threads for files some seconds longer than it needs them.
        for name in ("descriptors", "threads"):
            until(f"as few {name} as {first}", lambda: day.size()[name] <= first[name])
    finally:
        day.server.terminate()
        assert day.server.wait() == 0
        day.broker_way.close()
        day.s3_way.close()
        listener.stop()
