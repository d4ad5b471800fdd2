"""Writes the models that are measured: published architectures with seeded random weights.

Speed does not depend on what the weights are, and made models need no download. Batch
normalisation is folded into the convolutions, as exporters do. The int8 variants are onnxruntime's
static quantisation: QDQ, unsigned activations, signed weights per channel.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 17, 8


class Graph:
    """Collects nodes and weights; each method appends one layer and returns its output's name."""

    def __init__(self, name, shape):
        self.name, self.nodes, self.weights, self.outputs = name, [], [], []
        self.random = np.random.default_rng(0)
        self.channels = {"input": shape[1]}
        self.input = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)

    def add(self, op, inputs, channels, **attributes):
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        self.channels[output] = channels
        return output

    def weight(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def conv(self, x, out, kernel, stride=1, group=1, act="relu", pad=None):
        channels = self.channels[x]
        shape = (out, channels // group, kernel, kernel)
        # He initialisation keeps the activations' size from layer to layer.
        scale = np.sqrt(2 / np.prod(shape[1:]))
        w = self.weight((self.random.standard_normal(shape) * scale).astype(np.float32))
        b = self.weight((self.random.standard_normal(out) * 0.01).astype(np.float32))
        pad = kernel // 2 if pad is None else pad
        y = self.add("Conv", [x, w, b], out, kernel_shape=[kernel, kernel], group=group,
                     strides=[stride, stride], pads=[pad] * 4)
        if act == "relu":
            return self.add("Relu", [y], out)
        if act == "relu6":
            limits = [self.weight(np.array(v, np.float32)) for v in (0, 6)]
            return self.add("Clip", [y, *limits], out)
        if act == "leaky":
            return self.add("LeakyRelu", [y], out, alpha=0.1)
        return y

    def join(self, a, b):
        return self.add("Add", [a, b], self.channels[a])

    def classify(self, x, classes):
        channels = self.channels[x]
        x = self.add("GlobalAveragePool", [x], channels)
        x = self.add("Flatten", [x], channels)
        w = self.weight((self.random.standard_normal((classes, channels)) * 0.05).astype(np.float32))
        b = self.weight(np.zeros(classes, np.float32))
        x = self.add("Gemm", [x, w, b], classes, transB=1)
        self.sharpen(x, w)
        self.outputs.append(self.add("Softmax", [x], classes, axis=1))

    def sharpen(self, logits, weights):
        """Scales the last layer so that its answer has a winner with a fifth of the probability:
        where all are equal, or one has everything, no difference between engines would show."""
        import onnxruntime

        self.outputs.append(logits)
        session = onnxruntime.InferenceSession(self.model().SerializeToString())
        shape = [dim.dim_value for dim in self.input.type.tensor_type.shape.dim]
        noise = np.random.default_rng(2).random(shape, np.float32)
        spread = session.run(None, {"input": noise})[0].std()
        self.outputs.pop()
        index = int(weights.removeprefix("w"))
        scaled = numpy_helper.to_array(self.weights[index]) * (3 / spread)
        self.weights[index] = numpy_helper.from_array(scaled.astype(np.float32), weights)

    def model(self):
        outputs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in self.outputs]
        graph = helper.make_graph(self.nodes, self.name, [self.input], outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        return model


def mobilenet_v1_layers(g, x):
    """Howard et al. 2017, table 1. Yields each block's output."""
    x = g.conv(x, 32, 3, 2, act="relu6")
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5,
              (1024, 2), (1024, 1)]
    for out, stride in blocks:
        x = g.conv(x, g.channels[x], 3, stride, group=g.channels[x], act="relu6")
        x = g.conv(x, out, 1, act="relu6")
        yield x


def mobilenet_v1(g):
    *_, x = mobilenet_v1_layers(g, "input")
    g.classify(x, 1000)


def mobilenet_v2(g):
    """Sandler et al. 2018, table 2."""
    x = g.conv("input", 32, 3, 2, act="relu6")
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
              (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, out, count, first in blocks:
        for index in range(count):
            channels, stride = g.channels[x], first if index == 0 else 1
            y = g.conv(x, channels * expand, 1, act="relu6") if expand > 1 else x
            y = g.conv(y, channels * expand, 3, stride, group=channels * expand, act="relu6")
            y = g.conv(y, out, 1, act=None)
            x = g.join(x, y) if stride == 1 and channels == out else y
    g.classify(g.conv(x, 1280, 1, act="relu6"), 1000)


def resnet50(g):
    """He et al. 2015, with the stride in the 3x3 convolution."""
    x = g.conv("input", 64, 7, 2)
    x = g.add("MaxPool", [x], 64, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for width, count, first in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for index in range(count):
            stride = first if index == 0 else 1
            y = g.conv(x, width, 1)
            y = g.conv(y, width, 3, stride)
            y = g.conv(y, width * 4, 1, act=None)
            if index == 0:
                x = g.conv(x, width * 4, 1, stride, act=None)
            x = g.add("Relu", [g.join(x, y)], width * 4)
    g.classify(x, 1000)


def ssd_mobilenet_300(g, classes=91):
    """Liu et al. 2016 on MobileNet v1, as TensorFlow's object detection API has it, before NMS."""
    features = list(mobilenet_v1_layers(g, "input"))
    maps, x = [features[10], features[12]], features[12]
    for squeeze, out in [(256, 512), (128, 256), (128, 256), (64, 128)]:
        x = g.conv(g.conv(x, squeeze, 1, act="relu6"), out, 3, 2, act="relu6")
        maps.append(x)
    heads = {4: [], classes: []}
    for index, feature in enumerate(maps):
        anchors = 3 if index == 0 else 6
        for values, found in heads.items():
            y = g.conv(feature, anchors * values, 1, act=None)
            y = g.add("Transpose", [y], 0, perm=[0, 2, 3, 1])
            found.append(g.add("Reshape", [y, g.weight(np.array([1, -1, values]))], 0))
    boxes, scores = (g.add("Concat", found, 0, axis=1) for found in heads.values())
    g.outputs = [boxes, g.add("Sigmoid", [scores], 0)]


def yolov3_416(g, classes=80):
    """Redmon and Farhadi 2018: Darknet-53 and three heads, before decoding."""
    x, kept = g.conv("input", 32, 3, act="leaky"), []
    for out, count in [(64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)]:
        x = g.conv(x, out, 3, 2, act="leaky")
        for _ in range(count):
            y = g.conv(x, out // 2, 1, act="leaky")
            x = g.join(x, g.conv(y, out, 3, act="leaky"))
        kept.append(x)
    route = None
    for width, skip in [(512, kept[4]), (256, kept[3]), (128, kept[2])]:
        x = skip
        if route:
            y = g.conv(route, width, 1, act="leaky")
            sizes = g.weight(np.array([1, 1, 2, 2], np.float32))
            y = g.add("Resize", [y, "", sizes], width, mode="nearest",
                      coordinate_transformation_mode="asymmetric", nearest_mode="floor")
            x = g.add("Concat", [y, skip], width + g.channels[skip], axis=1)
        for _ in range(2):
            x = g.conv(g.conv(x, width, 1, act="leaky"), width * 2, 3, act="leaky")
        route = g.conv(x, width, 1, act="leaky")
        x = g.conv(route, width * 2, 3, act="leaky")
        g.outputs.append(g.conv(x, 3 * (5 + classes), 1, act=None))


def noop(g):
    g.outputs = [g.add("Identity", ["input"], 3)]


MODELS = {
    "mobilenet_v1": (mobilenet_v1, 224),
    "mobilenet_v2": (mobilenet_v2, 224),
    "resnet50": (resnet50, 224),
    "ssd_mobilenet_300": (ssd_mobilenet_300, 300),
    "yolov3_416": (yolov3_416, 416),
    "noop_1": (noop, 1),
    "noop_224": (noop, 224),
}
QUANTISED = ["mobilenet_v1", "mobilenet_v2", "resnet50"]

MANIFEST = """\
schema = 1

[model]
name = "{name}"
files = ["model.onnx"]
task = "{task}"

[[input]]
kind = "image"
width = {size}
height = {size}
dtype = "f32"
layout = "nchw"
color = "rgb"
resize = "stretch"
filter = "opencv-linear"
mean = [0.0]
std = [255.0]

[decoder]
kind = "{decoder}"
"""


def write(name, directory):
    """One package: `directory/name/model.onnx` and its manifest."""
    build, size = MODELS[name]
    package = directory / name
    package.mkdir(parents=True, exist_ok=True)
    graph = Graph(name, [1, 3, size, size])
    build(graph)
    onnx.save(graph.model(), package / "model.onnx")
    classifier = name in QUANTISED
    task, decoder = ("image-classification", "classes\"\nactivation = \"none") \
        if classifier else ("tensor", "tensor")
    text = MANIFEST.format(name=name, size=size, task=task, decoder=decoder)
    (package / "model.toml").write_text(text)


def quantise(name, directory):
    """The int8 variant, calibrated with noise; its accuracy is nobody's concern here."""
    from onnxruntime import quantization as q

    source, package = directory / name, directory / f"{name}_int8"
    package.mkdir(parents=True, exist_ok=True)
    size, random = MODELS[name][1], np.random.default_rng(1)
    inputs = [{"input": random.random((1, 3, size, size), np.float32)} for _ in range(4)]

    class Noise(q.CalibrationDataReader):
        def get_next(self):
            return inputs.pop() if inputs else None

    q.quantize_static(
        source / "model.onnx", package / "model.onnx", Noise(), quant_format=q.QuantFormat.QDQ,
        per_channel=True, activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)
    text = (source / "model.toml").read_text()
    (package / "model.toml").write_text(text.replace(f'"{name}"', f'"{name}_int8"'))


def make(directory, wanted):
    """Writes what is wanted and not there yet."""
    directory = Path(directory)
    for name in wanted:
        plain = name.removesuffix("_int8")
        for each, act in ((plain, write), (name, quantise)):
            if (each == plain) == (act is write) and not (directory / each / "done").exists():
                act(plain, directory)
                (directory / each / "done").touch()


if __name__ == "__main__":
    make(sys.argv[1], sys.argv[2:] or [*MODELS, *(f"{name}_int8" for name in QUANTISED)])
