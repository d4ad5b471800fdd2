"""Writes the golden cases of two packages from stored answers of TensorFlow Lite.

Needs NumPy. Run in this directory: python3 make_golden_cases.py
"""

import json
import shutil
from pathlib import Path

import numpy as np

PICTURE, SIZE = "chelsea_exif6.jpg", (451, 300)  # upright
BEST = 4


def stored(case, output):
    return np.load(Path("reference") / f"{case}.output.{output}.npy")[0]


def labels(package):
    return Path("models", package, "labels.txt").read_text(encoding="utf-8").splitlines()


def write(package, task, answer):
    folder = Path("models", package, "golden")
    folder.mkdir(exist_ok=True)
    shutil.copyfile(Path("images", PICTURE), folder / "chelsea.jpg")
    zeros = dict.fromkeys(["queue", "decode", "preprocess", "inference", "postprocess", "total"], 0)
    case = {"image": "chelsea.jpg", "service": package, "model": f"{package} (TensorFlow Lite)",
            "task": task, **answer, "timings_us": zeros}
    (folder / "chelsea.json").write_text(json.dumps(case, indent=1) + "\n", encoding="utf-8")


def classes(package, case, output, scale):
    scores = stored(case, output) * scale
    best = np.argsort(-scores, kind="stable")[:BEST]
    names = labels(package)
    found = [{"index": int(i), "label": names[i], "score": float(scores[i])} for i in best]
    write(package, "image-classification", {"classes": found})


def objects(package, case, output, threshold):
    boxes, ids, scores, _ = (stored(case, output + end) for end in ["", "_1", "_2", "_3"])
    names, found = labels(package), []
    for (ymin, xmin, ymax, xmax), index, score in zip(boxes, ids.astype(int), scores, strict=True):
        if score < threshold:
            continue
        ratios = dict(zip(["xmin", "ymin", "xmax", "ymax"],
                          np.clip([xmin, ymin, xmax, ymax], 0, 1).astype(float), strict=True))
        pixels = {key: value * SIZE[key[0] == "y"] for key, value in ratios.items()}
        found.append({"index": int(index), "label": names[index], "score": float(score),
                      "box": pixels, "box_normalized": ratios})
    write(package, "object-detection", {"objects": found})


classes("mobilenet-v2", "tflite_mobilenet_v2_1.0_224_quant/mobilenet_v2_1.0_224_quant__chelsea_exif6",
        "MobilenetV2_Predictions_Softmax", 1 / 256)
objects("ssd-mobilenet-v1-coco", "tflite_ssd_mobilenet_v1_coco_quant/chelsea_exif6",
        "TFLite_Detection_PostProcess", 0.3)
