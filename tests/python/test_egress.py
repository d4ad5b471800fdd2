"""What leaves the device: a group's feedback, messages and metrics, and those of plain services.

A real mosquitto with mutual TLS, S3, SageMaker and CloudWatch as moto's server plays them, and
functions with the real `greengrasssdk`.
"""

import json
import os
import re
import signal
import time
from contextlib import contextmanager

import boto3
import pytest
import test_greengrass as greengrass
from broker import Broker, Listener
from test_greengrass import ACCOUNT, KEYS, PICTURES, REGION, cloud  # noqa: F401: a fixture
from test_metrics import OUTWARD, scrape

import sedge

SAMPLES = "orchard-samples"
FEEDBACK = f"arn:aws:greengrass:{REGION}::/connectors/MLFeedback/versions/1"
METRICS = f"arn:aws:greengrass:{REGION}::/connectors/CloudWatchMetrics/versions/4"
# As boto3 answers; HostId too where the store is Amazon's own.
KEYS_OF_STATUS = {"RequestId", "HTTPStatusCode", "HTTPHeaders", "RetryAttempts"}

# A function that publishes what it was answered, and hands a sample over by itself.
SORT = """
import json
import logging
import os
from threading import Timer

import greengrass_machine_learning_sdk as ml
import greengrasssdk

logging.getLogger().setLevel(logging.INFO)
logging.info('sorting')
inference = ml.client('inference')
feedback = ml.client('feedback')
iot = greengrasssdk.client('iot-data')

with open(os.environ['PICTURE'], 'rb') as file:
    content = file.read()


def run():
    response = inference.invoke_inference_service(
        AlgoType='image-classification', ServiceName='image-classification',
        ContentType='image/png', Body=content)
    scores = json.loads(response['Body'].read())
    best = max(range(len(scores)), key=scores.__getitem__)
    iot.publish(topic='mli/predictions/orchard',
                payload=json.dumps({'confidence': scores[best], 'prediction': best}))
    feedback.publish(ConfigId='Never', ModelInput=content, ModelPrediction=scores)
    feedback.publish(ConfigId='ByHand', ModelInput=content, ModelPrediction=[0.1 + 0.2, 1 / 3],
                     Metadata={'some-key': 'some value', 'n': 3})
    import urllib.request
    asked = urllib.request.Request(
        os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'],
        headers={'Authorization': os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN']})
    keys = json.load(urllib.request.urlopen(asked))
    iot.publish(topic='mli/keys', payload=json.dumps(sorted(keys) + [keys['AccessKeyId']]))
    try:
        feedback.publish(ConfigId='Nobody', ModelInput=content, ModelPrediction=scores)
    except Exception as error:
        iot.publish(topic='mli/errors', payload=json.dumps(str(error)))


run()


def function_handler(event, context):
    iot.publish(topic='mli/heard', payload=json.dumps(event))
"""


@pytest.fixture
def broker(tmp_path):
    place = tmp_path / "broker"
    place.mkdir()
    broker = Broker(place)
    yield broker
    broker.stop()


@pytest.fixture
def samples(cloud):  # noqa: F811
    """The bucket for samples, empty, and a client."""
    made_up = {"aws_access_key_id": "made", "aws_secret_access_key": "up"}
    s3 = boto3.client("s3", endpoint_url=cloud[0], region_name=REGION, **made_up)
    bucket = boto3.resource("s3", endpoint_url=cloud[0], region_name=REGION, **made_up)
    try:
        s3.create_bucket(Bucket=SAMPLES,
                         CreateBucketConfiguration={"LocationConstraint": REGION})
    except s3.exceptions.BucketAlreadyOwnedByYou:
        bucket.Bucket(SAMPLES).objects.all().delete()
    return s3


def listed(s3, prefix=""):
    found = s3.list_objects_v2(Bucket=SAMPLES, Prefix=prefix).get("Contents", [])
    return [entry["Key"] for entry in found]


def until(what, look, timeout=60):
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def group(job):
    """Classification with samples of everything unsure, as a template for MLFeedback has it."""
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:sort:1"
    definitions = greengrass.group(job)
    connector = definitions["Connectors"][0]
    connector["Parameters"]["MLFeedbackConnectorConfigId"] = "LC"

    def configuration(**keys):
        return {"s3-bucket-name": SAMPLES, "content-type": "image/png", **keys}

    configurations = {
        "LC": configuration(**{
            "s3-prefix": "unsure", "file-ext": "png,jpg",
            "sampling-strategy": {"strategy-name": "LEAST_CONFIDENCE", "threshold": 1.0}}),
        "Never": configuration(**{
            "sampling-strategy": {"strategy-name": "RANDOM_SAMPLING", "rate": 0}}),
        "ByHand": configuration(**{"s3-prefix": "hand", "file-ext": "png"}),
    }
    feedback = {"Id": "feedback", "ConnectorArn": FEEDBACK, "Parameters": {
        "FeedbackConfigurationMap": json.dumps(configurations), "RequestLimit": "10"}}
    metrics = {"Id": "metrics", "ConnectorArn": METRICS, "Parameters": {
        "PublishInterval": "1", "PublishRegion": REGION, "MemorySize": "16",
        "MaxMetricsToRetain": "2500"}}
    ways = [
        (function, "mli/#", "cloud"), (FEEDBACK, "feedback/message/prediction", "cloud"),
        (FEEDBACK, "feedback/message/status", "cloud"),
        (FEEDBACK, "cloudwatch/metric/put", METRICS),
        (METRICS, "cloudwatch/metric/put/status", "cloud"), ("cloud", "orders/#", function),
    ]
    subscriptions = [{"Id": f"way-{n}", "Source": source, "Subject": subject, "Target": target}
                     for n, (source, subject, target) in enumerate(ways)]
    return {
        "GroupId": definitions["GroupId"], "Connectors": [connector, feedback, metrics],
        "Functions": [greengrass.function("sort", PICTURE=str(PICTURES / "shape_star.png"))],
        "Resources": definitions["Resources"][:1], "Subscriptions": subscriptions,
        "Loggers": [{"Id": kind, "Type": "AWSCloudWatch", "Component": kind, "Level": "INFO"}
                    for kind in ("Lambda", "GreengrassSystem")],
        "Cores": [{"Id": "core", "CertificateArn": "arn:aws:iot:x",
                   "ThingArn": f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/orchard_Core"}],
    }


class Orchard(greengrass.Device):
    """A device with that group, which knows the broker."""

    def __init__(self, directory, endpoint, definitions, broker):
        super().__init__(directory, endpoint, definitions, PICTURES / "shape_star.png")
        greengrass.put(directory / "lambda", "sort", SORT, *self.sdks)
        with (directory / "sedge.toml").open("a") as file:
            file.write(broker.settings("orchard_Core"))


def test_a_group_sends_predictions_samples_and_metrics(cloud, samples, broker, tmp_path):  # noqa: F811
    endpoint, job = cloud
    place = greengrass.reachable(tmp_path) / "device"
    place.mkdir()
    device = Orchard(place, endpoint, group(job), broker)
    listener = Listener(broker, "#")
    with device.serves():
        # What the function published, in the words of the seed accelerator.
        [told] = listener.json("mli/predictions/orchard")
        expected = greengrass.reference("mxnet_sagemaker_resnet18_shapes", "shapes_shape_star")
        expected = expected["softmax_output"].ravel()
        assert told["prediction"] == int(expected.argmax())
        assert abs(told["confidence"] - float(expected.max())) < 1e-5
        [error] = listener.json("mli/errors")
        assert "there is no feedback configuration 'Nobody'" in error and "ByHand" in error

        # The device's keys, for functions that ask Amazon themselves.
        assert listener.json("mli/keys") == [
            ["AccessKeyId", "Expiration", "SecretAccessKey", "Token", KEYS["AWS_ACCESS_KEY_ID"]]]

        # Two samples left: the connector's, and the one handed over.
        predictions = listener.json("feedback/message/prediction", 2)
        assert [list(one) for one in predictions] == [
            ["source-ref", "model-prediction", "config-id", "metadata"]] * 2
        by_id = {one["config-id"]: one for one in predictions}
        assert set(by_id) == {"LC", "ByHand"}
        assert abs(by_id["LC"]["model-prediction"][told["prediction"]] - told["confidence"]) < 1e-9
        hand = by_id["ByHand"]
        assert hand["model-prediction"] == [0.1 + 0.2, 1 / 3]
        assert hand["metadata"].pop("publish-ts")[4::3][:2] == "--"
        assert hand["metadata"] == {"some-key": "some value", "n": 3}

        [unsure], [by_hand] = listed(samples, "unsure/"), listed(samples, "hand/")
        assert by_id["LC"]["source-ref"] == f"s3://{SAMPLES}/{unsure}" and unsure.endswith(".png")
        stored = samples.get_object(Bucket=SAMPLES, Key=by_hand)
        assert stored["Body"].read() == (PICTURES / "shape_star.png").read_bytes()
        assert stored["ContentType"] == "image/png"
        assert stored["Metadata"]["some-key"] == "some value" and stored["Metadata"]["n"] == "3"
        assert "publish-ts" in stored["Metadata"]

        # One status for each of the four requests.
        statuses = listener.json("feedback/message/status", 4)
        assert len({status["id"] for status in statuses}) == 4
        said = sorted(status["response"]["status"] for status in statuses)
        assert said == ["fail", "sample_dropped_by_strategy", "success", "success"]
        for status in statuses:
            if status["response"]["status"] == "success":
                answer = status["response"]["s3_response"]
                assert set(answer["ResponseMetadata"]) - {"HostId"} == KEYS_OF_STATUS
                assert answer["bucket"] == SAMPLES and answer["key"] in (unsure, by_hand)
                assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200 and answer["ETag"]

        # Metrics, with the core's name.
        made_up = {"aws_access_key_id": "made", "aws_secret_access_key": "up"}
        watch = boto3.client("cloudwatch", endpoint_url=endpoint, region_name=REGION, **made_up)

        def metrics():
            found = watch.list_metrics(Namespace="GreengrassFeedbackConnector")["Metrics"]
            return {one["MetricName"]: one["Dimensions"] for one in found}
        names = {"SampleSize", "SampleUploadSuccess", "SampleAndPredictionPublished",
                 "SampleNotUsed", "SampleUploadFailure"}
        until(names, lambda: names <= set(metrics()))
        dimension = {"Name": "coreName", "Value": "orchard_Core"}
        assert all(dimension in dimensions for dimensions in metrics().values())
        [put, *_] = listener.json("cloudwatch/metric/put/status")
        assert put["response"]["status"] == "success" and put["response"]["cloudwatch_rid"]

        # Lines of logs, in the group of the function.
        logs = boto3.client("logs", endpoint_url=endpoint, region_name=REGION, **made_up)
        name = f"/aws/greengrass/Lambda/{REGION}/{ACCOUNT}/sort"
        groups = {"logGroupNamePrefix": name}
        until(name, lambda: logs.describe_log_groups(**groups)["logGroups"])
        [stream] = logs.describe_log_streams(logGroupName=name)["logStreams"]
        assert stream["logStreamName"].endswith("/orchard_Core")
        events = logs.get_log_events(logGroupName=name, logStreamName=stream["logStreamName"])
        assert any("][INFO]-" in event["message"] for event in events["events"])

        # And back: a message from the cloud reaches the function.
        listener.client.publish("orders/1", json.dumps({"turn": "left"}), qos=1)
        assert listener.json("mli/heard") == [{"turn": "left"}]
    listener.stop()


@contextmanager
def serving(directory, endpoint, text):
    """The program with a configuration, and what finds the cloud in its environment."""
    (directory / "sedge.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        server = sedge.Server([], "--config", directory / "sedge.toml",
                              "--root", directory / "root")
    try:
        yield server
    finally:
        server.terminate()
        assert server.wait() == 0


def test_a_service_publishes_and_gives_samples_without_code(cloud, samples, broker, tmp_path):  # noqa: F811
    model = sedge.MODELS / "mxnet-sagemaker-classifier"
    text = broker.settings("camera-7") + f"""
[cloud]
thing = "camera-7"
[[feedback]]
name = "unsure"
bucket = "{SAMPLES}"
prefix = "native"
extension = "png"
content_type = "image/png"
strategy = "least-confidence"
threshold = 1.0
[[service]]
name = "shapes"
model = "{model}"
feedback = ["unsure"]
[service.publish]
topic = "mli/predictions/${{thing}}"
payload = '{{"confidence":${{score}},"prediction":"${{label}}"}}'
"""
    listener = Listener(broker, "mli/#")
    picture = (PICTURES / "shape_star.png").read_bytes()
    with serving(tmp_path, cloud[0], text) as server:
        sagemaker = server.boto3()
        for _ in range(2):
            sagemaker.invoke_endpoint(EndpointName="shapes", Body=picture)
        first, second = listener.json("mli/predictions/camera-7", 2)
        assert first == second and set(first) == {"confidence", "prediction"}
        [key] = until("a sample", lambda: listed(samples, "native/"))
        stored = samples.get_object(Bucket=SAMPLES, Key=key)
        assert stored["Body"].read() == picture
        assert stored["Metadata"]["service"] == "shapes"
        time.sleep(1)
        assert listed(samples, "native/") == [key], "the same picture is there once"
        # Every documented metric of what leaves is there, with its kind.
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \|",
                          (sedge.ROOT / "docs/metrics.md").read_text(), re.M)
        _, families = scrape(server)
        found = {(family.name, family.type) for family in families.values()}
        told = {(name.removesuffix("_total"), kind) for name, kind in rows
                if name.startswith(OUTWARD)}
        assert len(told) > 10 and told <= found, told - found
    listener.stop()
    assert os.path.isdir(tmp_path / "root/spool")


def test_settings_that_cannot_be_used_change_nothing(cloud, samples, broker, tmp_path):  # noqa: F811
    mqtt, nowhere = broker.settings("camera-7"), tmp_path / "nowhere"
    service = f"""
[[service]]
name = "shapes"
model = "{sedge.MODELS / 'mxnet-sagemaker-classifier'}"
[service.publish]
topic = "mli/predictions/shapes"
"""
    listener = Listener(broker, "mli/#")
    picture = (PICTURES / "shape_star.png").read_bytes()
    with serving(tmp_path, cloud[0], mqtt + service) as server:
        for count, wrong in enumerate([
            f"username = 'camera'\npassword_file = '{nowhere}'\n",
            "[cloud]\nrole_alias = 'camera'\ncredentials_endpoint = 'http://127.0.0.1:9'\n"
            "[s3]\ncredentials = 'static'\n",
        ], start=1):
            (tmp_path / "sedge.toml").write_text(mqtt + wrong + service)
            server.process.send_signal(signal.SIGHUP)
            until("a refusal", lambda: sum("nothing changes" in event["message"]
                                           for event in server.events()) == count)
            # The link of before goes on.
            server.boto3().invoke_endpoint(EndpointName="shapes", Body=picture)
            assert len(listener.json("mli/predictions/shapes", count)) == count
        connected = [event for event in server.events() if "connected" in event["message"]]
        assert len(connected) == 1, connected
    listener.stop()
