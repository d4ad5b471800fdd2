"""boto3's sagemaker-runtime client, unmodified."""

import gzip
import json
import urllib.request

import numpy as np
import onnxruntime
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from references import CLASSIFIERS, DETECTORS, assert_rows_match, cases
from sedge import IMAGES, MODELS, picture, png, upright


def invoke(runtime, service, body, **options):
    options = {"ContentType": "image/jpeg", **options}
    return runtime.invoke_endpoint(EndpointName=service, Body=body, **options)


@pytest.mark.parametrize("case", cases(CLASSIFIERS), ids=str)
def test_classes_equal_the_reference(runtime, case):
    response = invoke(runtime, case.model, case.body, ContentType=case.content_type)
    body = response["Body"].read()
    # As the connectors' clients read it.
    scores = np.array([float(text) for text in body.decode()[1:-1].split(",")])
    expected, tolerance = case.scores()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=tolerance)
    assert response["ContentType"] == "application/json"
    assert response["InvokedProductionVariant"] == "AllTraffic"
    assert response["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize("case", cases(DETECTORS), ids=str)
def test_objects_equal_the_reference(runtime, case):
    response = invoke(runtime, case.model, case.body, ContentType=case.content_type)
    rows = json.loads(response["Body"].read())["prediction"]
    assert_rows_match(rows, case.rows())
    assert rows == sorted(rows, key=lambda row: -row[1])
    for row in rows:
        assert isinstance(row[0], int)
        assert all(0 <= edge <= 1 for edge in row[2:])


def test_rotated_and_gray_pictures_are_among_the_references():
    for models, gray in [(CLASSIFIERS, True), (DETECTORS, False)]:
        images = [case.image for case in cases(models)]
        assert len(set(images)) >= 5
        assert any("exif" in image for image in images)
        assert not gray or "astronaut_gray.jpg" in images


@pytest.mark.parametrize(
    "image",
    ["cat_720p.jpg", "chelsea_exif3.jpg", "chelsea_exif6.jpg", "chelsea_exif8.jpg",
     "astronaut_gray.jpg", "camera_gray8.png", "chelsea_alpha.png", "chelsea_palette.png"],
)
def test_classes_equal_pillow_and_onnxruntime(runtime, image):
    session = onnxruntime.InferenceSession(MODELS / "mobilenet-v1-onnx" / "model.onnx")
    resized = np.asarray(upright(image).resize((224, 224), Image.BILINEAR), dtype=np.float32)
    [node] = session.get_inputs()
    [expected] = session.run(None, {node.name: (resized[None] - 127.5) / 127.5})
    answer = invoke(runtime, "mobilenet-v1-onnx", picture(image))
    scores = json.loads(answer["Body"].read())
    np.testing.assert_allclose(scores, expected[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("service", list(DETECTORS))
def test_a_gray_picture_is_one_with_three_equal_channels(runtime, service):
    gray = upright("face.jpg").convert("L")
    answers = [
        invoke(runtime, service, png(image), ContentType="image/png")["Body"].read()
        for image in (gray, gray.convert("RGB"))
    ]
    assert answers[0] == answers[1]
    assert len(json.loads(answers[0])["prediction"]) > 0


def test_one_picture_in_many_containers_has_one_answer(runtime):
    image = Image.open(IMAGES / "coffee.png").convert("RGB")
    types = ["image/png", "application/x-image", "application/octet-stream"]
    answers = {
        invoke(runtime, "mobilenet-v2", png(image), ContentType=kind)["Body"].read()
        for kind in types
    }
    answers.add(runtime.invoke_endpoint(EndpointName="mobilenet-v2", Body=png(image))["Body"].read())
    assert len(answers) == 1


def test_the_whole_prediction_can_be_accepted(runtime):
    kind = "application/vnd.sedge.prediction+json"
    body = picture("cat_720p.jpg")
    response = invoke(runtime, "mobilenet-v2", body, Accept=kind, InferenceId="cat-1")
    assert response["ContentType"] == kind
    prediction = json.loads(response["Body"].read())
    assert (prediction["service"], prediction["image"]) == ("mobilenet-v2", "cat-1")
    assert prediction["task"] == "image-classification"
    assert prediction["classes"][0]["label"]
    for accept in ["application/json", "*/*"]:
        assert invoke(runtime, "mobilenet-v2", body, Accept=accept)["Body"].read()[:1] == b"["


def test_parameters_of_the_cloud_are_taken_and_not_echoed(runtime):
    response = invoke(
        runtime, "mobilenet-v2", picture("parrot.jpg"),
        CustomAttributes="trace=1", TargetModel="m.tar.gz", TargetVariant="AllTraffic",
    )
    assert "CustomAttributes" not in response


@pytest.mark.parametrize(
    "service, options, code, status",
    [
        ("nobody", {}, "ValidationError", 400),
        ("mobilenet-v2", {"ContentType": "text/csv"}, "ValidationError", 415),
        ("mobilenet-v2", {"ContentType": "application/json"}, "ValidationError", 415),
        ("mobilenet-v2", {"Accept": "text/csv"}, "ValidationError", 406),
        ("mobilenet-v2", {"Body": b"this is no picture"}, "ModelError", 424),
        ("mobilenet-v2", {"Body": b""}, "ModelError", 424),
    ],
)
def test_errors_are_exceptions_of_the_client(runtime, service, options, code, status):
    body = options.pop("Body", picture("parrot.jpg"))
    with pytest.raises(ClientError) as caught:
        invoke(runtime, service, body, **options)
    response = caught.value.response
    assert response["Error"]["Code"] == code
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["Error"]["Message"]
    if code == "ModelError":
        assert isinstance(caught.value, runtime.exceptions.ModelError)
        assert (response["OriginalStatusCode"], bool(response["OriginalMessage"])) == (400, True)
    else:
        assert isinstance(caught.value, runtime.exceptions.ValidationError)
    if service == "nobody":
        assert response["Error"]["Message"].startswith("Endpoint nobody of account")


def test_ping_and_a_compressed_body(server, runtime):
    with urllib.request.urlopen(server.url + "/ping") as response:
        assert (response.status, response.read()) == (200, b"")
    body = picture("parrot.jpg")
    request = urllib.request.Request(
        server.url + "/endpoints/mobilenet-v2/invocations",
        data=gzip.compress(body),
        headers={"Content-Type": "image/jpeg", "Content-Encoding": "gzip"},
    )
    with urllib.request.urlopen(request) as response:
        answer = response.read()
    assert answer == invoke(runtime, "mobilenet-v2", body)["Body"].read()
