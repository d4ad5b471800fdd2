"""Packs cases of one MXNet operator each into testdata/mxnet_ops.zip.

    python pack_operators.py CASES ../../testdata/mxnet_ops.zip

CASES has a directory per case, with symbol.json, an input.NAME.npy for each variable and an
output.N.npy for each output that MXNet 1.9.1 computed of them, and an index.json of all. What a
layer's weights are becomes a parameter file, as real models have it; the shapes of the other inputs
are written into their variables, as mx.sym.var(NAME, shape=SHAPE) does.
"""

import io
import json
import pathlib
import struct
import sys
import zipfile

import numpy as np

WITH_WEIGHTS = {
    "Convolution", "Deconvolution", "FullyConnected", "BatchNorm", "LeakyReLU", "Embedding",
    "InstanceNorm", "LayerNorm",
}
# By how much elements may differ beside rounding, where MXNet's own arithmetic is coarser.
ABSOLUTE = {}


def params(arrays):
    """A parameter file: version 2 arrays of f32 in a list."""
    out = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        shape = struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
        out += struct.pack("<Ii", 0xF993FAC9, 0) + shape + struct.pack("<iii", 1, 0, 0)
        out += np.ascontiguousarray(array, "<f4").tobytes()
    out += struct.pack("<Q", len(arrays))
    for name in arrays:
        out += struct.pack("<Q", len(name)) + name.encode()
    return out


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def weights_of(symbol):
    """Names of the variables that a layer takes as weights, and which of them are statistics."""
    nodes, found = symbol["nodes"], {}
    for node in nodes:
        if node["op"] not in WITH_WEIGHTS:
            continue
        for entry in node["inputs"][1:]:
            variable = nodes[entry[0]]
            if variable["op"] == "null":
                found[variable["name"]] = "aux" if entry[2:] == [1] else "arg"
    return found


def main(cases, target):
    cases, index = pathlib.Path(cases), []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:

        def write(name, content):
            # A fixed date, so that the same cases make the same file.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)

        for case in json.loads((cases / "index.json").read_text()):
            name = case["case"]
            folder = cases / name
            symbol = json.loads((folder / "symbol.json").read_text())
            inputs = {i: np.load(folder / f"input.{i}.npy") for i in case["inputs"]}
            inputs |= {i: np.load(folder / f"input.{i}.npy") for i in case["aux"]}
            kinds = weights_of(symbol)
            weights = {f"{kinds[n]}:{n}": a for n, a in inputs.items() if n in kinds}
            others = [n for n in (x["name"] for x in symbol["nodes"] if x["op"] == "null")
                      if n in inputs and n not in kinds]
            for node in symbol["nodes"]:
                if node["name"] in others:
                    node.setdefault("attrs", {})["__shape__"] = str(inputs[node["name"]].shape)
            # Labels are of no use in inference.
            others = [n for n in others if not n.endswith("_label")]
            write(f"{name}-symbol.json", json.dumps(symbol, separators=(",", ":")))
            if weights:
                write(f"{name}-0000.params", params(weights))
            for number, other in enumerate(others):
                write(f"{name}.in{number}.npy", npy(inputs[other]))
            for number, _ in enumerate(case["outputs"]):
                write(f"{name}.out{number}.npy", npy(np.load(folder / f"output.{number}.npy")))
            index.append({
                "name": name,
                "operator": "+".join(case["ops"]),
                "model": f"{name}-symbol.json",
                "beside": [f"{name}-0000.params"] if weights else [],
                "inputs": others,
                "outputs": [output["name"] for output in case["outputs"]],
                "absolute": ABSOLUTE.get(name, 0.0),
            })
        write("index.json", json.dumps(index, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
