"""Writes testdata/mxnet_networks.zip: whole networks with what MXNet 1.9.1 answers.

    python3.8 -m venv venv && venv/bin/pip install 'numpy<1.24' mxnet==1.9.1
    venv/bin/python make_networks.py ../../testdata/mxnet_networks.zip [SYMBOLS...]

The networks are Gluon's model zoo and the symbol files that are named (plain or .gz). None has real
weights: each weight follows from its name and place by the formula in `values`, which
crates/sedge-service/tests/networks.rs has too. So the archive holds graphs, shapes, and of every
output its mean size and a few of its numbers.
"""

import gzip
import json
import os
import pathlib
import re
import sys
import zipfile

# MXNet 1.9.1 joins convolutions with what follows them, and gets it wrong where a sum and an
# activation read the same convolution, as in LFFD: its answers then differ from its own without.
os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"

import mxnet as mx
import numpy as np
from mxnet.gluon.model_zoo import vision

SAMPLES = 48
ZOO = ["alexnet", "inceptionv3", "squeezenet1.0", "squeezenet1.1"]
ZOO += [f"densenet{n}" for n in (121, 161, 169, 201)]
ZOO += [f"mobilenet{n}" for n in ("0.25", "0.5", "0.75", "1.0")]
ZOO += [f"mobilenetv2_{n}" for n in ("0.25", "0.5", "0.75", "1.0")]
ZOO += [f"resnet{n}_v{v}" for v in (1, 2) for n in (18, 34, 50, 101, 152)]
ZOO += [f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")]


def uniform(name, count):
    """Numbers in [-1, 1): SplitMix64 from the FNV-1a hash of the name on, upper 24 bits."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)


def values(name, shape):
    """A weight, or the input."""
    u = uniform(name, int(np.prod(shape))).reshape(shape)
    if name.endswith("_gamma") or name.endswith("_var"):
        return np.float32(1) + u * np.float32(0.125)
    if name.endswith(("_beta", "_mean", "_bias")):
        return u * np.float32(0.125)
    if name.endswith("_weight"):
        fan_in = int(np.prod(shape[1:]))
        return u * np.sqrt(np.float32(3) / np.float32(fan_in))
    return u


def sampled(array, column):
    """Mean size, and numbers at even distances; of detections their scores in order."""
    if column is not None:
        array = -np.sort(-array[..., column].ravel())
    flat = array.ravel().astype(np.float32)
    places = [i * (flat.size - 1) // (SAMPLES - 1) for i in range(SAMPLES)]
    return {
        "shape": list(array.shape) if column is None else None,
        "column": column,
        "size": float(np.abs(flat).mean()),
        "samples": [float(flat[place]) for place in places],
    }


def told_apart(rows):
    """Rows of class, score and corners, by falling scores, that no other row comes near: what
    suppression of boxes leaves is in no order where scores are equal."""
    rows = rows[rows[:, 0] >= 0]
    rows = rows[np.argsort(-rows[:, 1], kind="stable")]
    scores = rows[:, 1]
    gap = np.minimum(np.diff(scores, prepend=np.inf) * -1, np.diff(scores, append=-np.inf) * -1)
    alone = rows[gap > 2e-4 * np.abs(scores)]
    picked = alone[np.linspace(0, len(alone) - 1, min(len(alone), SAMPLES)).astype(int)] if len(alone) else alone
    return [[float(number) for number in row] for row in picked]


def network(name, symbol, shape):
    symbol = mx.sym.load_json(symbol)
    arguments, _, auxiliary = symbol.infer_shape_partial(data=shape)
    shapes = dict(zip(symbol.list_arguments(), arguments))
    shapes.update(zip(symbol.list_auxiliary_states(), auxiliary))
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=shape)
    for table in (executor.arg_dict, executor.aux_dict):
        for key, array in table.items():
            array[:] = values(key, array.shape)
            shapes[key] = array.shape
    outputs = executor.forward(is_train=False)
    kinds = {node["op"] for node in json.loads(symbol.tojson())["nodes"]}
    rows = "_contrib_MultiBoxDetection" in kinds
    split = "_contrib_box_nms" in kinds
    found = []
    for index, (output, array) in enumerate(zip(symbol.list_outputs(), outputs)):
        if split and index != 1:
            continue
        found.append({"name": output, **sampled(array.asnumpy(), 1 if rows else 0 if split else None)})
    arrays = [array.asnumpy() for array in outputs]
    detections = None
    if split:
        detections = told_apart(np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays[:3]], 1))
    elif rows:
        detections = told_apart(next(a for a in arrays if a.shape[-1] == 6).reshape(-1, 6))
    weights = {key: list(s) for key, s in shapes.items() if key != "data" and not key.endswith("label")}
    auxiliary = symbol.list_auxiliary_states()
    return {
        "name": name,
        "input": list(shape),
        "weights": [[("aux:" if key in auxiliary else "arg:") + key, s] for key, s in weights.items()],
        "outputs": found,
        "detections": detections,
    }


def main(target, *files):
    index = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name, symbol, shape):
            print(name, flush=True)
            index.append(network(name, symbol, shape))
            # Small: the shapes of weights are in the index.
            text = json.dumps(json.loads(symbol), separators=(",", ":"))
            archive.writestr(zipfile.ZipInfo(f"{name}-symbol.json"), text, zipfile.ZIP_DEFLATED)

        for name in ZOO:
            symbol = vision.get_model(name)(mx.sym.var("data")).tojson()
            size = 299 if name == "inceptionv3" else 224
            add(name, symbol, (1, 3, size, size))
        for file in map(pathlib.Path, files):
            content = file.read_bytes()
            symbol = (gzip.decompress(content) if file.suffix == ".gz" else content).decode()
            name = file.name.split("-symbol")[0]
            side = re.search(r"_(512|320|416)_", name)
            side = int(side[1]) if side else 416 if "yolo" in name else 300 if "ssd" in name else 224
            add(name, symbol, (1, 3, side, side))
        text = json.dumps(index, separators=(",", ":"))
        archive.writestr(zipfile.ZipInfo("index.json"), text, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main(*sys.argv[1:])
