"""The seed accelerator, as `examples/greengrass-v1-accelerator` has it: each variant, end to end.

What is published, sampled and kept has to be in the shapes that its users' clouds know.
"""

import math
import sys

import pytest

import sedge

sys.path.insert(0, str(sedge.ROOT / "examples/greengrass-v1-accelerator"))

import place  # noqa: E402

TOPIC = f"mli/predictions/{place.CORE}"
FEEDBACK = "feedback/message/prediction"
PREFIXES = {"RandomSamplingConfiguration": "mlfeedback-random", "LC50": "confidence-lower-than-50",
            "Entropy": "entropy"}
# As `sedge infer` says of the pictures; all others are below a half.
LABELS = ["Egyptian cat", "espresso", "pill bottle", "macaw", "whippet", "daisy"]
SURE = {"macaw", "daisy"}


@pytest.fixture(scope="module")
def cloud():
    with place.cloud() as cloud:
        yield cloud


@pytest.fixture
def accelerator(cloud, tmp_path):
    """Starts a variant; ends everything."""
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(directory.stat().st_mode | 0o711)
    cloud.empty()
    (tmp_path / "broker").mkdir()
    (tmp_path / "device").mkdir()
    broker = place.Broker(tmp_path / "broker")
    listener = place.Listener(broker, "#")
    yield lambda variant: (place.Device(tmp_path / "device", variant, broker, cloud), listener)
    listener.stop()
    broker.stop()


def entropy(scores):
    total = sum(scores)
    return -sum(score / total * math.log(score / total) for score in scores if score > 0)


def check_feedback(listener, cloud, least):
    """Each sample that was told is in the bucket, under its prefix, by its rule."""
    told = listener.json(FEEDBACK, least)
    samples = {key: (content_type, metadata) for key, content_type, metadata, _ in cloud.samples()}
    pictures = {sedge.picture(name) for name in place.PICTURES}
    assert all(body in pictures for *_, body in cloud.samples())
    for message in told:
        assert list(message) == ["source-ref", "model-prediction", "config-id", "metadata"]
        scores, name = message["model-prediction"], message["config-id"]
        assert len(scores) == 1001
        key = message["source-ref"].removeprefix(f"s3://{place.SAMPLES}/")
        assert key.startswith(PREFIXES[name] + "/")
        # Only the first configuration has extensions, of which the fitting one is taken.
        assert key.endswith((".png", ".jpg")) == (name == "RandomSamplingConfiguration")
        content_type, metadata = samples[key]
        assert content_type == "image/jpeg,image/png", "as it was configured"
        assert "publish-ts" in metadata and "publish-ts" in message["metadata"]
        assert name != "LC50" or max(scores) <= 0.5
        assert name != "Entropy" or entropy(scores) > 1.0
    assert {"LC50", "Entropy"} <= {message["config-id"] for message in told}
    # Nobody subscribed to status and metrics.
    assert {topic for topic, _ in listener.messages} == {TOPIC, FEEDBACK}
    return told


def test_the_connector_answers_and_samples_leave(accelerator, cloud):
    device, listener = accelerator("connector")
    with device.serves():
        predictions = listener.json(TOPIC, 6, timeout=120)[:6]
        assert all(set(one) == {"confidence", "prediction"} for one in predictions)
        assert all(type(one["confidence"]) is float for one in predictions)
        assert [one["prediction"] for one in predictions] == LABELS, device.logs()
        assert all((one["confidence"] > 0.5) == (one["prediction"] in SURE) for one in predictions)
        check_feedback(listener, cloud, 8)


def test_a_model_from_s3_answers_and_samples_leave(accelerator, cloud):
    device, listener = accelerator("s3-model")
    with device.serves():
        messages = listener.json(TOPIC, 4, timeout=120)[:4]
        names = [message["image_name"] for [message] in messages]
        assert names == sorted(place.PICTURES)[:4], device.logs()
        for [message] in messages:
            assert list(message) == ["confidence", "prediction", "image_name"]
            assert all(type(value) is str for value in message.values())
        assert [one["prediction"] for [one] in messages] == LABELS[:4]
        told = check_feedback(listener, cloud, 6)
        assert all(message["metadata"]["image-name"] in names for message in told)


def test_a_configuration_alone_does_the_same(accelerator, cloud):
    device, listener = accelerator("native")
    with device.serves() as server:
        place.send(server, place.PICTURES)
        predictions = listener.json(TOPIC, len(LABELS))
        assert [one["prediction"] for one in predictions] == LABELS
        assert all(list(one) == ["confidence", "prediction"] for one in predictions)
        place.settled(cloud)
        by_prefix = {prefix: [] for prefix in PREFIXES.values()}
        for key, content_type, metadata, body in cloud.samples():
            prefix, name = key.split("/")
            by_prefix[prefix].append(metadata["label"])
            kind = "png" if body[:4] == b"\x89PNG" else "jpeg"
            assert content_type == f"image/{kind}"
            assert name.endswith(".png" if kind == "png" else ".jpg")
        assert set(by_prefix["confidence-lower-than-50"]) == set(LABELS) - SURE
        assert not SURE & set(by_prefix["entropy"])
        assert set(by_prefix["mlfeedback-random"]) <= set(LABELS)
