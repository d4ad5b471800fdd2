"""Writes the golden cases of the two packages that `sedge sample` carries.

MobileNet is answered by TensorFlow Lite's reference kernels, FastestDet by onnxruntime and decoded
by the rule of its authors. Needs NumPy, Pillow, OpenCV, ai-edge-litert and onnxruntime.
Run in this directory: python3 make_sample_cases.py
"""

import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from PIL import Image

CLASSIFIER, DETECTOR = Path("models/mobilenet-v1-0-25-224-quant"), Path("models/fastestdet")
CELLS, THRESHOLD, IOU = 22, 0.5, 0.45


def labels(package):
    return (package / "labels.txt").read_text(encoding="utf-8").splitlines()


def picture(package, source, name):
    (package / "golden").mkdir(exist_ok=True)
    shutil.copyfile(Path("images", source), package / "golden" / f"{name}.jpg")
    return Image.open(package / "golden" / f"{name}.jpg").convert("RGB")


def write(package, name, framework, task, answer):
    zeros = dict.fromkeys(["queue", "decode", "preprocess", "inference", "postprocess", "total"], 0)
    case = {"image": f"{name}.jpg", "service": package.name, "model": f"{package.name} ({framework})",
            "task": task, **answer, "timings_us": zeros}
    (package / "golden" / f"{name}.json").write_text(json.dumps(case, indent=1), encoding="utf-8")


def classifier():
    pixels = picture(CLASSIFIER, "chelsea_upright.jpg", "cat").resize((224, 224), Image.BILINEAR)
    model = Interpreter(str(CLASSIFIER / "mobilenet_v1_0.25_224_quant.tflite"),
                        experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    model.allocate_tensors()
    model.set_tensor(model.get_input_details()[0]["index"], np.asarray(pixels)[None])
    model.invoke()
    output = model.get_output_details()[0]
    scale, zero = output["quantization"]
    scores = (model.get_tensor(output["index"])[0].astype(np.float64) - zero) * scale
    names = labels(CLASSIFIER)
    best = np.argsort(-scores, kind="stable")[:2]
    found = [{"index": int(i), "label": names[i], "score": float(scores[i])} for i in best]
    write(CLASSIFIER, "cat", "TensorFlow Lite", "image-classification", {"classes": found})


def overlap(a, b):
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    area = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    both = max(width, 0) * max(height, 0)
    return both / (sum(area) - both)


def detector():
    pixels = np.asarray(picture(DETECTOR, "face.jpg", "people"))
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (352, 352), interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
    session = onnxruntime.InferenceSession(DETECTOR / "FastestDet.onnx")
    tensor = small.transpose(2, 0, 1)[None].astype(np.float32) / 255
    maps = session.run(None, {"input.1": tensor})[0][0]
    sigmoid = lambda x: 1 / (1 + math.exp(-x))
    candidates = []
    for row, column in np.ndindex(CELLS, CELLS):
        values = maps[:, row, column]
        index = int(values[5:].argmax())
        score = float(values[0]) ** 0.6 * float(values[5 + index]) ** 0.4
        if score <= THRESHOLD:
            continue
        x, y = (column + math.tanh(values[1])) / CELLS, (row + math.tanh(values[2])) / CELLS
        w, h = sigmoid(values[3]) / 2, sigmoid(values[4]) / 2
        box = [(x - w) * width, (y - h) * height, (x + w) * width, (y + h) * height]
        candidates.append((score, index, box))
    kept = []
    for candidate in sorted(candidates, reverse=True):
        if all(overlap(candidate[2], other[2]) <= IOU for other in kept):
            kept.append(candidate)
    names, found = labels(DETECTOR), []
    for score, index, box in kept:
        size = (width, height, width, height)
        box = [min(max(edge, 0), bound) for edge, bound in zip(box, size, strict=True)]
        ratios = [edge / bound for edge, bound in zip(box, size, strict=True)]
        edges = ["xmin", "ymin", "xmax", "ymax"]
        found.append({"index": index, "label": names[index], "score": score,
                      "box": dict(zip(edges, box, strict=True)),
                      "box_normalized": dict(zip(edges, ratios, strict=True))})
    write(DETECTOR, "people", "onnxruntime", "object-detection", {"objects": found})


classifier()
detector()
