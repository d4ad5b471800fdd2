"""Writes resnet8.onnx, the network of testdata/models/resnet8-chainer without its weights.

Needs onnx. The parameters are inputs with the names that Chainer saves them under.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

TARGET = Path(__file__).resolve().parents[2] / "testdata/models/resnet8-chainer/resnet8.onnx"
nodes, parameters = [], []


def parameter(name, *shape):
    parameters.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return name


def node(op, inputs, output, **attributes):
    nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
    return output


def conv(x, number, channels, filters, kernel, stride=1, pads=(0, 0, 0, 0)):
    name = f"conv{number}"
    weights = parameter(f"{name}/W", filters, channels, kernel, kernel)
    return node("Conv", [x, weights, parameter(f"{name}/b", filters)], name,
                kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)


def norm(x, number, channels):
    parts = [parameter(f"bn{number}/{part}", channels) for part in ["gamma", "beta", "avg_mean", "avg_var"]]
    return node("BatchNormalization", [x] + parts, f"bn{number}", epsilon=1e-3)


def relu(x):
    return node("Relu", [x], f"{x}/relu")


around = (1, 1, 1, 1)
x = relu(norm(conv("x", 0, 3, 16, 3, pads=around), 0, 16))
y = relu(norm(conv(x, 1, 16, 16, 3, pads=around), 1, 16))
y = norm(conv(y, 2, 16, 16, 3, pads=around), 2, 16)
x = relu(node("Add", [x, y], "sum0"))
for (first, second, shortcut), bn, channels in [((3, 4, 5), 3, 16), ((6, 7, 8), 5, 32)]:
    # The odd pixel comes last, as TensorFlow pads.
    y = relu(norm(conv(x, first, channels, 2 * channels, 3, 2, (0, 0, 1, 1)), bn, 2 * channels))
    y = norm(conv(y, second, 2 * channels, 2 * channels, 3, pads=around), bn + 1, 2 * channels)
    x = conv(x, shortcut, channels, 2 * channels, 1, 2)
    x = relu(node("Add", [x, y], f"sum{bn}"))
x = node("Flatten", [node("GlobalAveragePool", [x], "pool")], "flat")
x = node("Gemm", [x, parameter("fc/W", 10, 64), parameter("fc/b", 10)], "fc", transB=1)
node("Softmax", [x], "prob", axis=1)
inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])] + parameters
outputs = [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["batch", 10])]
graph = helper.make_graph(nodes, "resnet8", inputs, outputs)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)
TARGET.write_bytes(model.SerializeToString())
