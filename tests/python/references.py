"""Stored answers of the original frameworks, and how near ours must be."""

import json
import tomllib
from dataclasses import dataclass

import numpy as np

from sedge import MODELS, TESTDATA, picture, upright

METHODS = {"pillow-bilinear": "pil_bilinear", "opencv-linear": "cv2_linear"}

# Package and reference folder.
CLASSIFIERS = {
    "mobilenet-v2": "tflite_mobilenet_v2_1.0_224_quant",
    "mobilenet-v1-0-25-224": "tflite_mobilenet_v1_0.25_224_float",
    "mobilenet-v1-onnx": "onnx_mobilenet_v1_0.25_224",
}
DETECTORS = {
    "ssd-mobilenet-v1-coco": "tflite_ssd_mobilenet_v1_coco_quant",
    "ultraface-rfb320": "onnx_ultraface_rfb320",
    "face-mask": "tflite_face_mask_ssd",
}

@dataclass
class Case:
    model: str
    image: str
    data: dict
    folder: object

    def __str__(self):
        return f"{self.model}-{self.image}"

    @property
    def body(self):
        return picture(self.image)

    @property
    def content_type(self):
        return "image/png" if self.image.endswith(".png") else "image/jpeg"

    def outputs(self):
        """Stored outputs by name, as numbers of the model's own type."""
        stored = (output for output in self.data["outputs"] if "file" in output)
        return {output["name"]: np.load(self.folder / output["file"]) for output in stored}

    def scores(self):
        """Class scores and the distance that is still equal."""
        [output] = self.data["outputs"]
        [values] = self.outputs().values()
        values = values.reshape(-1)
        if quantization := output.get("quantization"):
            step = quantization["scale"]
            return (values.astype(np.float32) - quantization["zero_point"]) * step, 2 * step
        return values, 1e-4

    def rows(self):
        """Detections as rows of the SageMaker dialect."""
        width, height = upright(self.image).size
        size = np.array([width, height, width, height])
        return [
            [one["class_index"], one["score"], *np.clip(np.array(one["box"]) / size, 0, 1)]
            for one in self.data["detections"]
        ]


def cases(models):
    found = []
    for model, folder in models.items():
        spec = tomllib.loads((MODELS / model / "model.toml").read_text())["input"][0]
        for path in sorted((TESTDATA / "reference" / folder).glob("*.json")):
            data = json.loads(path.read_text())
            # Some references were prepared in another way than the package says.
            if data["preprocess"]["resize"]["method"] == METHODS[spec["filter"]]:
                image = data["image"]["path"].removeprefix("images/")
                found.append(Case(model, image, data, path.parent))
    return found


def assert_rows_match(rows, expected):
    assert len(rows) == len(expected)
    rest = list(rows)
    for wanted in expected:
        best = max(rest, key=lambda row: (row[0] == wanted[0], overlap(row[2:], wanted[2:])))
        rest.remove(best)
        assert best[0] == wanted[0]
        assert abs(best[1] - wanted[1]) <= 0.01
        assert overlap(best[2:], wanted[2:]) >= 0.95


def overlap(a, b):
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return both / (area(a) + area(b) - both)
