"""Nothing that was taken from its caller is lost: networks that are cut, brokers and cores that end.

A function with the real `greengrasssdk` publishes numbered messages and hands over numbered samples.
It writes a number down when the call returned without error, and goes on from there when it is
started again. What arrived is looked for at a client of the broker and in the bucket, not in what
Sedge says of itself. Between the core and them is a network that a test cuts, slows and holds.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import test_greengrass as greengrass
from broker import Listener
from test_egress import FEEDBACK, SAMPLES, broker, samples, until  # noqa: F401: fixtures
from test_greengrass import ACCOUNT, REGION, cloud  # noqa: F401: a fixture
from way import Way

import sedge

SEED = int(os.environ.get("SEDGE_KILL_SEED", random.SystemRandom().randrange(1 << 32)))
ROUNDS = int(os.environ.get("SEDGE_KILL_ROUNDS", 30))
TOPICS = 3

# What is written down was taken: the caller has seen no error.
LOAD = """
import json
import os
import random
import threading
import time

import greengrass_machine_learning_sdk as ml
import greengrasssdk

iot = greengrasssdk.client('iot-data')
feedback = ml.client('feedback')
most = {name: int(os.environ[name]) for name in ('messages', 'samples')}
again = os.environ['AGAIN'] == 'yes'


def message(number):
    text = json.dumps({'n': number, 'x': 'x' * int(os.environ['MESSAGE_BYTES'])})
    iot.publish(topic='load/%d' % (number % 3), payload=text, queueFullPolicy='AllOrException')


def sample(number):
    content = b'%08d' % number + os.urandom(random.randrange(1, int(os.environ['SAMPLE_BYTES'])))
    feedback.publish(ConfigId='All', ModelInput=content, ModelPrediction=[number],
                     Metadata={'n': number})


def written(name):
    path = os.path.join(os.environ['PLACE'], name)
    file = open(path, 'a+')
    file.seek(0)
    return file, len(file.readlines())


def hand_over(name, one):
    (taken, number), (refused, others) = written(name), written(name + '-refused')
    number += 0 if again else others
    while number < most[name]:
        try:
            one(number)
            taken.write('%d\\n' % number)
            taken.flush()
        except Exception as error:
            refused.write('%d %s\\n' % (number, str(error).replace('\\n', ' ')))
            refused.flush()
            if again:
                time.sleep(0.05)
                continue
        number += 1
        time.sleep(float(os.environ['PAUSE_S']))


for name, one in (('messages', message), ('samples', sample)):
    threading.Thread(target=hand_over, args=(name, one), daemon=True).start()


def function_handler(event, context):
    return
"""


def group(**variables):
    """The function, and the connector that takes its samples."""
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:load:1"
    configuration = {"All": {
        "s3-bucket-name": SAMPLES, "s3-prefix": "all", "content-type": "image/png",
        "file-ext": "png",
        "sampling-strategy": {"strategy-name": "RANDOM_SAMPLING", "rate": 1}}}
    ways = [(function, "load/#"), (FEEDBACK, "feedback/message/prediction")]
    return {
        "GroupId": "5f1c1e0a-9c52-4c5e-8f0b-2d1a7f3e6b12",
        "Connectors": [{"Id": "feedback", "ConnectorArn": FEEDBACK, "Parameters": {
            "FeedbackConfigurationMap": json.dumps(configuration)}}],
        "Functions": [greengrass.function("load", **variables)],
        "Resources": [],
        "Subscriptions": [{"Id": f"way-{n}", "Source": source, "Subject": subject,
                           "Target": "cloud"} for n, (source, subject) in enumerate(ways)],
        "Cores": [{"Id": "core", "CertificateArn": "arn:aws:iot:x",
                   "ThingArn": f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/load_Core"}],
    }


class Site:
    """A device with that group, and the ways from it to the broker and to S3."""

    def __init__(self, directory, endpoint, broker, settings="", **variables):  # noqa: F811
        import greengrasssdk
        directory = greengrass.reachable(directory) / "site"
        directory.mkdir()
        self.place = directory / "written"
        self.place.mkdir()
        self.place.chmod(0o777)
        self.broker, self.broker_way = broker, Way(broker.port)
        self.s3_way = Way(urlsplit(endpoint).port)
        self.root, self.log, self.core = directory / "root", directory / "log", None
        variables = {
            "PLACE": self.place, "AGAIN": "yes", "PAUSE_S": 0.04, "MESSAGE_BYTES": 100,
            "SAMPLE_BYTES": 40000, "messages": 10**9, "samples": 10**9, **variables}
        definitions = group(**{name: str(value) for name, value in variables.items()})
        (directory / "group.json").write_text(json.dumps(definitions))
        sdks = os.path.dirname(greengrasssdk.__file__), greengrass.STAND_IN
        greengrass.put(directory / "lambda", "load", LOAD, *map(greengrass.Path, sdks))
        (directory / "sedge.toml").write_text(
            f"[greengrass]\nport = 0\npython = '{sys.executable}'\nallow_root = true\n"
            + broker.settings("load_Core", self.broker_way.port) + settings)
        self.environment = {**os.environ, **greengrass.KEYS,
                            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.s3_way.port}"}
        self.command = [
            sedge.SEDGE, "serve", "--listen", "127.0.0.1:0", "--root", self.root,
            "--group", directory / "group.json", "--config", directory / "sedge.toml",
            "--lambda-dir", directory / "lambda"]

    def start(self):
        with self.log.open("ab") as log:
            self.begun = log.tell()
            self.core = subprocess.Popen(self.command, env=self.environment,
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self):
        assert self.core.poll() is None, f"the core ended by itself: {self.told()}"
        self.core.kill()
        self.core.wait()

    def address(self):
        """Where it listens, as soon as it does."""
        return until("it listens", lambda: re.findall(
            r"listening address=(\S+)", self.log.read_text()[self.begun:]))[0]

    def end(self):
        """Asks it to end, as an operator does."""
        self.address()
        self.core.send_signal(signal.SIGTERM)
        assert self.core.wait(30) == 0, self.told()

    def told(self):
        logs = (self.root / "greengrass/ggc/var/log").rglob("*.log")
        return "\n".join(f"== {file}\n{file.read_text()[-3000:]}" for file in [self.log, *logs])

    def written(self, name):
        """The numbers of a file that the function writes, and what it says of them."""
        path = self.place / name
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return {int(line.split(" ")[0]): line for line in lines}

    def spool(self, *arguments):
        """What the command says of the spool."""
        command = [sedge.SEDGE, "spool", *arguments, "--root", self.root, "--format", "json"]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    def lane(self, destination):
        [lane] = [lane for lane in self.spool("list")["lanes"]
                  if lane["destination"] == destination]
        return lane

    def metrics(self):
        """What it tells of the spool to whoever scrapes it."""
        text = urlopen(f"http://{self.address()}/metrics", timeout=10).read().decode()
        return dict(re.findall(r"^(sedge_spool_\S+) (\S+)$", text, re.M))


@contextmanager
def site(*arguments, **variables):
    made = Site(*arguments, **variables)
    try:
        yield made
    except BaseException:
        print(made.told())
        raise
    finally:
        if made.core is not None and made.core.poll() is None:
            made.core.kill()
            made.core.wait()
        made.broker_way.close()
        made.s3_way.close()


def messages_at(listener):
    """The numbers that arrived, by topic, in the order of their first arrival."""
    arrived = {f"load/{n}": [] for n in range(TOPICS)} | {"feedback/message/prediction": []}
    with listener.arrived:
        told = list(listener.messages)
    for topic, payload in told:
        if topic in arrived:
            said = json.loads(payload)
            arrived[topic].append(said["n"] if "n" in said else said["metadata"]["n"])
    return {topic: list(dict.fromkeys(numbers)) for topic, numbers in arrived.items()}


def published(listener):
    return {n for topic, numbers in messages_at(listener).items()
            if topic.startswith("load/") for n in numbers}


def predicted(listener):
    return set(messages_at(listener)["feedback/message/prediction"])


class Stored:
    """The numbers of the samples in the bucket, read in their bytes."""

    def __init__(self, s3):
        self.s3, self.numbers = s3, {}

    def __call__(self):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=SAMPLES, Prefix="all/")
        keys = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
        with ThreadPoolExecutor(4) as pool:
            new = sorted(keys - self.numbers.keys())
            self.numbers.update(zip(new, pool.map(self.number, new)))
        return set(self.numbers.values())

    def number(self, key):
        body = self.s3.get_object(Bucket=SAMPLES, Key=key, Range="bytes=0-7")["Body"]
        return int(body.read())


def in_order(listener):
    """Numbers that arrive once more do so after a break; new ones come in their order."""
    for topic, numbers in messages_at(listener).items():
        falls = [pair for pair in zip(numbers, numbers[1:]) if pair[0] > pair[1]]
        assert not falls, f"{topic}: {falls[:10]}"


def disturb(way, random):
    """Something that happens to a network."""
    way.heal()
    match random.choice(["nothing", "cut", "cut", "cut", "slow", "hold", "close"]):
        case "cut":
            way.cut(random.choice([random.randrange(1, 3000), random.randrange(1, 200_000)]))
        case "slow":
            way.slow(random.uniform(0.01, 0.2))
        case "hold":
            way.hold()
        case "close":
            way.close()


class Trouble:
    """A broker that ends now and then and comes back, by day and by night."""

    def __init__(self, site, listener):
        self.site, self.listener = site, listener

    def strike(self, random):
        broker = self.site.broker
        match random.choice(["nothing"] * 5 + ["stop", "restart", "kill"]):
            case "stop":
                broker.stop()
            case "restart":
                broker.stop()
                broker.start()
            case "kill":
                # This broker answers before it writes down: what it took and did not pass on ends
                # with it, which no client can mend. So it has passed everything on before.
                self.site.broker_way.close()
                self.drained()
                self.listener.subscribed.clear()
                broker.stop(kill=True)
                broker.start()
                assert self.listener.subscribed.wait(60)

    def end(self):
        if self.site.broker.process.poll() is not None:
            self.site.broker.start()

    def drained(self):
        """Until everything that the broker took is here."""
        mark = os.urandom(8).hex()
        self.listener.client.publish(f"mark/{mark}", b"", qos=1)
        self.listener.wait(f"mark/{mark}")


def until_all(taken, arrived, patience=60):
    """Until everything that was taken is there; as long as it takes, while something arrives."""
    before, deadline = None, 0
    while missing := taken - arrived():
        if missing != before:
            before, deadline = missing, time.monotonic() + patience
        assert time.monotonic() < deadline, f"{len(missing)} are missing: {sorted(missing)[:20]}"
        time.sleep(0.5)


def test_what_was_taken_arrives(cloud, samples, broker, tmp_path):  # noqa: F811
    chance = random.Random(SEED)
    print(f"SEDGE_KILL_SEED={SEED} SEDGE_KILL_ROUNDS={ROUNDS}")
    listener = Listener(broker, "load/#", "feedback/message/prediction", "mark/#")
    stored = Stored(samples)
    with site(tmp_path, cloud[0], broker) as device:
        trouble = Trouble(device, listener)
        for _ in range(ROUNDS):
            device.start()
            # At any time, also before it listens.
            time.sleep(chance.uniform(0, 2))
            trouble.end()
            disturb(device.s3_way, chance)
            trouble.strike(chance)
            disturb(device.broker_way, chance)
            time.sleep(chance.uniform(0, 2))
            device.kill()
        trouble.end()
        device.broker_way.heal()
        device.s3_way.heal()
        device.start()
        before = {name: len(device.written(name)) for name in ("messages", "samples")}
        until("the function goes on", lambda: all(
            len(device.written(name)) > count + 20 for name, count in before.items()))
        device.end()
        # Nothing is handed over any more, and what waits is brought.
        (device.place / "messages").rename(device.place / "messages-taken")
        (device.place / "samples").rename(device.place / "samples-taken")
        messages, pictures = (set(device.written(f"{name}-taken")) for name in before)
        device.command[device.command.index("--group") + 1].write_text(json.dumps(
            group(PLACE=str(device.place), AGAIN="no", PAUSE_S="1", MESSAGE_BYTES="1",
                  SAMPLE_BYTES="2", messages="0", samples="0")))
        device.start()
        until_all(messages, lambda: published(listener))
        until_all(pictures, stored)
        until_all(pictures, lambda: predicted(listener))
        in_order(listener)
        until("nothing waits", lambda: not any(
            lane["records"] for lane in device.spool("list")["lanes"]))
        device.end()
        lanes = device.spool("list")["lanes"]
        assert all(lane["lost"] == lane["dropped_by_size"] == 0 for lane in lanes), lanes
        device.spool("verify")
    counts = {topic: len(listener.of(topic)) for topic in messages_at(listener)}
    print(f"{len(messages)} messages, {len(pictures)} samples were taken; arrived with "
          f"repetitions: {counts}")
    listener.stop()


BOUNDED = "[spool]\nmax_mib = 1\n"
# A record holds 56 bytes of its own, topic and quality of service, and the message.
MESSAGES = {"MESSAGE_BYTES": 8000, "messages": 300, "samples": 0, "PAUSE_S": 0}


def test_a_bound_drops_exactly_the_oldest(cloud, samples, broker, tmp_path):  # noqa: F811
    listener = Listener(broker, "load/#")
    with site(tmp_path, cloud[0], broker, BOUNDED, **MESSAGES) as device:
        device.broker_way.close()
        device.start()
        until("all are handed over", lambda: len(device.written("messages")) == 300)
        told = device.lane("mqtt")
        dropped = told["dropped_by_size"]
        assert told["appended"] == 300 and told["records"] == 300 - dropped
        # There is no room for one more, and there would be none for one that was dropped.
        each = told["bytes"] / told["records"]
        assert (1 << 20) - each < told["bytes"] <= 1 << 20
        scraped = {name: float(value) for name, value in device.metrics().items()
                   if "dropped" in name and 'destination="mqtt"' in name}
        assert sum(scraped.values()) == dropped, scraped
        device.broker_way.heal()
        until_all(set(range(dropped, 300)), lambda: published(listener))
        in_order(listener)
        assert published(listener) == set(range(dropped, 300))
        device.end()
    listener.stop()


def test_a_bound_that_refuses_tells_the_caller(cloud, samples, broker, tmp_path):  # noqa: F811
    listener = Listener(broker, "load/#", "feedback/message/prediction")
    stored = Stored(samples)
    both = {"MESSAGE_BYTES": 4000, "messages": 150, "samples": 150, "PAUSE_S": 0, "AGAIN": "no"}
    settings = BOUNDED + "on_full = 'reject'\n"
    with site(tmp_path, cloud[0], broker, settings, **both) as device:
        device.broker_way.close()
        device.s3_way.close()
        device.start()
        names = ("messages", "samples")
        until("all are handed over", lambda: all(
            len(device.written(name)) + len(device.written(f"{name}-refused")) == 150
            for name in names))
        for name in names:
            taken, refused = device.written(name), device.written(f"{name}-refused")
            assert taken and refused, name
            assert all("the spool is full" in line for line in refused.values()), refused
        device.broker_way.heal()
        device.s3_way.heal()
        messages, pictures = (set(device.written(name)) for name in names)
        until_all(messages, lambda: published(listener))
        until_all(pictures, stored)
        until_all(pictures, lambda: predicted(listener))
        in_order(listener)
        # What was refused is not there in secret.
        assert published(listener) == messages and stored() == pictures
        assert all(lane["dropped_by_size"] == 0 for lane in device.spool("list")["lanes"])
        device.end()
    listener.stop()


def test_a_spool_full_of_samples_lets_go_of_them(cloud, samples, broker, tmp_path):  # noqa: F811
    """What is told of a sample finds room where samples have taken all of it."""
    listener = Listener(broker, "feedback/message/prediction")
    stored = Stored(samples)
    settings = BOUNDED + "on_full = 'reject'\n"
    only = {"messages": 0, "samples": 2000, "SAMPLE_BYTES": 3000, "PAUSE_S": 0, "AGAIN": "no"}
    with site(tmp_path, cloud[0], broker, settings, **only) as device:
        device.s3_way.close()
        device.broker_way.close()
        device.start()
        until("all are handed over", lambda: len(device.written("samples"))
              + len(device.written("samples-refused")) == 2000)
        assert device.written("samples-refused")
        pictures = set(device.written("samples"))
        # The bucket first: what is told of them waits in the place of the samples.
        device.s3_way.heal()
        until_all(pictures, stored)
        device.broker_way.heal()
        until_all(pictures, lambda: predicted(listener))
        in_order(listener)
        device.end()
    listener.stop()


def test_samples_from_before_a_restart_are_told_of(cloud, samples, broker, tmp_path):  # noqa: F811
    """They may be in the bucket before the group that they are of is there again."""
    listener = Listener(broker, "feedback/message/prediction")
    only = {"messages": 0, "samples": 20, "AGAIN": "no"}
    with site(tmp_path, cloud[0], broker, **only) as device:
        device.s3_way.close()
        device.start()
        until("all are handed over", lambda: len(device.written("samples")) == 20)
        device.kill()
        device.s3_way.heal()
        device.start()
        until_all(set(range(20)), lambda: predicted(listener))
        in_order(listener)
        device.end()
    listener.stop()


@contextmanager
def small_disk(place, mib):
    place.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", place],
                          capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_told_and_recovers(cloud, samples, broker, tmp_path):  # noqa: F811
    listener = Listener(broker, "load/#")
    settings = "[spool]\non_full = 'reject'\n"
    endless = {"MESSAGE_BYTES": 30000, "samples": 0, "PAUSE_S": 0.002, "AGAIN": "yes"}
    with site(tmp_path, cloud[0], broker, settings, **endless) as device:
        with small_disk(device.root / "spool", 4):
            device.broker_way.close()
            device.start()
            until("the disk is full", lambda: len(device.written("messages-refused")) > 0)
            [*_, why] = device.written("messages-refused").values()
            assert "there is no space for" in why and "Hint: free space" in why, why
            count = len(device.written("messages"))
            device.kill()
            device.start()
            device.broker_way.heal()
            until("it takes messages again", lambda: len(device.written("messages")) > count + 50)
            device.end()
            # What still waits, waits for the next start.
            taken = set(device.written("messages"))
            device.start()
            until_all(taken, lambda: published(listener))
            in_order(listener)
            device.end()
    listener.stop()
