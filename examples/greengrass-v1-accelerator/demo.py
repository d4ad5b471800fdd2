"""Runs a variant of the accelerator and shows what leaves the device."""

import argparse
import json
import tempfile
from itertools import cycle, islice
from pathlib import Path

import place

TOPIC = f"mli/predictions/{place.CORE}"


def shown(payload):
    """A message without its thousand probabilities."""
    message = json.loads(payload)
    if isinstance(message, dict) and "model-prediction" in message:
        scores = message["model-prediction"]
        message["model-prediction"] = f"{len(scores)} probabilities, at most {max(scores):.3f}"
    return json.dumps(message)


class Screen(place.Listener):
    """Prints messages as they come."""

    def _keep(self, client, data, message):
        print(f"{message.topic}  {shown(message.payload)}", flush=True)
        super()._keep(client, data, message)


def run(variant, count, directory):
    (directory / "broker").mkdir()
    (directory / "device").mkdir()
    broker = place.Broker(directory / "broker")
    try:
        with place.cloud() as cloud:
            device = place.Device(directory / "device", variant, broker, cloud)
            screen = Screen(broker, "#")
            with device.serves() as server:
                if variant == "native":
                    place.send(server, islice(cycle(place.PICTURES), count))
                screen.wait(TOPIC, count, timeout=60 + 10 * count)
                place.settled(cloud)
            screen.stop()
            print(f"\nin s3://{place.SAMPLES}:")
            for key, content_type, metadata, body in cloud.samples():
                print(f"{key}\n  {content_type}, {len(body)} bytes, {json.dumps(metadata)}")
    finally:
        broker.stop()


def main():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("variant", nargs="?", default="connector",
                        choices=["connector", "s3-model", "native"])
    parser.add_argument("--predictions", type=int, default=6, metavar="N",
                        help="ends after so many (default: %(default)s)")
    arguments = parser.parse_args()
    # Below /tmp, where functions of another user get to.
    with tempfile.TemporaryDirectory(prefix="accelerator-") as directory:
        Path(directory).chmod(0o755)
        run(arguments.variant, arguments.predictions, Path(directory))


if __name__ == "__main__":
    main()
