"""The module `dlr` over Sedge: packages of SageMaker Neo and other models."""

import os
import platform
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from sedge import MODELS, ROOT, SEDGE, TESTDATA

sys.path.insert(0, str(ROOT / "python"))
os.environ["SEDGE"] = SEDGE

from dlr import DLRError, DLRModel  # noqa: E402

NEO = TESTDATA / "neo"


@pytest.fixture(scope="session")
def runtime(tmp_path_factory):
    """The runtime of Neo's packages, as `sedge runtime install` brings it."""
    if platform.machine() != "x86_64":
        pytest.skip("the packages of the test data are for x86_64")
    root = tmp_path_factory.mktemp("root")
    install = [SEDGE, "runtime", "install", "dlr", "--root", str(root)]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail(done.stderr)
        pytest.skip(f"no runtime: {done.stderr}")
    os.environ["SEDGE_ROOT"] = str(root)
    yield
    del os.environ["SEDGE_ROOT"]


def golden(name):
    with np.load(NEO / f"golden/{name}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    "package, case",
    [
        ("mobilenet", "cat_720p"),
        ("mobilenet_quant", "cat_720p"),
        ("ssd", "coffee"),
        ("dynamic_batch", "batch_32"),
        ("dynamic_batch", "batch_1"),
        ("three_inputs", "a"),
        ("xgboost_binary", "rows_64"),
        ("xgboost_multiclass", "fewer_columns_3x5"),
    ],
)
def test_packages_give_their_references(runtime, package, case):
    model = DLRModel(str(NEO / package), "cpu", 0)
    inputs, expected = golden(f"{package}.{case}.in"), golden(f"{package}.{case}.out")
    answered = model.run(inputs)
    assert model.get_output_names() == list(expected)
    for array, (name, wanted) in zip(answered, expected.items()):
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape), name
        np.testing.assert_allclose(array, wanted, rtol=1e-6, atol=1e-6, err_msg=name)
    model.close()


def test_names_and_types_are_those_of_the_package(runtime):
    model = DLRModel(NEO / "three_inputs")
    assert model.get_input_names() == ["zeta", "alpha", "mask"]
    assert model.get_input_dtypes() == ["float32", "int32", "uint8"]
    assert model.get_output_dtypes() == ["float32", "int64", "int32", "int32"]
    assert (model.get_input_name(1), model.get_output_dtype(1)) == ("alpha", "int64")
    assert model.has_metadata() and model.get_version() == "1.6.0"
    assert not DLRModel(NEO / "xgboost_multiclass").has_metadata()
    inputs = golden("three_inputs.a.in")
    first = model.run(inputs)
    # What was given stays, floats take any number, and results are the caller's own.
    again = model.run({"zeta": inputs["zeta"].astype(np.float64)})
    for one, other in zip(first, again):
        assert one is not other and np.array_equal(one, other)
    np.testing.assert_array_equal(model.get_input("alpha"), inputs["alpha"])
    with pytest.raises(ValueError, match="input data with name mask should have dtype uint8 but"):
        model.run({"mask": inputs["mask"].astype(np.int64)})
    with pytest.raises(ValueError, match="p0 is not a valid input name."):
        model.run({"p0": inputs["zeta"]})
    with pytest.raises(ValueError, match="input_values must be of type dict"):
        model.run([1.0])


def test_every_other_model_answers_as_well(tmp_path):
    """A classifier of MXNet in a directory, as the group's machine learning resource has it."""
    model = DLRModel(MODELS / "mxnet-resnet8")
    name = model.get_input_names()[0]
    inputs = golden("resnet8_dynamic.batch_1.in")["data"]
    expected = golden("resnet8_dynamic.batch_1.out")["softmax_output"]
    np.testing.assert_allclose(model.run({name: inputs})[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.run(inputs)[0], expected, rtol=1e-4, atol=1e-5)
    # Larger tensors than before find their room.
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in (MODELS / "mxnet-mobilenet-v1").iterdir():
            if file.is_file():
                packed.write(file, file.name)
    large = DLRModel(archive)
    shape = golden("mobilenet.cat_720p.in")["data"]
    for _ in range(3):
        assert large.run(shape)[0].shape == (1, 1001)


def test_what_cannot_be_loaded_says_why(tmp_path):
    with pytest.raises(ValueError, match="model_path /nowhere doesn't exist"):
        DLRModel("/nowhere")
    with pytest.raises(DLRError, match='requires device type "cpu" but user gave "gpu"'):
        DLRModel(NEO / "ssd", "gpu", 0)
    (tmp_path / "notes.txt").write_text("no model")
    log = tmp_path / "errors.log"
    with pytest.raises(DLRError, match="holds no model.toml"):
        DLRModel(tmp_path, error_log_file=str(log))
    assert "holds no model.toml" in log.read_text()


def test_the_end_of_the_process_is_an_error():
    model = DLRModel(MODELS / "mxnet-resnet8")
    model._exchange._process.kill()
    with pytest.raises(DLRError):
        model.run(np.zeros((1, 3, 32, 32), np.float32))
