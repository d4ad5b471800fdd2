"""tritonclient over HTTP, unmodified."""

import asyncio
import json
import urllib.request

import numpy as np
import onnxruntime
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from PIL import Image
from tritonclient.utils import InferenceServerException

from references import CLASSIFIERS, DETECTORS, assert_rows_match, cases
from sedge import MODELS, Server, picture, upright

MODEL = "mobilenet-v2"
OUTPUT = "MobilenetV2/Predictions/Softmax"


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address) as client:
        yield client


def picture_input(body, name="image", shape=(1,)):
    tensor = triton.InferInput(name, shape, "BYTES")
    tensor.set_data_from_numpy(np.array([body], dtype=np.object_).reshape(shape))
    return tensor


def pixels(name="parrot.jpg", binary=True):
    image = upright(name).resize((224, 224), Image.BILINEAR)
    tensor = triton.InferInput("input", (1, 224, 224, 3), "UINT8")
    tensor.set_data_from_numpy(np.asarray(image)[None], binary_data=binary)
    return tensor


def test_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("nobody") and not client.is_model_ready(MODEL, "2")
    server = client.get_server_metadata()
    assert server["name"] == "sedge" and server["version"]
    assert "binary_tensor_data" in server["extensions"]
    metadata = client.get_model_metadata(MODEL)
    assert metadata["platform"] == "sedge_tflite"
    assert metadata["inputs"] == [{"name": "input", "datatype": "UINT8", "shape": [1, 224, 224, 3]}]
    assert metadata["outputs"] == [{"name": OUTPUT, "datatype": "UINT8", "shape": [1, 1001]}]
    config = client.get_model_config(MODEL)
    assert config["max_batch_size"] == 0
    assert config["input"][0]["data_type"] == "TYPE_UINT8"
    assert config["parameters"]["picture_input"]["string_value"] == "input"


@pytest.mark.parametrize("case", cases(CLASSIFIERS), ids=str)
def test_raw_outputs_of_classifiers_equal_the_reference(client, case):
    result = client.infer(case.model, [picture_input(case.body)], request_id="r-1")
    assert result.get_response()["id"] == "r-1"
    for name, expected in case.outputs().items():
        actual = result.as_numpy(name)
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
        if expected.dtype == np.uint8:
            assert np.abs(actual.astype(int) - expected).max() <= 2
        else:
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", cases(DETECTORS), ids=str)
def test_predictions_of_detectors_equal_the_reference(client, case):
    output = triton.InferRequestedOutput("prediction")
    result = client.infer(case.model, [picture_input(case.body)], outputs=[output])
    [text] = result.as_numpy("prediction")
    prediction = json.loads(text)
    rows = [
        [one["index"], one["score"], *(one["box_normalized"][edge] for edge in ("xmin", "ymin", "xmax", "ymax"))]
        for one in prediction["objects"]
    ]
    assert_rows_match(rows, case.rows())


@pytest.mark.parametrize(
    "image",
    ["face.jpg", "astronaut_gray.jpg", "chelsea_exif6.jpg", "chelsea_exif3.jpg", "camera_gray8.png",
     "chelsea_alpha.png", "chelsea_palette.png", "astronaut_progressive.jpg"],
)
def test_a_detector_equals_pillow_and_onnxruntime(detector, image):
    server, session = detector
    resized = np.asarray(upright(image).resize((320, 240), Image.BILINEAR), dtype=np.float32)
    tensor = ((resized - 127) / 128).transpose(2, 0, 1)[None]
    names = [output.name for output in session.get_outputs()]
    expected = dict(zip(names, session.run(names, {"input": tensor})))
    with triton.InferenceServerClient(server.address) as client:
        result = client.infer("faces", [picture_input(picture(image))])
    for name in names:
        np.testing.assert_allclose(result.as_numpy(name), expected[name], rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A detector whose pictures are resized as Pillow does, and onnxruntime with the same file."""
    package = tmp_path_factory.mktemp("faces")
    model = (MODELS / "ultraface-rfb320" / "version-RFB-320.onnx").read_bytes()
    (package / "version-RFB-320.onnx").write_bytes(model)
    manifest = (MODELS / "ultraface-rfb320" / "model.toml").read_text()
    (package / "model.toml").write_text(manifest.replace("opencv-linear", "pillow-bilinear"))
    server = Server([package], "--name", "faces")
    yield server, onnxruntime.InferenceSession(model)
    server.terminate()
    assert server.wait() == 0


def test_a_picture_is_taken_under_both_names_and_shapes(client):
    body = picture("cat_720p.jpg")
    answers = {
        client.infer(MODEL, [picture_input(body, name, shape)]).as_numpy(OUTPUT).tobytes()
        for name in ("image", "input")
        for shape in ((1,), (1, 1))
    }
    assert len(answers) == 1


def test_tensors_in_every_form_give_one_answer(client):
    def infer(binary_in, binary_out, **options):
        output = triton.InferRequestedOutput(OUTPUT, binary_data=binary_out)
        return client.infer(MODEL, [pixels(binary=binary_in)], outputs=[output], **options)

    expected = client.infer(MODEL, [pixels()]).as_numpy(OUTPUT)
    assert expected.shape == (1, 1001)
    for binary_in in (True, False):
        for binary_out in (True, False):
            for coding in (None, "gzip", "deflate"):
                result = infer(
                    binary_in, binary_out,
                    request_compression_algorithm=coding, response_compression_algorithm=coding,
                )
                np.testing.assert_array_equal(result.as_numpy(OUTPUT), expected)
    [case] = [case for case in cases({MODEL: CLASSIFIERS[MODEL]}) if case.image == "parrot.jpg"]
    [reference] = case.outputs().values()
    # Exactness is for the tests of the engines; here the same classes must come out.
    assert np.abs(expected.astype(int) - reference).max() <= 16
    assert expected.argmax() == reference.argmax()


def test_answers_are_really_compressed(server):
    request = urllib.request.Request(
        f"{server.url}/v2/models/{MODEL}/infer",
        data=json.dumps({"inputs": [{
            "name": "input", "shape": [1, 224, 224, 3], "datatype": "UINT8",
            "data": [0] * (224 * 224 * 3)}]}).encode(),
        headers={"Accept-Encoding": "deflate", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        assert response.headers["Content-Encoding"] == "deflate"


def test_classification_ranks_and_names(client):
    output = triton.InferRequestedOutput(OUTPUT, class_count=3)
    ranked = client.infer(MODEL, [picture_input(picture("cat_720p.jpg"))], outputs=[output])
    lines = [line.decode().split(":", 2) for line in ranked.as_numpy(OUTPUT)]
    scores = client.infer(MODEL, [picture_input(picture("cat_720p.jpg"))]).as_numpy(OUTPUT)[0]
    assert [int(value) for value, _, _ in lines] == sorted(scores.tolist(), reverse=True)[:3]
    assert [scores[int(index)] for _, index, _ in lines] == [int(value) for value, _, _ in lines]
    labels = (MODELS / MODEL / "labels.txt").read_text().splitlines()
    assert [label for _, _, label in lines] == [labels[int(index)].strip() for _, index, _ in lines]


def test_other_ways_to_call(client, server):
    expected = client.infer(MODEL, [pixels()]).as_numpy(OUTPUT)
    waiting = [client.async_infer(MODEL, [pixels()]) for _ in range(4)]
    for request in waiting:
        np.testing.assert_array_equal(request.get_result().as_numpy(OUTPUT), expected)
    tuned = client.infer(
        MODEL, [pixels()], model_version="1", priority=1, timeout=30_000_000,
        sequence_id=7, sequence_start=True, parameters={"mine": "x"},
    )
    np.testing.assert_array_equal(tuned.as_numpy(OUTPUT), expected)

    async def ask():
        async with triton_aio.InferenceServerClient(server.address) as other:
            return await other.infer(MODEL, [pixels()])

    np.testing.assert_array_equal(asyncio.run(ask()).as_numpy(OUTPUT), expected)
    # The body as the one tensor, without JSON.
    body = np.asarray(upright("parrot.jpg").resize((224, 224), Image.BILINEAR)).tobytes()
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    request = urllib.request.Request(f"{server.url}/v2/models/{MODEL}/infer", body, headers)
    with urllib.request.urlopen(request) as response:
        split = int(response.headers["Inference-Header-Content-Length"])
        assert response.read()[split:] == expected.tobytes()


def bad_input(name="input", shape=(1, 224, 224, 3), datatype="UINT8"):
    tensor = triton.InferInput(name, shape, datatype)
    kind = {"UINT8": np.uint8, "FP32": np.float32}[datatype]
    tensor.set_data_from_numpy(np.zeros(shape, kind))
    return tensor


@pytest.mark.parametrize(
    "call, status, text",
    [
        (lambda c: c.infer("nobody", [pixels()]), "404", "unknown model"),
        (lambda c: c.infer(MODEL, [pixels()], model_version="9"), "404", "version"),
        (lambda c: c.infer(MODEL, [bad_input(name="other")]), "400", "no such input"),
        (lambda c: c.infer(MODEL, [bad_input(datatype="FP32")]), "400", "UINT8"),
        (lambda c: c.infer(MODEL, [bad_input(shape=(1, 10, 10, 3))]), "400", "10"),
        (lambda c: c.infer(MODEL, [pixels()], outputs=[triton.InferRequestedOutput("z")]), "400", "no such output"),
        (lambda c: c.infer(MODEL, [pixels()], outputs=[triton.InferRequestedOutput("prediction")]), "400", "pictures"),
        (lambda c: c.infer(MODEL, [picture_input(b"no picture")]), "400", ""),
        (lambda c: c.get_model_metadata("nobody"), "404", "unknown model"),
        (lambda c: c.get_model_config("nobody"), "404", "unknown model"),
        (lambda c: c.get_inference_statistics(), "501", "not implemented"),
        (lambda c: c.get_inference_statistics(MODEL), "501", "not implemented"),
        (lambda c: c.get_model_repository_index(), "501", "not implemented"),
        (lambda c: c.load_model(MODEL), "501", "not implemented"),
        (lambda c: c.unload_model(MODEL), "501", "not implemented"),
        (lambda c: c.get_system_shared_memory_status(), "501", "not implemented"),
        (lambda c: c.register_system_shared_memory("r", "/k", 8), "501", "not implemented"),
        (lambda c: c.unregister_system_shared_memory(), "501", "not implemented"),
        (lambda c: c.get_cuda_shared_memory_status(), "501", "not implemented"),
        (lambda c: c.get_trace_settings(), "501", "not implemented"),
        (lambda c: c.get_trace_settings(MODEL), "501", "not implemented"),
        (lambda c: c.get_log_settings(), "501", "not implemented"),
    ],
)
def test_errors_are_told(client, call, status, text):
    with pytest.raises(InferenceServerException) as caught:
        call(client)
    assert caught.value.status() == status
    assert text in caught.value.message()


def test_unknown_paths_and_methods_answer_json(server):
    for method, path, status in [("GET", "/nothing", 404), ("PUT", "/v2", 405)]:
        request = urllib.request.Request(server.url + path, method=method)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == status
        assert json.loads(caught.value.read())["error"]
