"""Writes tflite_metadata/: TensorFlow Lite models whose metadata says how scores are calibrated.

Needs what make_tflite_cases.py needs. `colours.tflite` tells red, green, blue and gray pictures
apart; `detector.tflite` ends in TensorFlow's detection operator, its outputs in no usual order;
`yolo_*.tflite` have the metadata of exporters of the YOLO family, old and new.
`expected.json` has outputs (those of `colours` as LiteRT answers) and the calibrated scores, computed
here in double precision by the task library's formula.
"""

import io
import json
import math
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from flatbuffers import flexbuffers

import make_tflite_cases as cases
from make_tflite_cases import Graph, constant, f32, given, i32, options

HERE = Path(__file__).parent / "tflite_metadata"
cases.VERSIONS.update(RESHAPE=1, SOFTMAX=1, LOGISTIC=1, MUL=1)


class Union:
    """A member of a union, by its number."""

    def __init__(self, kind, table):
        self.kind, self.table = kind, table


def write(builder, table):
    """Writes a table given as {number of the field: value}."""
    ready = []
    for field, value in table.items():
        if isinstance(value, str):
            ready.append((field, "offset", builder.CreateString(value)))
        elif isinstance(value, Union):
            ready.append((field, "u8", value.kind))
            ready.append((field + 1, "offset", write(builder, value.table)))
        elif isinstance(value, dict):
            ready.append((field, "offset", write(builder, value)))
        elif isinstance(value, np.ndarray):
            ready.append((field, "offset", builder.CreateNumpyVector(value)))
        elif isinstance(value, list):
            offsets = [write(builder, item) for item in value]
            builder.StartVector(4, len(offsets), 4)
            for offset in reversed(offsets):
                builder.PrependUOffsetTRelative(offset)
            ready.append((field, "offset", builder.EndVector()))
        else:
            ready.append((field, "f32" if isinstance(value, float) else "u8", value))
    builder.StartObject(max(field for field, _, _ in ready) + 1 if ready else 0)
    for field, kind, value in ready:
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(field, value, 0)
        elif kind == "f32":
            builder.PrependFloat32Slot(field, value, 0.0)
        else:
            builder.PrependUint8Slot(field, value, 0)
    return builder.EndObject()


def with_metadata(model, metadata, files):
    """The model with its metadata, and the files packed behind it."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(write(builder, metadata), b"M001")
    schema = cases.schema
    loaded = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(bytes(builder.Output()), np.uint8)
    loaded.buffers.append(buffer)
    entry.name, entry.buffer = "TFLITE_METADATA", len(loaded.buffers) - 1
    loaded.metadata = [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(loaded.Pack(builder), b"TFL3")
    return packed_behind(bytes(builder.Output()), files)


# Fields of metadata_schema.fbs 1.3 of tensorflow/tflite-support, by number.
def image(mean, std):
    properties = {0: Union(2, {0: 1})}
    normalization = {0: Union(1, {0: np.array([mean], f32), 1: np.array([std], f32)})}
    return {0: "image", 3: properties, 4: [normalization]}


def file(name, kind):
    return {0: name, 2: kind}


def answers(model, value):
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def logarithm(score, least=float(f32(1e-16))):
    return math.log(score) if score >= least else 2 * math.log(least) - math.log(2 * least - score)


def calibrated(score, line, transform, default):
    numbers = [float(f32(float(text))) for text in line.split(",")] if line else []
    if not numbers or (len(numbers) == 4 and score < numbers[3]):
        return default
    scale, slope, offset = numbers[:3]
    return scale / (1 + math.exp(-(transform(score) * slope + offset)))


def colours():
    x, y = given("image", f32, [1, 8, 8, 3]), given("scores", f32, [1, 4])
    mean, raw = given("mean", f32, [1, 3]), given("raw", f32, [1, 4])
    weights = np.array([[3, -2, -2], [-2, 3, -2], [-2, -2, 3], [-0.5, -0.5, -0.5]], f32)
    graph = Graph([x], [y]).call("MEAN", [x, constant("axes", i32([1, 2]))], [mean], options("Reducer"))
    graph.call("FULLY_CONNECTED", [mean, constant("weights", weights), constant("bias", f32([0, 0, 0, 0.5]))], [raw], options("FullyConnected"))
    graph.call("SOFTMAX", [raw], [y], options("Softmax", beta=1.0))
    lines = ["0.95,1.1,0.2", "0.9,0.8,-0.1", "", "1.0,1.5,0.4,0.02"]
    labels = ["red", "green", "blue", "gray"]
    scores = {
        0: "probability",
        4: [{0: Union(2, {0: 2, 1: 0.001})}, {0: Union(3, {0: 0.05})}],
        6: [file("labels.txt", 2), file("calibration.txt", 4)],
    }
    metadata = {0: "colours", 2: "1", 3: [{2: [image(127.5, 127.5)], 3: [scores]}], 5: "Apache-2.0"}
    files = {"labels.txt": "\n".join(labels), "calibration.txt": "\n".join(lines)}
    model = with_metadata(cases.model(graph), metadata, files)
    value = np.tile(np.array([0.4, 0.3, -0.2], f32), (1, 8, 8, 1))
    (raw,) = answers(model, value)
    odds = lambda score: logarithm(score) - logarithm(1 - score)
    wanted = [calibrated(float(s), line, odds, float(f32(0.001))) for s, line in zip(raw[0], lines)]
    return model, {"outputs": {"scores": raw.ravel().tolist()}, "scores": wanted, "threshold": 0.05}


def detector():
    x = given("image", f32, [1, 8, 8, 3])
    mean, raw, classes, flat = given("mean", f32, [1, 3]), given("raw", f32, [1, 6]), given("class_scores", f32, [1, 2, 3]), given("flat", f32, [1, 6])
    boxes = given("boxes", f32, [1, 2, 4])
    found = {n: given(n, f32, s) for n, s in dict(alpha=[1, 2, 4], beta=[1, 2], gamma=[1, 2], delta=[1]).items()}
    order = [found[n] for n in ("gamma", "alpha", "delta", "beta")]
    weights = np.array([[1, 0, 0], [2, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 2]], f32)
    graph = Graph([x], order).call("MEAN", [x, constant("axes", i32([1, 2]))], [mean], options("Reducer"))
    graph.call("FULLY_CONNECTED", [mean, constant("weights", weights), constant("bias", f32([-2, 1, 0, -2, 0.3, 2]))], [raw], options("FullyConnected"))
    graph.call("LOGISTIC", [raw], [flat]).call("RESHAPE", [flat, constant("shape", i32([1, 2, 3]))], [classes], options("Reshape"))
    graph.call("MUL", [constant("zero", np.zeros((1, 2, 4), f32)), constant("zeros", np.zeros((1, 2, 4), f32))], [boxes], options("Mul"))
    anchors = constant("anchors", f32([[0.25, 0.25, 0.3, 0.3], [0.7, 0.6, 0.4, 0.5]]))
    settings = dict(max_detections=2, max_classes_per_detection=1, detections_per_class=2, nms_score_threshold=0.1,
                    nms_iou_threshold=0.5, num_classes=2, y_scale=10.0, x_scale=10.0, h_scale=5.0, w_scale=5.0)
    graph.call("TFLite_Detection_PostProcess", [boxes, classes, anchors], list(found.values()), custom=flexbuffers.Dumps(settings))
    lines = ["1.0,3.0,-1.0", "0.8,2.0,0.0"]
    scores = {0: "score", 4: [{0: Union(2, {0: 0, 1: 0.0})}, {0: Union(3, {0: 0.6})}], 6: [file("calibration.txt", 4)]}
    category = {0: "category", 6: [file("labels.txt", 3)]}
    outputs = [scores, {0: "location"}, {0: "number of detections"}, category]
    metadata = {0: "two boxes", 3: [{2: [image(0.0, 255.0)], 3: outputs}]}
    model = with_metadata(cases.model(graph), metadata, {"labels.txt": "left\nright", "calibration.txt": "\n".join(lines)})
    # LiteRT's package for Python has no such operator: outputs as it would give them.
    boxes = f32([[[0.1, 0.1, 0.4, 0.4], [0.5, 0.35, 0.9, 0.85]]])
    raw = [f32([[0.82, 0.4]]), boxes, f32([2]), f32([[1, 0]])]
    names = ["gamma", "alpha", "delta", "beta"]
    identity = lambda score: score
    wanted = [calibrated(float(s), lines[int(c)], identity, 0.0) for s, c in zip(raw[0][0], raw[3][0])]
    return model, {
        "outputs": {n: v.ravel().tolist() for n, v in zip(names, raw)},
        "shapes": {n: list(v.shape) for n, v in zip(names, raw)},
        "scores": wanted, "classes": raw[3][0].astype(int).tolist(), "threshold": 0.6,
    }


def packed_behind(model, files):
    packed = io.BytesIO(model)
    packed.seek(0, io.SEEK_END)
    with zipfile.ZipFile(packed, "a") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return packed.getvalue()


def yolo():
    """The form of a YOLO export: heads of two classes, in parts of the input, and its own metadata."""
    x, y = given("images", f32, [1, 32, 32, 3]), given("output0", f32, [1, 6, 21])
    mean = given("mean", f32, [1, 1, 1])
    graph = Graph([x], [y]).call("MEAN", [x, constant("axes", i32([1, 2, 3]))], [mean], options("Reducer"))
    graph.call("ADD", [constant("heads", np.zeros((1, 6, 21), f32)), mean], [y], options("Add"))
    model = cases.model(graph)
    known = {"description": "a 'test', with commas", "stride": 32, "task": "detect", "batch": 1, "imgsz": [32, 32], "names": {0: "cat", 1: "dog's"}}
    label_file = file("temp_meta.txt", 2)
    metadata = {0: "test", 3: [{2: [{0: "image", 3: {0: Union(2, {0: 1})}}], 3: [{0: "output", 6: [label_file]}]}]}
    old = with_metadata(model, metadata, {"temp_meta.txt": str(known)})
    new = packed_behind(model, {"metadata.json": json.dumps(known, indent=2)})
    return {"yolo_old": old, "yolo_new": new}


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    expected = {}
    for name, make in dict(colours=colours, detector=detector).items():
        model, expected[name] = make()
        (HERE / f"{name}.tflite").write_bytes(model)
    for name, model in yolo().items():
        (HERE / f"{name}.tflite").write_bytes(model)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
