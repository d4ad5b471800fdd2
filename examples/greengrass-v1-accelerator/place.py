"""What surrounds the device in the demonstration: a broker, a cloud, and the device's directory.

The broker is a real mosquitto with mutual TLS; S3 and SageMaker are moto's server; the SDK of
Greengrass is the real one, that for machine learning the stand-in of the tests, as the real one is
on no index (README.md says where to put it).
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import boto3
import greengrasssdk

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/python"))

import sedge  # noqa: E402
from broker import Broker, Listener  # noqa: E402, F401

REGION, ACCOUNT, CORE = "eu-west-1", "123456789012", "accelerator"
MODELS, SAMPLES, JOB = "accelerator-models", "accelerator-samples", "accelerator-2020"
KEYS = {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up", "AWS_REGION": REGION}
MODEL = sedge.MODELS / "mxnet-mobilenet-v1"
NETWORK = "mobilenet_v1_0.25_224"
PICTURES = ["cat_720p.jpg", "coffee.png", "hot_dog.jpg", "parrot.jpg", "pets.jpg", "sunflower.jpg"]
ML_SDK = ROOT / "tests/greengrass/greengrass_machine_learning_sdk"
MODULES = {"connector": [], "s3-model": [ROOT / "python/dlr"]}


class Cloud:
    """S3 and SageMaker with the model in them, and an empty bucket for samples."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.s3 = self._client("s3")
        for bucket in (MODELS, SAMPLES):
            place = {"LocationConstraint": REGION}
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        self._put("mobilenet.tar.gz", archive())
        self._put("mobilenet.zip", zipped())
        self.job = self._train()

    def _client(self, name):
        return boto3.client(name, endpoint_url=self.endpoint, region_name=REGION,
                            aws_access_key_id="made", aws_secret_access_key="up")

    def _put(self, key, body):
        self.s3.put_object(Bucket=MODELS, Key=key, Body=body)

    def _train(self):
        """A training job whose artefact is the model: its ARN."""
        sagemaker = self._client("sagemaker")
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{MODELS}/pictures"}
        sagemaker.create_training_job(
            TrainingJobName=JOB, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/training",
            AlgorithmSpecification={"TrainingImage": "image-classification",
                                    "TrainingInputMode": "File"},
            InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            OutputDataConfig={"S3OutputPath": f"s3://{MODELS}/jobs"},
            ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1,
                            "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 60})
        job = sagemaker.describe_training_job(TrainingJobName=JOB)
        artefact = job["ModelArtifacts"]["S3ModelArtifacts"]
        self._put(artefact.removeprefix(f"s3://{MODELS}/"), archive())
        return job["TrainingJobArn"]

    def empty(self):
        """Takes all samples out of their bucket."""
        for key, *_ in list(self.samples()):
            self.s3.delete_object(Bucket=SAMPLES, Key=key)

    def samples(self):
        """Key, type of content, metadata and bytes of every sample."""
        for entry in self.s3.list_objects_v2(Bucket=SAMPLES).get("Contents", []):
            found = self.s3.get_object(Bucket=SAMPLES, Key=entry["Key"])
            yield entry["Key"], found["ContentType"], found["Metadata"], found["Body"].read()


@contextmanager
def cloud():
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        found = (re.search(r"Running on (http://\S+)", line) for line in process.stderr)
        match = next(filter(None, found), None)
        assert match, "moto's server did not start"
        # It writes a line for each request, which nobody reads.
        process.stderr.close()
        yield Cloud(match.group(1))
    finally:
        process.terminate()
        process.wait()


def archive():
    """The model as a training job writes it: flat, gzipped."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for file in sorted(MODEL.iterdir()):
            tar.add(file, file.name)
    return out.getvalue()


def zipped():
    """The model as the seed accelerator has it in S3: network, parameters and labels."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in (f"{NETWORK}-symbol.json", f"{NETWORK}-0000.params"):
            archive.write(MODEL / name, name)
        archive.write(MODEL / "labels.txt", "synset.txt")
    return out.getvalue()


class Device:
    """A directory as a device has it, and the program that runs there."""

    def __init__(self, directory, variant, broker, cloud):
        self.directory, self.variant, self.cloud = Path(directory), variant, cloud
        # Functions may run as another user, who has to get there.
        self.directory.chmod(0o755)
        native = variant == "native"
        text = (HERE / ("native/sedge.toml" if native else "greengrass.toml")).read_text()
        text = text.replace("port = 8883", f"port = {broker.port}")
        flags = ["--root", self.directory / "root", "--config", self.directory / "sedge.toml"]
        if not native:
            text = text.replace("[greengrass]",
                                f"[greengrass]\npython = '{sys.executable}'\nallow_root = true")
            flags += self._functions()
        (self.directory / "sedge.toml").write_text(text)
        self._certificates(broker)
        self.flags = flags

    def _certificates(self, broker):
        key, certificate = broker.authority.issue(f"{CORE}_Core")
        place = self.directory / "certificates"
        place.mkdir()
        for source, name in [(broker.authority.path("ca.pem"), "ca.pem"),
                             (certificate, "device.pem"), (key, "device.key")]:
            shutil.copy(source, place / name)

    def _functions(self):
        """Puts template and code there; gives what only the cloud knows, as flags."""
        shutil.copy(HERE / self.variant / "template.yaml", self.directory)
        place = self.directory / "lambda" / f"mli-{self.variant}"
        shutil.copytree(HERE / "functions" / self.variant.replace("-", "_"), place,
                        ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE / "functions/image_source.py", place)
        for package in [Path(greengrasssdk.__file__).parent, ML_SDK, *MODULES[self.variant]]:
            shutil.copytree(package, place / package.name)
        (place / "pictures").mkdir()
        for name in PICTURES:
            shutil.copy(sedge.IMAGES / name, place / "pictures")
        known = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "CertificateId": "made-up",
                 "FeedbackBucket": SAMPLES, "TrainingJob.SageMakerJobArn": self.cloud.job,
                 "ModelBucket": MODELS, "SedgeProgram": os.path.abspath(sedge.SEDGE)}
        template = (self.directory / "template.yaml").read_text()
        used = {name: value for name, value in known.items() if name in template}
        return [flag for item in used.items() for flag in ("--parameter", "=".join(item))]

    @contextmanager
    def serves(self):
        environment = {**KEYS, "AWS_ENDPOINT_URL": self.cloud.endpoint}
        before = dict(os.environ)
        os.environ.update(environment)
        try:
            server = sedge.Server([], *self.flags)
        finally:
            os.environ.clear()
            os.environ.update(before)
        try:
            yield server
        finally:
            server.terminate()
            assert server.wait() == 0, "".join(server.lines[-20:])

    def logs(self):
        files = (self.directory / "root/greengrass/ggc/var/log").rglob("*.log")
        return "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in files)


def send(server, names):
    """What a camera would do for the native variant."""
    client = server.boto3()
    for name in names:
        client.invoke_endpoint(EndpointName="image-classification", Body=sedge.picture(name))


def settled(cloud, quiet_s=2, longest_s=30):
    """Returns when no sample has come for a while."""
    until, last, since = time.monotonic() + longest_s, -1, time.monotonic()
    while time.monotonic() < until and time.monotonic() - since < quiet_s:
        number = sum(1 for _ in cloud.samples())
        if number != last:
            last, since = number, time.monotonic()
        time.sleep(0.2)
