"""A group of Greengrass V1, moved to Sedge as its users would: definitions, code, SDK calls.

The models lie in S3 and behind a training job, which moto's server plays. Functions use the real
`greengrasssdk` and a stand-in for the machine-learning SDK, which is on no index (`tests/greengrass`).
"""

import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
import numpy
import pytest

import sedge

REGION = "eu-west-1"
ACCOUNT = "123456789012"
BUCKET = "greengrass-models"
JOB = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/shapes-2020"
STAND_IN = sedge.ROOT / "tests/greengrass/greengrass_machine_learning_sdk"
PICTURES = sedge.IMAGES / "shapes"
SCENES = ["scene_0", "scene_1", "scene_2"]
KEYS = {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up", "AWS_REGION": REGION}

# As the documentation of the connectors shows it: work outside the handler, once more each second.
CLASSIFY = """
import json
import logging
from threading import Timer

import greengrass_machine_learning_sdk as ml
import greengrasssdk
import numpy as np

logging.basicConfig(level=logging.INFO)
client = ml.client('inference')
iot = greengrasssdk.client('iot-data')

with open('{picture}', 'rb') as file:
    content = file.read()


def infer():
    try:
        response = client.invoke_inference_service(
            AlgoType='image-classification', ServiceName='image-classification',
            ContentType='image/png', Body=content)
    except ml.GreengrassInferenceException as error:
        logging.info('inference exception %s', error)
        Timer(1, infer).start()
        return
    except ml.GreengrassDependencyException as error:
        logging.info('dependency exception %s', error)
        Timer(1, infer).start()
        return
    text = response['Body'].read().decode('utf-8')
    text = text[1:-1]
    scores = np.array([float(score) for score in text.split(',')])
    logging.info('best class %d', scores.argmax())
    iot.publish(topic='results/classify', payload=json.dumps(scores.tolist()))
    Timer(1, infer).start()


infer()


def function_handler(event, context):
    return
"""

DETECT = """
import json
import os
from threading import Timer

import greengrass_machine_learning_sdk as ml
import greengrasssdk

client = ml.client('inference')
iot = greengrasssdk.client('iot-data')
service = os.environ['SERVICE']


def infer():
    for name in sorted(os.listdir(os.environ['PICTURES'])):
        if not name.endswith('.png'):
            continue
        with open(os.path.join(os.environ['PICTURES'], name), 'rb') as file:
            content = file.read()
        response = client.invoke_inference_service(
            AlgoType='object-detection', ServiceName=service, ContentType='image/png',
            Body=content)
        # A Python literal as well as JSON, which the printed examples rely on.
        found = eval(response['Body'].read().decode('utf-8'))
        topic = 'results/{}/{}'.format(service, name.replace('.png', ''))
        iot.publish(topic=topic, payload=json.dumps(found))
    Timer(1, infer).start()


infer()


def function_handler(event, context):
    return
"""

COLLECT = """
import json
import os


def function_handler(event, context):
    topic = context.client_context.custom['subject']
    place = os.path.join(os.environ['RESULTS'], topic.replace('/', '-') + '.json')
    with open(place + '.new', 'w') as file:
        json.dump(event, file)
    os.rename(place + '.new', place)
"""


@pytest.fixture(scope="module")
def cloud():
    """moto's server with the models in it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if match := re.search(r"Running on (http://\S+)", line):
                break
        # It writes a line for each request, and stops where nobody reads them.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        endpoint = match.group(1)
        made_up = {"aws_access_key_id": "made", "aws_secret_access_key": "up"}
        s3 = boto3.client("s3", endpoint_url=endpoint, region_name=REGION, **made_up)
        s3.create_bucket(Bucket=BUCKET,
                         CreateBucketConfiguration={"LocationConstraint": REGION})
        for key, files in [("job/output/model.tar.gz", classifier()), ("ssd.tar.gz", detection()),
                           ("compiled.tar.gz", compiled())]:
            s3.put_object(Bucket=BUCKET, Key=key, Body=archive(files))
        sagemaker = boto3.client("sagemaker", endpoint_url=endpoint, region_name=REGION, **made_up)
        sagemaker.create_training_job(
            TrainingJobName="shapes-2020",
            AlgorithmSpecification={"TrainingImage": "image-classification",
                                    "TrainingInputMode": "File"},
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/x", InputDataConfig=[
                {"ChannelName": "train", "DataSource": {"S3DataSource": {
                    "S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/train"}}}],
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/job"},
            ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1,
                            "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 60})
        job = sagemaker.describe_training_job(TrainingJobName="shapes-2020")
        place = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
        s3.copy_object(Bucket=BUCKET, Key=place,
                       CopySource={"Bucket": BUCKET, "Key": "job/output/model.tar.gz"})
        yield endpoint, job["TrainingJobArn"]
    finally:
        process.terminate()
        process.wait()


def classifier():
    """What the training job of SageMaker's image classification writes."""
    directory = sedge.MODELS / "mxnet-sagemaker-classifier"
    return {file.name: file.read_bytes() for file in directory.iterdir()
            if file.name.startswith(("image-classification", "model-shapes"))}


def detection():
    """GluonCV's export, and the shape that the compiler for devices wants beside it."""
    directory = sedge.MODELS / "mxnet-gluoncv-ssd"
    files = {file.name: file.read_bytes() for file in directory.glob("ssd_shapes-*")}
    shapes = [{"name": "data", "shape": [1, 3, 160, 160]}]
    return {**files, "model-shapes.json": json.dumps(shapes).encode()}


def compiled():
    """The same detector as the compiler for devices writes it."""
    return {file.name: file.read_bytes() for file in (sedge.TESTDATA / "neo/ssd").iterdir()}


def archive(files):
    """A flat archive, without entries for directories, as training jobs write it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def function(name, **variables):
    return {
        "Id": name,
        "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}:1",
        "FunctionConfiguration": {
            "Pinned": True, "MemorySize": 120000, "Timeout": 15, "EncodingType": "json",
            "Environment": {"Variables": variables},
        },
    }


def detector(platform, identifier, resource, service):
    return {
        "Id": identifier,
        "ConnectorArn":
            f"arn:aws:greengrass:{REGION}::/connectors/ObjectDetection{platform}/versions/1",
        "Parameters": {
            "MLModelDestinationPath": f"/{resource}", "MLModelResourceId": resource,
            "LocalInferenceServiceName": service, "LocalInferenceServiceTimeoutSeconds": "10",
            "LocalInferenceServiceMemoryLimitKB": "500000",
        },
    }


def s3_resource(identifier, key):
    return {"Id": identifier, "Name": identifier, "ResourceDataContainer": {
        "S3MachineLearningModelResourceData": {
            "DestinationPath": f"/{identifier}", "S3Uri": f"s3://{BUCKET}/{key}"}}}


def group(job):
    lambda_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
    return {
        "GroupId": "5f1c1e0a-9c52-4c5e-8f0b-2d1a7f3e6b11",
        "Connectors": [
            {
                "Id": "classification",
                "ConnectorArn": f"arn:aws:greengrass:{REGION}::/connectors/"
                                "ImageClassificationx86-64/versions/2",
                "Parameters": {
                    "MLModelDestinationPath": "/image-classification-ml",
                    "MLModelResourceId": "shapes-model",
                    "MLModelSageMakerJobArn": job,
                    "LocalInferenceServiceName": "image-classification",
                    "LocalInferenceServiceTimeoutSeconds": "15",
                    "LocalInferenceServiceMemoryLimitKB": "512000",
                },
            },
            detector("x86-64", "detection", "ssd-model", "yard"),
        ],
        "Functions": [function("classify"),
                      function("detect", SERVICE="yard", PICTURES=str(PICTURES)),
                      function("collect", RESULTS="RESULTS")],
        "Resources": [
            {"Id": "shapes-model", "Name": "shapes-model", "ResourceDataContainer": {
                "SageMakerMachineLearningModelResourceData": {
                    "DestinationPath": "/image-classification-ml", "SageMakerJobArn": job}}},
            s3_resource("ssd-model", "ssd.tar.gz"),
        ],
        "Subscriptions": [
            {"Id": name, "Source": f"{lambda_arn}{name}:1", "Subject": "results/#",
             "Target": f"{lambda_arn}collect:1"} for name in ("classify", "detect")
        ],
    }


def put(directory, name, code, *packages, module=None):
    place = directory / name
    place.mkdir(parents=True)
    (place / f"{module or name}.py").write_text(code)
    for package in packages:
        shutil.copytree(package, place / package.name)


class Device:
    """A directory with a group, functions and a root, and the program that runs them."""

    def __init__(self, directory, endpoint, definitions, picture):
        import greengrasssdk
        self.root, self.results = directory / "root", directory / "results"
        self.results.mkdir()
        self.results.chmod(0o777)
        self.sdks = (Path(greengrasssdk.__file__).parent, STAND_IN)
        classify = CLASSIFY.replace("{picture}", str(picture))
        put(directory / "lambda", "classify", classify, *self.sdks)
        put(directory / "lambda", "detect", DETECT, *self.sdks)
        put(directory / "lambda", "collect", COLLECT)
        text = json.dumps(definitions).replace('"RESULTS": "RESULTS"',
                                               f'"RESULTS": "{self.results}"')
        (directory / "group.json").write_text(text)
        (directory / "sedge.toml").write_text(
            f"[greengrass]\nport = 0\npython = '{sys.executable}'\nallow_root = true\n")
        self.environment = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": endpoint}
        self.flags = ["--group", directory / "group.json", "--config", directory / "sedge.toml",
                      "--root", self.root, "--lambda-dir", directory / "lambda"]

    def installs(self, runtime):
        """Has Sedge fetch a runtime from the package index."""
        command = [sedge.SEDGE, "runtime", "install", runtime, "--root", self.root]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode and "CI" not in os.environ:
            pytest.skip(f"{runtime} cannot be installed: {ran.stderr}")
        assert ran.returncode == 0, ran.stderr

    @contextmanager
    def serves(self):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            server = sedge.Server([], *self.flags)
        try:
            yield server
        finally:
            server.terminate()
            assert server.wait() == 0

    def result(self, topic, timeout=60):
        place = self.results / f"results-{topic}.json"
        deadline = time.monotonic() + timeout
        while not place.exists():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)
        return json.loads(place.read_text())

    def logs(self):
        files = (self.root / "greengrass/ggc/var/log").rglob("*.log")
        return "\n".join(f"== {file}\n{file.read_text()[-4000:]}" for file in files)


def reference(model, case):
    """Outputs of the original framework for a picture, by name."""
    folder = sedge.TESTDATA / "reference" / model
    outputs = json.loads((folder / f"{case}.json").read_text())["outputs"]
    return {output["name"]: numpy.load(folder / output["file"]) for output in outputs}


def rows(ids, scores, boxes, edge):
    """Outputs of a GluonCV detector as the connector answers them."""
    found = [[int(index), float(score), *(min(max(float(place) / edge, 0), 1) for place in box)]
             for index, score, box in zip(ids.ravel(), scores.ravel(), boxes.reshape(-1, 4))
             if index >= 0]
    return sorted(found, key=lambda row: -row[1])


def same_rows(found, expected, tolerance):
    assert [row[0] for row in found] == [row[0] for row in expected]
    numpy.testing.assert_allclose([row[1:] for row in found], [row[1:] for row in expected],
                                  atol=tolerance)


def reachable(directory):
    """Functions run as another user, who has to get there."""
    for place in (directory, *directory.parents[:3]):
        place.chmod(place.stat().st_mode | 0o711)
    return directory


@pytest.fixture
def device(cloud, tmp_path):
    endpoint, job = cloud
    return Device(reachable(tmp_path), endpoint, group(job), PICTURES / "shape_star.png")


def test_classification_as_documented_answers_as_the_original_framework(device):
    with device.serves():
        answered = device.result("classify")
    expected = reference("mxnet_sagemaker_resnet18_shapes", "shapes_shape_star")
    numpy.testing.assert_allclose(answered, expected["softmax_output"].ravel(), atol=1e-5)


def check_detection(device, service, tolerance):
    with device.serves():
        answered = {case: device.result(f"{service}-{case}")["prediction"] for case in SCENES}
    for case in SCENES:
        outputs = reference("mxnet_gluoncv_ssd_smallconv_shapes", f"shapes_{case}")
        ids, scores, boxes = (outputs[f"ssd0_slice_axis{n}_output"] for n in (9, 10, 11))
        same_rows(answered[case], rows(ids, scores, boxes, 160), tolerance)


def test_detection_as_documented_answers_as_the_original_framework(device):
    check_detection(device, "yard", 2e-5)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the packages are compiled for x86_64")
def test_a_compiled_detector_answers_as_the_original_framework(cloud, tmp_path):
    endpoint, job = cloud
    definitions = group(job)
    # One connector of a kind in a group: the second is the other platform's, which runs here too.
    definitions["Connectors"].append(detector("ARMv7", "compiled", "compiled-model", "street"))
    definitions["Functions"].append(
        function("detect-compiled", SERVICE="street", PICTURES=str(PICTURES)))
    definitions["Resources"].append(s3_resource("compiled-model", "compiled.tar.gz"))
    source, target = (subscription[key] for subscription in definitions["Subscriptions"][:1]
                      for key in ("Source", "Target"))
    definitions["Subscriptions"].append(
        {"Id": "compiled", "Source": source.replace("classify", "detect-compiled"),
         "Subject": "results/#", "Target": target})
    device = Device(reachable(tmp_path), endpoint, definitions, PICTURES / "shape_star.png")
    put(tmp_path / "lambda", "detect-compiled", DETECT, *device.sdks, module="detect")
    device.installs("dlr")
    # The compiler's own rounding.
    check_detection(device, "street", 1e-4)
