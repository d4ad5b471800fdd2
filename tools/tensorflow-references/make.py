"""Writes testdata/tensorflow_ops.zip and the saved models of testdata/models, with TensorFlow's
answers.

Needs tensorflow-cpu 2.15.1 (Python 3.9 to 3.11): `make.py operators` or `make.py saved`. Every case
of the archive is NAME.pb, a frozen graph, NAME.inN.npy and NAME.outN.npy; index.json lists them
with the operators in them.
"""

import io
import json
import os
import sys
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf

TESTDATA = Path(__file__).resolve().parents[2] / "testdata"
NAMES = "xyzuvw"
# Answers that are the same in every run have the same bytes in the archive.
WHEN = (2026, 1, 1, 0, 0, 0)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array).reshape(np.shape(array)))
    return buffer.getvalue()


def run(build, inputs, batch):
    """The graph, the names and values of what comes out of it, and the names of what goes in."""
    graph = tf.Graph()
    with graph.as_default():
        places = []
        for name, value in zip(NAMES, inputs):
            shape = list(np.shape(value))
            if batch:
                shape[0] = None
            places.append(tf.compat.v1.placeholder(value.dtype, shape, name))
        results = build(*places)
        results = list(results) if isinstance(results, (list, tuple)) else [results]
        with tf.compat.v1.Session() as session:
            answers = session.run(results, dict(zip(places, inputs)))
    definition = graph.as_graph_def()
    order = {node.name: at for at, node in enumerate(definition.node)}
    found = sorted(zip(results, answers), key=lambda pair: (order[pair[0].op.name], pair[0].value_index))
    return definition, found, [place.name for place in places]


def operators(path):
    from cases import CASES
    from loops import CASES as LOOPS

    index = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        def write(name, data):
            info = zipfile.ZipInfo(name, WHEN)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)

        cases = {name: (*case, False) for name, case in CASES.items()}
        # Loops and branches as TensorFlow 1 writes them, as circles of operators, and as TensorFlow 2
        # does, as functions.
        for version in [1, 2]:
            for name, (build, inputs, batch) in LOOPS.items():
                cases[f"{name}_{version}"] = (build, inputs, batch, 1e-6, version)
        for name, (build, inputs, batch, absolute, version) in cases.items():
            if version:
                flow = tf.compat.v1
                (flow.enable_control_flow_v2 if version == 2 else flow.disable_control_flow_v2)()
            inputs = [np.asarray(value) for value in inputs]
            definition, found, places = run(build, inputs, batch)
            if version:
                # Frozen: without what no answer needs, which loops leave behind.
                ends = [result.op.name for result, _ in found]
                definition = tf.compat.v1.graph_util.extract_sub_graph(definition, ends)
            write(f"{name}.pb", definition.SerializeToString(deterministic=True))
            for at, value in enumerate(inputs):
                write(f"{name}.in{at}.npy", npy(value))
            for at, (_, answer) in enumerate(found):
                write(f"{name}.out{at}.npy", npy(answer))
            bodies = [node for function in definition.library.function for node in function.node_def]
            kinds = sorted({node.op for node in [*definition.node, *bodies]})
            index.append({
                "name": name,
                "operator": "/".join(kind for kind in kinds if kind not in ("Const", "Placeholder")),
                "operators": kinds,
                "model": f"{name}.pb",
                "inputs": places,
                "outputs": [result.name for result, _ in found],
                "absolute": absolute,
            })
        write("index.json", json.dumps(index, indent=1))
    print(f"{len(index)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    if sys.argv[1:] == ["operators"]:
        operators(TESTDATA / "tensorflow_ops.zip")
    elif sys.argv[1:] == ["saved"]:
        from saved import write
        write(TESTDATA)
    else:
        sys.exit(__doc__)
