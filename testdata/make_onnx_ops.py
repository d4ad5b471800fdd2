"""Writes onnx_ops.zip: graphs of one ONNX operator each, with inputs and onnxruntime's outputs.

Needs numpy, onnx and onnxruntime. Every case is NAME.onnx, NAME.inN.npy and NAME.outN.npy;
index.json lists them with the operator they are about. Give another file name to write elsewhere.
"""

import io
import json
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(4)
RANDOM = np.random.RandomState()
F, I = np.float32, np.int64
CASES = {}


class C:
    """An operand that is stored in the model."""

    def __init__(self, data, dtype=None):
        self.data = np.array(data, dtype)


def rand(*shape, dtype=F, low=-100, high=100):
    if np.dtype(dtype).kind in "iu":
        low = max(low, np.iinfo(dtype).min)
        return RANDOM.randint(low, min(high, np.iinfo(dtype).max) + 1, shape).astype(dtype)
    if dtype == np.bool_:
        return RANDOM.rand(*shape) > 0.5
    return RANDOM.randn(*shape).astype(dtype)


def weight(*shape, dtype=F):
    return C(rand(*shape, dtype=dtype))


def ints(*values):
    return C(values, I)


def floats(*values):
    return C(values, F)


def scalar(value, dtype=F):
    return C(np.array(value, dtype))


def element(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def model_of(nodes, inputs, constants, outputs, opset, free=()):
    """`free` are the axes of the first input whose length the model leaves open."""
    infos = []
    for index, (name, array) in enumerate(inputs.items()):
        shape = [f"free{i}" if index == 0 and i in free else n for i, n in enumerate(array.shape)]
        infos.append(helper.make_tensor_value_info(name, element(array), shape))
    stored = [numpy_helper.from_array(np.ascontiguousarray(a), n) if a.ndim else numpy_helper.from_array(a, n)
              for n, a in constants.items()]
    graph = helper.make_graph(nodes, "case", infos, outputs, stored)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=4 if opset < 12 else 8 if opset < 20 else 10)


def run(model, inputs, optimised=False):
    options = ort.SessionOptions()
    # One operator as it is written; whole models as their users run them.
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    # Without it the optimiser breaks graphs whose activations are int8.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def add(name, operator, model, inputs, outputs, absolute=0):
    assert name not in CASES, name
    CASES[name] = (operator, model, inputs, outputs, absolute)


def graph(name, operator, nodes, inputs, constants=None, outputs=("y",), opset=13, free=(), absolute=0):
    """A case of several nodes; constants and inputs by name; `absolute` is how far elements may be off."""
    constants = {n: c.data for n, c in (constants or {}).items()}
    untyped = [onnx.ValueInfoProto(name=n) for n in outputs]
    answers = run(model_of(nodes, inputs, constants, untyped, opset, free), inputs)
    typed = [helper.make_tensor_value_info(n, element(a), None) for n, a in zip(outputs, answers)]
    add(name, operator, model_of(nodes, inputs, constants, typed, opset, free), inputs, answers, absolute)


def case(name, operator, *operands, results=1, opset=13, free=(), domain="", absolute=0, **attributes):
    """A case of one node: arrays are inputs, `C` is stored, `None` is left out."""
    inputs, constants, names = {}, {}, []
    for index, operand in enumerate(operands):
        if operand is None:
            names.append("")
            continue
        names.append(f"x{index}")
        (constants if isinstance(operand, C) else inputs)[names[-1]] = operand
    outputs = ["y"] if results == 1 else [f"y{i}" for i in range(results)]
    node = helper.make_node(operator, names, outputs, name=f"the_{operator}", domain=domain, **attributes)
    graph(name, operator, [node], inputs, constants, outputs, opset, free, absolute)


def elementwise():
    x = rand(2, 3, 4, 5)
    for operator in ["Abs", "Atan", "Ceil", "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "Identity",
                     "LeakyRelu", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
                     "Softsign", "Tan", "Tanh", "ThresholdedRelu", "Celu", "Asinh", "Shrink", "Not", "IsNaN", "IsInf"]:
        case(operator.lower(), operator, x > 0 if operator == "Not" else x)
    case("hardswish", "HardSwish", x * 3, opset=14)
    case("mish", "Mish", x * 3, opset=18)
    case("gelu", "Gelu", x, opset=20)
    case("gelu_tanh", "Gelu", x, opset=20, approximate="tanh")
    positive = np.abs(x) + F(0.01)
    for operator in ["Log", "Sqrt"]:
        case(operator.lower(), operator, positive)
    case("acosh", "Acosh", positive + 1)
    unit = np.clip(x / 3, -0.99, 0.99).astype(F)
    for operator in ["Acos", "Asin", "Atanh"]:
        case(operator.lower(), operator, unit)
    special = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e30, -1e-30, 0.5, 1.5, 2.5, -0.5, -1.5], F)
    for operator in ["IsNaN", "IsInf", "Abs", "Neg", "Round", "Sigmoid", "Tanh", "Floor"]:
        case(f"{operator.lower()}_special", operator, special)
    case("relu_special", "Relu", special[1:])
    case("sign_special", "Sign", special[1:])
    case("softplus_large", "Softplus", np.array([-200, -50, -1, 0, 1, 50, 200], F))
    case("isinf_positive", "IsInf", special, detect_negative=0)
    case("isinf_negative", "IsInf", special, detect_positive=0)
    case("round_halves", "Round", np.arange(-4, 4.5, 0.5).astype(F))
    case("elu_alpha", "Elu", x, alpha=0.3)
    case("celu_alpha", "Celu", x, alpha=0.3)
    case("selu_parameters", "Selu", x, alpha=1.2, gamma=0.9)
    case("thresholdedrelu_alpha", "ThresholdedRelu", x, alpha=0.4)
    case("hardsigmoid_parameters", "HardSigmoid", x, alpha=0.3, beta=0.4)
    case("shrink_soft", "Shrink", x, lambd=0.7, bias=0.2)
    case("leakyrelu_negative", "LeakyRelu", x, alpha=-0.5)
    case("prelu", "PRelu", x, C(RANDOM.rand(3, 1, 1), F))
    case("prelu_last", "PRelu", x, C(RANDOM.rand(5), F))
    case("clip", "Clip", x, scalar(-0.5), scalar(0.3))
    case("clip_upper", "Clip", x, None, scalar(0.3))
    case("clip_lower", "Clip", x, scalar(-0.3))
    case("clip_none", "Clip", x)
    case("clip_old", "Clip", x, opset=7, min=-0.1, max=0.4)
    case("clip_i32", "Clip", rand(4, 5, dtype=np.int32), scalar(-10, np.int32), scalar(9, np.int32))
    case("clip_u8", "Clip", rand(4, 5, dtype=np.uint8), scalar(10, np.uint8), scalar(90, np.uint8))
    case("clip_i8", "Clip", rand(4, 5, dtype=np.int8), scalar(-10, np.int8), scalar(90, np.int8))
    for operator in ["Abs", "Neg", "Sign"]:
        case(f"{operator.lower()}_i32", operator, rand(4, 5, dtype=np.int32))
        case(f"{operator.lower()}_i8", operator, rand(4, 5, dtype=np.int8))
    case("relu_i8", "Relu", rand(4, 5, dtype=np.int8), opset=14)
    case("relu_i32", "Relu", rand(4, 5, dtype=np.int32), opset=14)
    case("sigmoid_f16", "Sigmoid", rand(4, 5).astype(np.float16))
    case("exp_f64", "Exp", rand(4, 5).astype(np.float64))


def arithmetic():
    a, b = rand(2, 3, 4, 5), rand(3, 1, 5)
    for operator in ["Add", "Sub", "Mul", "Div", "Max", "Min"]:
        case(operator.lower(), operator, a, b)
    for dtype in [np.int32, np.int64]:
        a, b = rand(2, 3, 4, dtype=dtype), rand(3, 1, dtype=dtype, low=1)
        for operator in ["Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Equal", "Less", "Greater"]:
            case(f"{operator.lower()}_{np.dtype(dtype).name}", operator, a, b)
    case("div_negative_i32", "Div", rand(9, dtype=np.int32), scalar(-7, np.int32))
    case("mod_negative_i32", "Mod", rand(9, dtype=np.int32), scalar(-7, np.int32))
    case("mod_fmod_i32", "Mod", rand(9, dtype=np.int32), scalar(-7, np.int32), fmod=1)
    for dtype in [np.uint8, np.int8, np.uint16, np.int16, np.uint32]:
        a, b = rand(3, 4, dtype=dtype, low=1), rand(4, dtype=dtype, low=1)
        for operator in ["Add", "Sub", "Mul", "Div"]:
            case(f"{operator.lower()}_{np.dtype(dtype).name}", operator, a, b, opset=14)
        if dtype not in (np.uint16, np.int16):
            case(f"max_{np.dtype(dtype).name}", "Max", a, b)
            case(f"equal_{np.dtype(dtype).name}", "Equal", a, b)
            case(f"less_{np.dtype(dtype).name}", "Less", a, b)
    case("add_f64", "Add", rand(3, 4, dtype=np.float64), scalar(2.5, np.float64))
    case("mul_f16", "Mul", rand(3, 4, dtype=np.float16), rand(4, dtype=np.float16))
    x, y = rand(3, 4), rand(3, 4)
    for operator in ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
        case(f"{operator.lower()}", operator, np.round(x), np.round(y), opset=16)
    for operator in ["And", "Or", "Xor"]:
        case(operator.lower(), operator, x > 0, y > 0)
    case("equal_bool", "Equal", x > 0, y > 0)
    case("pow", "Pow", np.abs(x) + F(0.1), y)
    case("pow_square", "Pow", x, scalar(2))
    case("pow_cube", "Pow", x, scalar(3))
    case("pow_root", "Pow", np.abs(x), scalar(0.5))
    case("pow_by_i64", "Pow", x, scalar(3, I))
    case("pow_i32", "Pow", rand(3, 4, dtype=np.int32, low=-9, high=9), scalar(3, np.int32))
    case("mod_fmod", "Mod", x, scalar(0.3), fmod=1)
    case("sum_three", "Sum", x, y, rand(4))
    case("mean_three", "Mean", x, y, rand(4))
    case("max_three", "Max", x, y, rand(4))
    case("min_one", "Min", x)
    case("where", "Where", rand(3, 4, dtype=np.bool_), x, y)
    case("where_broadcast", "Where", rand(2, 1, 4, dtype=np.bool_), rand(3, 1), scalar(-1))
    case("where_u8", "Where", rand(3, 4, dtype=np.bool_), rand(3, 4, dtype=np.uint8), scalar(9, np.uint8))
    case("where_i64", "Where", rand(3, 4, dtype=np.bool_), rand(3, 4, dtype=I), scalar(9, I))
    case("cumsum", "CumSum", x, scalar(1, I))
    case("cumsum_reverse", "CumSum", x, scalar(0, I), exclusive=1, reverse=1)
    case("bitshift", "BitShift", rand(3, 4, dtype=np.uint8), scalar(2, np.uint8), direction="LEFT")
    case("range", "Range", scalar(1, I), scalar(9, I), scalar(3, I))
    case("det", "Det", rand(2, 3, 3))


def convolutions():
    x = rand(1, 3, 8, 8)
    w = weight(4, 3, 3, 3)
    case("conv", "Conv", x, w, weight(4), kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    case("conv_bare", "Conv", x, w)
    case("conv_no_kernel_strides", "Conv", x, w, strides=[2, 1], pads=[1, 1, 1, 1])
    case("conv_kernel_alone", "Conv", x, w, kernel_shape=[3, 3])
    case("conv_asymmetric", "Conv", x, weight(4, 3, 3, 5), pads=[0, 2, 1, 3], strides=[2, 1])
    case("conv_dilated", "Conv", x, w, dilations=[2, 3], pads=[2, 3, 2, 3])
    for mode in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
        tall = weight(4, 3, 2, 4)
        case(f"conv_{mode.lower()}", "Conv", x, tall, auto_pad=mode, strides=[1, 3])
        case(f"conv_{mode.lower()}_free", "Conv", x, tall, auto_pad=mode, strides=[1, 3], free=(0, 2, 3))
        case(f"conv_{mode.lower()}_even", "Conv", rand(1, 3, 7, 7), weight(4, 3, 4, 4), auto_pad=mode, strides=[2, 2])
        case(f"averagepool_{mode.lower()}", "AveragePool", rand(1, 3, 9, 8), kernel_shape=[3, 3], strides=[2, 2], auto_pad=mode)
        case(f"averagepool_{mode.lower()}_even", "AveragePool", rand(1, 3, 7, 7), kernel_shape=[2, 2], strides=[2, 2], auto_pad=mode)
        case(f"maxpool_{mode.lower()}", "MaxPool", rand(1, 3, 7, 7), kernel_shape=[2, 2], strides=[2, 2], auto_pad=mode)
    case("conv_free", "Conv", x, w, weight(4), pads=[1, 1, 1, 1], free=(0, 2, 3))
    case("conv_grouped", "Conv", rand(2, 6, 8, 8), weight(9, 2, 3, 3), group=3)
    case("conv_depthwise", "Conv", x, weight(3, 1, 3, 3), group=3, pads=[1, 1, 1, 1])
    case("conv_depth_multiplier", "Conv", x, weight(6, 1, 3, 3), weight(6), group=3)
    case("conv_pointwise", "Conv", x, weight(5, 3, 1, 1), weight(5))
    case("conv_weights_as_input", "Conv", x, rand(4, 3, 3, 3))
    case("conv_1d", "Conv", rand(1, 3, 20), weight(4, 3, 5), pads=[2, 1], strides=[2])
    case("conv_1d_same_lower", "Conv", rand(1, 3, 20), weight(4, 3, 4), auto_pad="SAME_LOWER", strides=[2])
    case("conv_3d", "Conv", rand(1, 2, 4, 5, 6), weight(3, 2, 3, 3, 3), weight(3), pads=[1] * 6)
    case("conv_3d_strided", "Conv", rand(1, 2, 6, 6, 6), weight(3, 2, 2, 3, 3), strides=[2, 2, 1], dilations=[1, 1, 2])
    case("conv_3d_grouped", "Conv", rand(1, 4, 4, 4, 4), weight(4, 2, 2, 2, 2), group=2)
    case("conv_f16", "Conv", x.astype(np.float16), weight(4, 3, 3, 3, dtype=np.float16), pads=[1, 1, 1, 1])

    t = weight(3, 4, 3, 3)
    case("convtranspose", "ConvTranspose", x, t, weight(4), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    case("convtranspose_bare", "ConvTranspose", x, t)
    case("convtranspose_kernel_alone", "ConvTranspose", x, t, kernel_shape=[3, 3])
    for mode in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
        case(f"convtranspose_{mode.lower()}", "ConvTranspose", x, t, strides=[2, 2], auto_pad=mode)
        case(f"convtranspose_{mode.lower()}_even", "ConvTranspose", x, weight(3, 4, 4, 4), strides=[3, 3], auto_pad=mode)
    case("convtranspose_grouped", "ConvTranspose", rand(1, 4, 5, 5), weight(4, 3, 3, 3), group=2, strides=[2, 2])
    case("convtranspose_depthwise", "ConvTranspose", rand(1, 4, 5, 5), weight(4, 1, 2, 2), group=4, strides=[2, 2])
    case("convtranspose_dilated", "ConvTranspose", rand(1, 4, 5, 5), weight(4, 3, 3, 3), dilations=[2, 1])
    case("convtranspose_output_shape", "ConvTranspose", x, weight(3, 2, 3, 3), strides=[2, 2], output_shape=[17, 16])
    case("convtranspose_output_shape_lower", "ConvTranspose", x, weight(3, 2, 3, 3), strides=[2, 2], output_shape=[16, 16], auto_pad="SAME_LOWER")
    case("convtranspose_asymmetric", "ConvTranspose", x, t, strides=[2, 2], pads=[0, 1, 1, 0])
    case("convtranspose_1d", "ConvTranspose", rand(1, 3, 7), weight(3, 2, 4), strides=[3])
    case("convtranspose_3d", "ConvTranspose", rand(1, 2, 3, 3, 3), weight(2, 2, 2, 2, 2), strides=[2, 2, 2])


def pools():
    x = rand(1, 3, 8, 8)
    case("maxpool", "MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case("maxpool_no_strides", "MaxPool", x, kernel_shape=[3, 3])
    case("maxpool_dilated", "MaxPool", x, kernel_shape=[3, 3], dilations=[2, 2], pads=[1, 1, 2, 2])
    case("maxpool_ceil", "MaxPool", rand(1, 3, 7, 7), kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1)
    case("maxpool_ceil_padded", "MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[0, 0, 1, 1])
    case("maxpool_ceil_past_end", "MaxPool", rand(1, 1, 5, 5), kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1, pads=[1, 1, 1, 1])
    case("maxpool_asymmetric", "MaxPool", x, kernel_shape=[2, 3], strides=[1, 2], pads=[0, 1, 1, 2])
    case("maxpool_1d", "MaxPool", rand(1, 3, 9), kernel_shape=[3], strides=[2])
    case("maxpool_3d", "MaxPool", rand(1, 2, 4, 4, 4), kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    case("maxpool_indices", "MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], results=2)
    case("maxpool_u8", "MaxPool", rand(1, 3, 8, 8, dtype=np.uint8), kernel_shape=[2, 2], strides=[2, 2])
    case("maxpool_i8", "MaxPool", rand(1, 3, 8, 8, dtype=np.int8), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case("maxunpool", "MaxUnpool", rand(1, 1, 2, 2), C([[[[5, 7], [13, 15]]]], I), kernel_shape=[2, 2], strides=[2, 2])
    case("averagepool", "AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case("averagepool_no_strides", "AveragePool", x, kernel_shape=[3, 2])
    case("averagepool_include", "AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    case("averagepool_ceil", "AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[1, 0, 1, 0], opset=19)
    case("averagepool_ceil_include", "AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[1, 0, 1, 0], count_include_pad=1, opset=19)
    case("averagepool_dilated", "AveragePool", x, opset=19, kernel_shape=[3, 3], dilations=[2, 2])
    case("averagepool_1d", "AveragePool", rand(1, 3, 9), kernel_shape=[3], strides=[2])
    case("averagepool_3d", "AveragePool", rand(1, 2, 4, 4, 4), kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    case("lppool", "LpPool", x, kernel_shape=[2, 2], strides=[2, 2])
    case("lppool_1", "LpPool", x, kernel_shape=[3, 3], p=1, pads=[1, 1, 1, 1])
    for operator in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"]:
        case(operator.lower(), operator, rand(2, 3, 5, 4))
    case("globalaveragepool_1d", "GlobalAveragePool", rand(2, 3, 5))
    case("globalaveragepool_3d", "GlobalAveragePool", rand(2, 3, 2, 3, 4))
    rois = C([[0, 0, 5, 5], [1, 2, 7, 6], [2.5, 0.5, 3.5, 7.5]], F)
    batch = ints(0, 1, 0)
    two = rand(2, 3, 8, 8)
    case("roialign", "RoiAlign", two, rois, batch, opset=16, output_height=3, output_width=2, sampling_ratio=2)
    case("roialign_old", "RoiAlign", two, rois, batch, opset=10, output_height=2, output_width=2, spatial_scale=0.5, sampling_ratio=2)
    case("roialign_adaptive", "RoiAlign", two, rois, batch, opset=16, output_height=2, output_width=2)
    case("roialign_max", "RoiAlign", two, rois, batch, opset=16, output_height=2, output_width=2, sampling_ratio=2, mode="max")
    case("maxroipool", "MaxRoiPool", two, C([[0, 0, 0, 5, 5], [1, 1, 2, 7, 6]], F), pooled_shape=[2, 2])


def resizes():
    x = rand(1, 2, 6, 7)
    for mode in ["nearest", "linear", "cubic"]:
        for coordinates in ["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"]:
            for label, scales in [("up", (1, 1, 2, 2)), ("odd", (1, 1, 1.5, 0.7))]:
                case(f"resize_{mode}_{coordinates}_{label}", "Resize", x, None, floats(*scales), mode=mode,
                     coordinate_transformation_mode=coordinates, nearest_mode="floor")
        case(f"resize_{mode}_sizes", "Resize", x, None, None, ints(1, 2, 13, 5), mode=mode)
        case(f"resize_{mode}_axes", "Resize", x, None, None, ints(9, 12), opset=18, mode=mode, axes=[2, 3])
        case(f"resize_{mode}_axes_swapped", "Resize", x, None, None, ints(9, 12), opset=18, mode=mode, axes=[3, 2])
        case(f"resize_{mode}_axes_negative", "Resize", x, None, floats(2, 1.5), opset=18, mode=mode, axes=[-2, -1])
        case(f"resize_{mode}_free", "Resize", x, None, floats(1, 1, 2, 2), mode=mode, free=(0, 2, 3))
        case(f"resize_{mode}_axes_free", "Resize", x, None, floats(2, 2), opset=18, mode=mode, axes=[2, 3], free=(0, 2, 3))
        case(f"resize_{mode}_half_pixel_symmetric", "Resize", x, None, floats(1, 1, 1.3, 2), opset=19, mode=mode, coordinate_transformation_mode="half_pixel_symmetric")
        case(f"resize_{mode}_channels", "Resize", x, None, floats(1, 2, 1, 1), mode=mode) if mode == "nearest" else None
        case(f"resize_{mode}_last", "Resize", rand(1, 6, 7, 2), None, floats(1, 2, 2, 1), mode=mode) if mode != "cubic" else None
    for rounding in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]:
        case(f"resize_{rounding}", "Resize", x, None, None, ints(1, 2, 13, 5), mode="nearest", nearest_mode=rounding)
        case(f"resize_{rounding}_down", "Resize", rand(1, 1, 8, 8), None, floats(1, 1, 0.5, 0.25), mode="nearest", nearest_mode=rounding, coordinate_transformation_mode="asymmetric")
    for policy in ["not_larger", "not_smaller"]:
        case(f"resize_{policy}", "Resize", x, None, None, ints(12, 9), opset=18, mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy)
    case("resize_antialias", "Resize", x, None, None, ints(1, 2, 3, 4), opset=18, mode="linear", antialias=1)
    case("resize_antialias_cubic", "Resize", x, None, None, ints(1, 2, 3, 4), opset=18, mode="cubic", antialias=1)
    case("resize_crop", "Resize", x, floats(0, 0, .1, .2, 1, 1, .8, .9), None, ints(1, 2, 9, 5), mode="linear", coordinate_transformation_mode="tf_crop_and_resize")
    case("resize_cubic_a", "Resize", x, None, floats(1, 1, 2, 2), mode="cubic", cubic_coeff_a=-0.5)
    case("resize_cubic_exclude", "Resize", x, None, floats(1, 1, 2, 0.8), mode="cubic", exclude_outside=1)
    case("resize_1d", "Resize", rand(1, 2, 9), None, floats(1, 1, 2), mode="linear")
    case("resize_3d", "Resize", rand(1, 1, 3, 4, 5), None, floats(1, 1, 2, 2, 2), mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    case("resize_3d_linear", "Resize", rand(1, 1, 3, 4, 5), None, floats(1, 1, 2, 2, 2), mode="linear")
    case("resize_u8", "Resize", rand(1, 2, 4, 4, dtype=np.uint8), None, floats(1, 1, 2, 2), mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    case("resize_opset10", "Resize", x, floats(1, 1, 2, 2), opset=10, mode="linear")
    case("resize_opset10_nearest", "Resize", x, floats(1, 1, 2, 2), opset=10, mode="nearest")
    case("upsample", "Upsample", x, floats(1, 1, 2, 3), opset=9, mode="nearest")
    case("upsample_linear", "Upsample", x, floats(1, 1, 2, 2), opset=9, mode="linear")
    case("upsample_attribute", "Upsample", x, opset=7, scales=[1.0, 1.0, 2.0, 2.0])
    grid = C((RANDOM.rand(1, 5, 4, 2) * 2.4 - 1.2).astype(F))
    for mode in ["linear", "nearest", "cubic"]:
        for padding in ["zeros", "border", "reflection"]:
            old = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}[mode]
            case(f"gridsample_{mode}_{padding}", "GridSample", x, grid, opset=16, mode=old, padding_mode=padding)
        case(f"gridsample_{mode}_aligned", "GridSample", x, grid, opset=20, mode=mode, align_corners=1)
    case("affinegrid", "AffineGrid", rand(1, 2, 3), ints(1, 2, 4, 5), opset=20)
    case("depthtospace", "DepthToSpace", rand(2, 12, 3, 4), blocksize=2)
    case("depthtospace_crd", "DepthToSpace", rand(2, 12, 3, 4), blocksize=2, mode="CRD")
    case("depthtospace_u8", "DepthToSpace", rand(1, 8, 3, 4, dtype=np.uint8), blocksize=2)
    case("spacetodepth", "SpaceToDepth", rand(2, 3, 4, 6), blocksize=2)
    case("spacetodepth_free", "SpaceToDepth", rand(2, 3, 4, 6), blocksize=2, free=(0, 2, 3))


def pads():
    x = rand(1, 2, 4, 5)
    for mode in ["constant", "reflect", "edge"]:
        case(f"pad_{mode}", "Pad", x, ints(0, 0, 1, 2, 0, 0, 3, 1), mode=mode)
        case(f"pad_{mode}_channels", "Pad", rand(3, 4, 4, 5), ints(1, 1, 1, 2, 2, 0, 0, 1), mode=mode)
        case(f"pad_{mode}_free", "Pad", x, ints(0, 0, 1, 2, 0, 0, 3, 1), mode=mode, free=(0, 2, 3))
        case(f"pad_{mode}_axes", "Pad", x, ints(1, 2, 0, 1), None, ints(-1, 2), mode=mode, opset=18)
        case(f"pad_{mode}_1d", "Pad", rand(7), ints(2, 3), mode=mode)
    case("pad_wrap", "Pad", x, ints(0, 0, 1, 2, 0, 0, 3, 1), mode="wrap", opset=19)
    case("pad_value", "Pad", x, ints(0, 1, 1, 2, 0, 0, 3, 1), scalar(2.5))
    case("pad_axes_value", "Pad", x, ints(1, 2, 0, 1), scalar(3), ints(-1, 2), opset=18)
    case("pad_negative", "Pad", x, ints(0, 0, -1, 2, 0, 0, 1, -2))
    case("pad_negative_reflect", "Pad", x, ints(0, 0, -1, 2, 0, 0, 1, 0), mode="reflect")
    case("pad_old", "Pad", x, opset=8, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=2.0)
    case("pad_i64", "Pad", rand(3, 4, dtype=I), ints(0, 1, 1, 0), scalar(7, I))
    case("pad_u8", "Pad", rand(3, 4, dtype=np.uint8), ints(0, 1, 1, 0), scalar(7, np.uint8))
    case("pad_bool", "Pad", rand(3, 4, dtype=np.bool_), ints(0, 1, 1, 0), scalar(True, np.bool_))


def normalisations():
    x = rand(2, 4, 3, 5)
    s, b = C(RANDOM.rand(4) + 0.5, F), weight(4)
    case("batchnormalization", "BatchNormalization", x, s, b, weight(4), C(RANDOM.rand(4) + 0.1, F), epsilon=0.1)
    case("batchnormalization_2d", "BatchNormalization", rand(3, 4), s, b, weight(4), C(RANDOM.rand(4) + 0.1, F))
    case("batchnormalization_old", "BatchNormalization", x, s, b, weight(4), C(RANDOM.rand(4) + 0.1, F), opset=7)
    case("instancenormalization", "InstanceNormalization", x, s, b)
    case("groupnormalization", "GroupNormalization", x, s, b, opset=21, num_groups=2)
    case("groupnormalization_free", "GroupNormalization", x, s, b, opset=21, num_groups=2, free=(0, 2, 3))
    case("groupnormalization_18", "GroupNormalization", x, C([1.0, 2.0], F), C([0.5, -0.5], F), opset=18, num_groups=2, epsilon=0.01)
    case("layernormalization", "LayerNormalization", x, weight(5), weight(5), opset=17)
    case("layernormalization_no_bias", "LayerNormalization", x, weight(5), opset=17, epsilon=0.01)
    case("layernormalization_axis", "LayerNormalization", x, weight(3, 5), weight(3, 5), opset=17, axis=2)
    case("layernormalization_mean", "LayerNormalization", x, weight(5), weight(5), opset=17, results=3)
    case("rmsnormalization", "RMSNormalization", x, weight(5), opset=23)
    case("lpnormalization", "LpNormalization", x)
    case("lpnormalization_1", "LpNormalization", x, axis=1, p=1)
    case("meanvariancenormalization", "MeanVarianceNormalization", x)
    case("meanvariancenormalization_axes", "MeanVarianceNormalization", x, axes=[2, 3])
    case("lrn", "LRN", x, size=3, alpha=0.1, beta=0.5)
    case("lrn_free", "LRN", x, size=3, alpha=0.1, free=(0, 2, 3))
    for operator in ["Softmax", "LogSoftmax", "Hardmax"]:
        case(operator.lower(), operator, x)
        case(f"{operator.lower()}_axis", operator, x, axis=1)
        case(f"{operator.lower()}_old", operator, x, opset=11)
        case(f"{operator.lower()}_old_axis", operator, x, opset=11, axis=2)
    case("softmax_large", "Softmax", x * 100)
    q, k, v = rand(1, 2, 3, 4), rand(1, 2, 5, 4), rand(1, 2, 5, 4)
    case("attention", "Attention", q, k, v, opset=23)
    case("attention_causal", "Attention", q, k, v, opset=23, is_causal=1, scale=0.3)
    case("rotaryembedding", "RotaryEmbedding", rand(1, 2, 3, 4), rand(1, 3, 2), rand(1, 3, 2), opset=23)
    case("swish", "Swish", x, opset=24, alpha=0.7)
    case("dropout", "Dropout", x, opset=11)
    case("dropout_13", "Dropout", x, scalar(0.5))


def matrices():
    case("matmul", "MatMul", rand(5, 7), weight(7, 3))
    case("matmul_batched", "MatMul", rand(2, 1, 4, 5), rand(3, 5, 6))
    case("matmul_vector", "MatMul", rand(2, 4, 5), weight(5))
    case("matmul_vector_left", "MatMul", rand(5), weight(2, 5, 3))
    case("matmul_dot", "MatMul", rand(5), rand(5))
    case("matmul_i32", "MatMul", rand(3, 4, dtype=np.int32), rand(4, 2, dtype=np.int32))
    case("gemm", "Gemm", rand(5, 7), weight(7, 4), weight(4))
    case("gemm_turned", "Gemm", rand(7, 5), weight(4, 7), weight(5, 1), transA=1, transB=1, alpha=0.5, beta=2.0)
    case("gemm_no_bias", "Gemm", rand(5, 7), weight(7, 4), opset=11)
    case("gemm_scalar_bias", "Gemm", rand(5, 7), weight(7, 4), scalar(0.5))
    for name, equation, shapes in [
        ("channels", "nchw,oc->nohw", [(1, 3, 4, 4), (5, 3)]), ("batched", "bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("attention", "bhqd,bhkd->bhqk", [(1, 2, 3, 4), (1, 2, 5, 4)]), ("trace", "ii->i", [(4, 4)]),
        ("sum", "ij->j", [(3, 4)]), ("transpose", "ij->ji", [(3, 4)]), ("dot", "i,i->", [(4,), (4,)]),
        ("outer", "i,j->ij", [(3,), (4,)]), ("ellipsis", "...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
        ("implicit", "ij,jk", [(3, 4), (4, 5)]), ("three", "ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)])]:
        case(f"einsum_{name}", "Einsum", *[rand(*shape) for shape in shapes], equation=equation)


def reductions():
    x = rand(2, 3, 4, 5)
    for operator in ["ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceL1", "ReduceL2",
                     "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"]:
        y = np.abs(x) + F(0.4) if operator in ("ReduceLogSum", "ReduceProd") else x
        name = operator.lower()
        case(name, operator, y, ints(2, 3), opset=18)
        case(f"{name}_dropped", operator, y, ints(1, -1), opset=18, keepdims=0)
        case(f"{name}_all", operator, y, opset=18, keepdims=0)
        if operator != "ReduceSum":
            case(f"{name}_old", operator, y, axes=[1], opset=11)
        case(f"{name}_empty", operator, y, C([], I), opset=18, noop_with_empty_axes=1)
        if "Log" not in operator:
            case(f"{name}_i32", operator, rand(3, 4, dtype=np.int32, low=-9, high=9), ints(1), opset=18)
    case("reducesum_i64", "ReduceSum", rand(3, 4, dtype=I), ints(1))
    for dtype in [np.uint8, np.int8]:
        kind = np.dtype(dtype).name
        case(f"reducemax_{kind}", "ReduceMax", rand(3, 4, dtype=dtype), ints(1), opset=18)
        case(f"argmax_{kind}", "ArgMax", rand(3, 9, dtype=dtype), axis=1)
    ties = np.round(x)
    for operator in ["ArgMax", "ArgMin"]:
        case(operator.lower(), operator, x, axis=1)
        case(f"{operator.lower()}_ties", operator, ties, axis=-1, keepdims=0)
        case(f"{operator.lower()}_last", operator, ties, axis=-1, select_last_index=1)
        case(f"{operator.lower()}_i32", operator, rand(3, 4, dtype=np.int32), axis=0)
    case("topk", "TopK", rand(1, 9, 2), ints(4), axis=1, results=2)
    case("topk_smallest", "TopK", rand(3, 9), ints(4), largest=0, results=2)
    case("topk_ties", "TopK", np.round(rand(3, 9)), ints(5), results=2)
    case("topk_i64", "TopK", rand(3, 9, dtype=I), ints(4), results=2)
    case("topk_old", "TopK", rand(3, 9), opset=9, k=3, results=2)
    case("nonzero", "NonZero", np.round(rand(3, 4)))
    case("unique", "Unique", np.round(rand(12)), results=4)


def movements():
    x = rand(2, 3, 4, 5)
    case("transpose", "Transpose", x, perm=[0, 2, 3, 1])
    case("transpose_all", "Transpose", x)
    case("reshape", "Reshape", x, ints(0, -1, 4))
    case("reshape_allowzero", "Reshape", rand(0, 3), ints(3, 0), opset=14, allowzero=1)
    case("flatten", "Flatten", x)
    case("flatten_axis", "Flatten", x, axis=-2)
    case("flatten_zero", "Flatten", x, axis=0)
    case("squeeze", "Squeeze", rand(1, 3, 1, 5), ints(0, -2))
    case("squeeze_all", "Squeeze", rand(1, 3, 1, 5))
    case("squeeze_old", "Squeeze", rand(1, 3, 1, 5), opset=11, axes=[0])
    case("unsqueeze", "Unsqueeze", x, ints(0, -1))
    case("unsqueeze_old", "Unsqueeze", x, opset=11, axes=[0, 5])
    case("concat", "Concat", x, rand(2, 1, 4, 5), axis=1)
    case("concat_negative", "Concat", x, rand(2, 3, 4, 2), rand(2, 3, 4, 1), axis=-1)
    for dtype in [np.uint8, np.int8, np.int64, np.bool_]:
        case(f"concat_{np.dtype(dtype).name}", "Concat", rand(2, 3, dtype=dtype), rand(2, 2, dtype=dtype), axis=1)
        case(f"transpose_{np.dtype(dtype).name}", "Transpose", rand(2, 3, dtype=dtype))
        case(f"gather_{np.dtype(dtype).name}", "Gather", rand(4, 3, dtype=dtype), ints(2, 0))
        case(f"slice_{np.dtype(dtype).name}", "Slice", rand(4, 3, dtype=dtype), ints(1), ints(3))
        case(f"expand_{np.dtype(dtype).name}", "Expand", rand(4, 1, dtype=dtype), ints(4, 3))
        case(f"tile_{np.dtype(dtype).name}", "Tile", rand(2, 3, dtype=dtype), ints(2, 1))
        case(f"split_{np.dtype(dtype).name}", "Split", rand(4, 3, dtype=dtype), ints(1, 3), results=2)
    case("split", "Split", rand(1, 5, 4), ints(2, 3), axis=1, results=2)
    case("split_even", "Split", rand(1, 6, 4), axis=1, results=3)
    case("split_uneven", "Split", rand(1, 5, 4), axis=1, opset=18, num_outputs=3, results=3)
    case("split_old", "Split", rand(1, 5, 4), axis=1, opset=11, split=[1, 4], results=2)
    case("slice", "Slice", x, ints(1, 0), ints(3, 4), ints(2, 3))
    case("slice_steps", "Slice", x, ints(-1, 1), ints(-100, 4), ints(2, 3), ints(-2, 3))
    case("slice_far", "Slice", x, ints(1), ints(2**63 - 1), ints(-1))
    case("slice_old", "Slice", x, opset=8, starts=[1, 2], ends=[3, 100], axes=[2, 3])
    case("gather", "Gather", x, C([[0, -1], [2, 1]], I), axis=1)
    case("gather_scalar", "Gather", x, scalar(-1, I), axis=2)
    case("gather_i32", "Gather", x, C([1, 0], np.int32))
    case("gatherelements", "GatherElements", rand(3, 3), C([[1, 2, 0], [0, -1, 1]], I))
    case("gatherelements_axis", "GatherElements", rand(3, 4), C([[1, 2], [0, -1], [3, 3]], I), axis=1)
    case("gathernd", "GatherND", rand(3, 3), C([[1, 2], [0, -1]], I))
    case("gathernd_slices", "GatherND", rand(3, 3, 2), C([[[1], [2]]], I))
    case("gathernd_batch", "GatherND", rand(2, 3, 2), C([[1], [2]], I), batch_dims=1)
    case("scatterelements", "ScatterElements", rand(3, 3), C([[1, 2, 0]], I), weight(1, 3))
    case("scatterelements_axis", "ScatterElements", rand(3, 3), C([[1], [-1], [0]], I), weight(3, 1), axis=1)
    case("scatterelements_add", "ScatterElements", rand(3, 3), C([[1, 1, 1], [1, 0, 1]], I), weight(2, 3), opset=16, reduction="add")
    case("scatterelements_max", "ScatterElements", rand(3, 3), C([[1, 1, 1]], I), weight(1, 3), opset=18, reduction="max")
    case("scatter_old", "Scatter", rand(3, 3), C([[1, 2, 0]], I), weight(1, 3), opset=9)
    case("scatternd", "ScatterND", rand(4, 4), C([[0], [2]], I), weight(2, 4))
    case("scatternd_elements", "ScatterND", rand(4, 4), C([[0, 1], [2, -1]], I), weight(2))
    case("scatternd_add", "ScatterND", rand(4, 4), C([[0], [0]], I), weight(2, 4), opset=16, reduction="add")
    case("scatternd_i64", "ScatterND", rand(4, 4, dtype=I), C([[0], [2]], I), C(rand(2, 4, dtype=I)))
    case("expand", "Expand", rand(3, 1), ints(2, 3, 6))
    case("expand_one", "Expand", rand(3, 4), ints(1))
    case("tile", "Tile", rand(1, 2, 3), ints(2, 1, 3))
    case("onehot", "OneHot", C([0, 3, -1, 9], I), scalar(4, I), floats(0, 1))
    case("onehot_axis", "OneHot", rand(2, 3, dtype=I, low=0, high=3), scalar(4, I), floats(-1, 2), axis=1)
    for dtype in [np.uint8, np.int8]:
        kind = np.dtype(dtype).name
        b = rand(3, 3, dtype=dtype)
        case(f"gatherelements_{kind}", "GatherElements", b, C([[1, 2, 0], [0, -1, 1]], I))
        case(f"gathernd_{kind}", "GatherND", b, C([[1, 2], [0, -1]], I))
        case(f"scatternd_{kind}", "ScatterND", b, C([[0], [2]], I), C(rand(2, 3, dtype=dtype)))
        case(f"scatterelements_{kind}", "ScatterElements", b, C([[1, 2, 0]], I), C(rand(1, 3, dtype=dtype)))
        case(f"nonzero_{kind}", "NonZero", b) if dtype == np.uint8 else None
        case(f"reversesequence_{kind}", "ReverseSequence", b, ints(1, 2, 3))
        case(f"castlike_{kind}", "CastLike", np.clip(np.abs(rand(3, 3)) * 50, 0, 120), C([1], dtype), opset=15)
        case(f"constantofshape_{kind}", "ConstantOfShape", ints(2, 3), value=numpy_helper.from_array(np.array([7], dtype)))
        case(f"unsqueeze_{kind}", "Unsqueeze", b, ints(0))
        case(f"reshape_{kind}", "Reshape", b, ints(9))
        case(f"flatten_{kind}", "Flatten", b, axis=0)
    case("cumsum_i32", "CumSum", rand(3, 4, dtype=np.int32), scalar(1, I))
    case("trilu", "Trilu", rand(3, 4), opset=14, upper=0)
    case("trilu_k", "Trilu", rand(2, 3, 4), scalar(1, I), opset=14)
    case("eyelike", "EyeLike", rand(3, 4), k=1)
    case("reversesequence", "ReverseSequence", rand(4, 3), ints(1, 2, 4))
    case("reversesequence_batch", "ReverseSequence", rand(3, 4, 2), ints(1, 2, 4), batch_axis=0, time_axis=1)
    case("compress", "Compress", x, C([True, False, True]), axis=1)
    case("shape", "Shape", x)
    case("shape_part", "Shape", x, opset=15, start=1, end=-1)
    case("shape_free", "Shape", x, free=(0, 2))
    case("size", "Size", x)
    case("constantofshape", "ConstantOfShape", ints(2, 3), value=numpy_helper.from_array(np.array([7], I)))
    case("constantofshape_input", "ConstantOfShape", np.array([2, 3], I))
    case("centercroppad", "CenterCropPad", x, ints(2, 7), opset=18, axes=[2, 3])
    case("col2im", "Col2Im", rand(1, 4, 9), ints(4, 4), ints(2, 2), opset=18)


def casts():
    x = np.clip(rand(3, 4) * 50, -120, 120)
    for dtype in [np.int32, np.int64, np.uint8, np.int8, np.float16, np.float64, np.bool_, np.int16, np.uint16, np.uint32]:
        name = np.dtype(dtype).name
        source = np.abs(x) if np.dtype(dtype).kind == "u" else x
        case(f"cast_to_{name}", "Cast", source, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
        case(f"cast_from_{name}", "Cast", rand(3, 4, dtype=dtype, low=0), to=TensorProto.FLOAT)
    case("cast_i64_to_bool", "Cast", rand(9, dtype=I, low=-1, high=1), to=TensorProto.BOOL)
    case("cast_u8_to_bool", "Cast", rand(9, dtype=np.uint8, high=2), to=TensorProto.BOOL)
    case("cast_bool_to_u8", "Cast", rand(9, dtype=np.bool_), to=TensorProto.UINT8)
    case("cast_i32_to_u8", "Cast", rand(9, dtype=np.int32, low=0, high=999), to=TensorProto.UINT8)
    case("cast_i32_to_i8", "Cast", rand(9, dtype=np.int32, low=-999, high=999), to=TensorProto.INT8)
    case("cast_f64_to_i64", "Cast", rand(3, 4, dtype=np.float64) * 50, to=TensorProto.INT64)
    case("castlike", "CastLike", x, C([1], np.int32), opset=15)
    case("castlike_bool", "CastLike", np.round(rand(9)), C([True]), opset=15)


def quantisation():
    x = rand(2, 3, 4) * 2
    for dtype, zero in [(np.uint8, 100), (np.int8, -3), (np.uint16, 1000), (np.int16, -7)]:
        name, opset = np.dtype(dtype).name, 21 if np.dtype(dtype).itemsize == 2 else 13
        case(f"quantizelinear_{name}", "QuantizeLinear", x, scalar(0.01), scalar(zero, dtype), opset=opset)
        case(f"dequantizelinear_{name}", "DequantizeLinear", rand(2, 3, 4, dtype=dtype), scalar(0.01), scalar(zero, dtype), opset=opset)
        case(f"quantizelinear_{name}_channels", "QuantizeLinear", x, floats(.1, .2, .3), C([1, 2, 3], dtype), opset=opset)
        case(f"dequantizelinear_{name}_channels", "DequantizeLinear", rand(2, 3, 4, dtype=dtype), floats(.1, .2, .3), C([1, 2, 3], dtype), opset=opset)
    case("quantizelinear_no_zero", "QuantizeLinear", np.abs(x), scalar(0.1))
    case("quantizelinear_axis", "QuantizeLinear", x, floats(.1, .2, .3, .4), C([1, 2, 3, 4], np.int8), axis=-1)
    case("quantizelinear_output_dtype", "QuantizeLinear", x, scalar(0.1), opset=21, output_dtype=TensorProto.INT8)
    case("quantizelinear_blocked", "QuantizeLinear", rand(2, 6), C([[.1, .2], [.3, .4]], F), opset=21, axis=1, block_size=3)
    case("dequantizelinear_blocked", "DequantizeLinear", rand(2, 6, dtype=np.int8), C([[.1, .2], [.3, .4]], F), opset=21, axis=1, block_size=3)
    case("dequantizelinear_i32", "DequantizeLinear", rand(2, 3, dtype=np.int32), scalar(0.01))
    case("dynamicquantizelinear", "DynamicQuantizeLinear", x, results=3)
    u, s = rand(1, 3, 6, 6, dtype=np.uint8, high=255), rand(1, 3, 6, 6, dtype=np.int8)
    wi, wu = C(rand(4, 3, 3, 3, dtype=np.int8)), C(rand(4, 3, 3, 3, dtype=np.uint8, high=255))
    zero = scalar(77, np.uint8)
    case("convinteger", "ConvInteger", u, wi, zero, pads=[1] * 4)
    case("convinteger_no_zero", "ConvInteger", u, wi)
    case("convinteger_weight_zero", "ConvInteger", u, wu, zero, scalar(130, np.uint8), pads=[1] * 4)
    case("convinteger_weight_zero_i8", "ConvInteger", u, wi, zero, scalar(3, np.int8), pads=[1] * 4)
    case("convinteger_depthwise", "ConvInteger", u, C(rand(3, 1, 3, 3, dtype=np.int8)), zero, group=3, pads=[1] * 4)
    case("convinteger_same_lower", "ConvInteger", u, wi, zero, auto_pad="SAME_LOWER", strides=[2, 2])
    a, b = rand(5, 16, dtype=np.uint8, high=255), C(rand(16, 7, dtype=np.int8))
    case("matmulinteger", "MatMulInteger", a, b, zero)
    case("matmulinteger_no_zero", "MatMulInteger", a, b)
    case("matmulinteger_i8", "MatMulInteger", rand(5, 16, dtype=np.int8), b)
    case("matmulinteger_weight_zero", "MatMulInteger", a, b, zero, scalar(-5, np.int8))
    case("matmulinteger_weight_zero_u8", "MatMulInteger", a, C(rand(16, 7, dtype=np.uint8, high=255)), zero, scalar(130, np.uint8))
    case("matmulinteger_column_zeros", "MatMulInteger", a, b, zero, C(rand(7, dtype=np.int8, low=-5, high=5)))
    case("matmulinteger_column_zeros_u8", "MatMulInteger", a, C(rand(16, 7, dtype=np.uint8, high=255)), zero, C(rand(7, dtype=np.uint8)))
    case("matmulinteger_weights_as_input", "MatMulInteger", a, rand(16, 7, dtype=np.int8), zero, scalar(-5, np.int8))
    for name, value in [("one", 77), ("none", 0)]:
        case(f"matmulinteger_{name}_element", "MatMulInteger", a, b, C([value], np.uint8), C([-value // 9], np.int8))
        case(f"convinteger_{name}_element", "ConvInteger", u, wi, C([value], np.uint8), C([-value // 9], np.int8), pads=[1] * 4)
    case("quantizelinear_one_element", "QuantizeLinear", x, floats(0.1), C([3], np.uint8))
    case("dequantizelinear_one_element", "DequantizeLinear", rand(2, 3, dtype=np.uint8), floats(0.1), C([3], np.uint8))
    case("matmulinteger_batched", "MatMulInteger", rand(2, 5, 16, dtype=np.uint8), C(rand(16, 7, dtype=np.uint8)), zero, scalar(9, np.uint8))
    one = lambda scale, z, dtype=np.uint8: (scalar(scale), scalar(z, dtype))
    y = one(0.2, 100)
    case("qlinearconv", "QLinearConv", u, *one(.02, 120), wi, *one(.01, 0, np.int8), *y, C(rand(4, dtype=np.int32, high=999)))
    case("qlinearconv_channels", "QLinearConv", u, *one(.02, 120), wi, floats(.01, .02, .03, .04), C([0] * 4, np.int8), *y)
    case("qlinearconv_weight_zero", "QLinearConv", u, *one(.02, 120), wu, *one(.01, 130), *y, pads=[1] * 4)
    case("qlinearconv_i8", "QLinearConv", s, *one(.02, 5, np.int8), wi, *one(.01, 0, np.int8), *one(.2, 1, np.int8), pads=[1] * 4)
    case("qlinearconv_depthwise", "QLinearConv", u, *one(.02, 120), C(rand(3, 1, 3, 3, dtype=np.int8)), *one(.01, 0, np.int8), *y, group=3, pads=[1] * 4)
    case("qlinearconv_same_lower", "QLinearConv", u, *one(.02, 120), wi, *one(.01, 0, np.int8), *y, auto_pad="SAME_LOWER", strides=[2, 2])
    case("qlinearmatmul", "QLinearMatMul", a, *one(.02, 120), b, *one(.01, 0, np.int8), *y)
    case("qlinearmatmul_columns", "QLinearMatMul", a, *one(.02, 120), b, C(RANDOM.rand(7) / 50, F), C([0] * 7, np.int8), *y)
    case("qlinearmatmul_both", "QLinearMatMul", a, *one(.02, 120), rand(16, 7, dtype=np.uint8), *one(.01, 9), *y)
    ms = dict(domain="com.microsoft")
    left, right = rand(2, 3, 4, dtype=np.uint8, high=255), rand(3, 1, dtype=np.uint8, high=255)
    for operator in ["QLinearAdd", "QLinearMul"]:
        case(operator.lower(), operator, left, *one(.02, 120), left[::-1].copy(), *one(.03, 90), *one(.06, 99), **ms)
        case(f"{operator.lower()}_broadcast", operator, left, *one(.02, 120), right, *one(.03, 90), *one(.06, 99), **ms, absolute=1)
        case(f"{operator.lower()}_constant", operator, left, *one(.02, 120), C(right), *one(.03, 90), *one(.06, 99), **ms, absolute=1)
        case(f"{operator.lower()}_i8", operator, rand(3, 4, dtype=np.int8), *one(.02, 3, np.int8), rand(3, 4, dtype=np.int8), *one(.03, -9, np.int8), *one(.06, 9, np.int8), **ms)
    case("qlinearconcat", "QLinearConcat", *one(.03, 99), left, *one(.02, 120), left[::-1].copy(), *one(.04, 90), axis=1, **ms)
    for operator, attributes in [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.1})]:
        case(operator.lower(), operator, left, *one(.02, 120), *one(1 / 256, 0), **attributes, **ms)
        case(f"{operator.lower()}_i8", operator, rand(3, 4, dtype=np.int8), *one(.02, 20, np.int8), *one(1 / 128, -5, np.int8), **attributes, **ms)
    graph("qlinearsoftmax_axis", "QLinearSoftmax", [helper.make_node("QLinearSoftmax", ["x", "xs", "xz", "ys", "yz"], ["y"], domain="com.microsoft", axis=1, opset=13)],
          {"x": left}, dict(zip(["xs", "xz", "ys", "yz"], [*one(.02, 120), *one(1 / 256, 0)])))
    case("qlinearglobalaveragepool", "QLinearGlobalAveragePool", u, *one(.02, 120), *one(.01, 110), **ms)
    case("qlinearaveragepool", "QLinearAveragePool", u, *one(.02, 120), *one(.01, 110), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, **ms)
    case("qlinearaveragepool_include", "QLinearAveragePool", u, *one(.02, 120), *one(.02, 120), kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4, count_include_pad=1, **ms)
    case("qlinearwhere", "QLinearWhere", rand(2, 3, 4, dtype=np.bool_), left, *one(.02, 120), left[::-1].copy(), *one(.03, 90), *one(.06, 99), **ms)
    case("qgemm", "QGemm", a, *one(.02, 120), C(rand(7, 16, dtype=np.int8)), *one(.01, 0, np.int8), C(rand(7, dtype=np.int32, high=999)), *y, transB=1, **ms)
    case("qgemm_columns", "QGemm", a, *one(.02, 120), b, C(RANDOM.rand(7) / 50, F), C([0] * 7, np.int8), None, *y, **ms)
    case("qgemm_real", "QGemm", a, *one(.02, 120), b, *one(.01, 0, np.int8), None, **ms, alpha=0.5)
    case("dynamicquantizematmul", "DynamicQuantizeMatMul", rand(5, 16), b, scalar(0.01), scalar(0, np.int8), **ms)
    case("matmulintegertofloat", "MatMulIntegerToFloat", a, b, scalar(.02), scalar(.01), zero, scalar(0, np.int8), **ms)
    case("fusedconv", "FusedConv", rand(1, 3, 6, 6), weight(4, 3, 3, 3), weight(4), activation="Relu", pads=[1] * 4, **ms)
    case("gelu_microsoft", "Gelu", rand(3, 4), **ms)
    case("quickgelu", "QuickGelu", rand(3, 4), alpha=1.5, **ms)
    case("fusedconv_leaky", "FusedConv", rand(1, 3, 6, 6), weight(4, 3, 3, 3), activation="LeakyRelu", activation_params=[0.2], **ms)
    case("biasgelu", "BiasGelu", rand(3, 4), weight(4), **ms)


def recurrent():
    x = rand(4, 2, 5)
    for operator, gates, results in [("RNN", 1, 2), ("GRU", 3, 2), ("LSTM", 4, 3)]:
        w, r, b = weight(1, 3 * gates, 5), weight(1, 3 * gates, 3), weight(1, 6 * gates)
        name = operator.lower()
        case(name, operator, x, w, r, b, hidden_size=3, results=results)
        case(f"{name}_no_bias", operator, x, w, r, hidden_size=3, results=results)
        case(f"{name}_reverse", operator, x, w, r, b, hidden_size=3, direction="reverse", results=results)
        case(f"{name}_both_ways", operator, x, weight(2, 3 * gates, 5), weight(2, 3 * gates, 3), weight(2, 6 * gates),
             hidden_size=3, direction="bidirectional", results=results)
        case(f"{name}_started", operator, x, w, r, b, None, weight(1, 2, 3), *([weight(1, 2, 3)] if gates == 4 else []), hidden_size=3, results=results)
        case(f"{name}_lengths", operator, x, w, r, b, C([4, 2], np.int32), hidden_size=3, results=results)
    case("gru_linear", "GRU", x, weight(1, 9, 5), weight(1, 9, 3), weight(1, 18), hidden_size=3, linear_before_reset=1, results=2)
    case("lstm_peephole", "LSTM", x, weight(1, 12, 5), weight(1, 12, 3), weight(1, 24), None, None, None, weight(1, 9), hidden_size=3, results=3)
    case("lstm_activations", "LSTM", x, weight(1, 12, 5), weight(1, 12, 3), hidden_size=3, results=3, activations=["Sigmoid", "Relu", "Tanh"])
    case("lstm_clip", "LSTM", x, weight(1, 12, 5), weight(1, 12, 3), hidden_size=3, results=3, clip=0.5)


def suppression():
    boxes = np.array([[[0, 0, 1, 1], [0, .1, 1, 1.1], [0, -.1, 1, .9], [0, 10, 1, 11], [0, 10.1, 1, 11.1], [0, 100, 1, 101]]], F)
    scores = np.array([[[.9, .75, .6, .95, .5, .3]]], F)
    two = np.concatenate([scores, scores[:, :, ::-1]], 1)
    name, op = "nonmaxsuppression", "NonMaxSuppression"
    case(name, op, boxes, scores, ints(3), floats(.5), floats(0))
    case(f"{name}_threshold", op, boxes, scores, ints(6), floats(.5), floats(.4))
    case(f"{name}_classes", op, boxes, two, ints(2), floats(.5), floats(.2))
    case(f"{name}_batches", op, np.concatenate([boxes, boxes + 1]), np.concatenate([two, two[:, ::-1]]), ints(2), floats(.5), floats(.2))
    case(f"{name}_absent_most", op, boxes, scores)
    case(f"{name}_most_zero", op, boxes, scores, ints(0))
    case(f"{name}_no_threshold", op, boxes, scores - F(.7), ints(6), floats(.5))
    case(f"{name}_no_iou", op, boxes, two, ints(6))
    flipped = boxes[:, :, [2, 3, 0, 1]]
    flipped[:, ::2] = boxes[:, ::2]
    case(f"{name}_flipped", op, flipped, scores, ints(4), floats(.5), floats(0))
    centres = np.array([[[.5, .5, 1, 1], [.5, .6, 1, 1], [.5, .4, 1, 1], [.5, 10.5, 1, 1], [.5, 10.6, 1, 1], [.5, 100.5, 1, 1]]], F)
    case(f"{name}_centres", op, centres, scores, ints(3), floats(.5), floats(0), center_point_box=1)
    case(f"{name}_same_scores", op, boxes, np.full_like(two, .5), ints(6), floats(.5), floats(0))
    case(f"{name}_threshold_equal", op, boxes, np.full_like(scores, .5), ints(6), floats(.5), floats(.5))
    corners = np.sort(RANDOM.rand(1, 40, 2, 2) * 10, axis=2).reshape(1, 40, 4).astype(F)
    case(f"{name}_random", op, corners, RANDOM.rand(1, 3, 40).astype(F), ints(10), floats(.3), floats(.1))
    case(f"{name}_scalars", op, boxes, scores, scalar(3, I), scalar(.5), scalar(0))


def detectors():
    """Suppression in the middle of a graph, as exporters of detectors write it."""
    node = helper.make_node
    nodes = [
        node("Slice", ["x", "zero", "four", "two"], ["centres"]), node("Slice", ["x", "four", "far", "two"], ["raw"]),
        node("Sigmoid", ["raw"], ["rows"]), node("Transpose", ["rows"], ["scores"], perm=[0, 2, 1]),
        node("NonMaxSuppression", ["centres", "scores", "most", "overlap", "least"], ["found"], center_point_box=1),
        node("Gather", ["found", "pair"], ["places"], axis=1), node("GatherND", ["centres", "places"], ["boxes"]),
        node("GatherND", ["scores", "found"], ["confidence"]), node("Gather", ["found", "one"], ["classes"], axis=1)]
    boxes = np.concatenate([RANDOM.rand(2, 30, 2) * 40, RANDOM.rand(2, 30, 2) * 20 + 4, RANDOM.randn(2, 30, 3)], 2).astype(F)
    constants = dict(zero=ints(0), four=ints(4), far=ints(99), two=ints(2), most=ints(5), overlap=floats(.4), least=floats(.3), pair=ints(0, 2), one=scalar(1, I))
    for name, free in [("detector", ()), ("detector_free", (0, 1))]:
        graph(name, "NonMaxSuppression", nodes, {"x": boxes}, constants, outputs=("boxes", "confidence", "classes"), free=free)


def control():
    x = rand(1, 3, 4, 4)
    branch = lambda op: helper.make_graph([helper.make_node(op, ["x"], ["r"])], op, [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)])
    graph("if", "If", [helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0), helper.make_node("Greater", ["s", "zero"], ["c"]),
                       helper.make_node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Selu"))], {"x": x}, {"zero": scalar(0)})
    value = helper.make_tensor_value_info
    body = helper.make_graph([helper.make_node("Add", ["v", "v"], ["w"]), helper.make_node("Identity", ["c"], ["d"])], "body",
                             [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, None)],
                             [value("d", TensorProto.BOOL, []), value("w", TensorProto.FLOAT, None)])
    graph("loop", "Loop", [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)], {"x": x}, {"n": scalar(3, I)})
    body = helper.make_graph([helper.make_node("Add", ["s", "e"], ["t"]), helper.make_node("Identity", ["t"], ["u"])], "body",
                             [value("s", TensorProto.FLOAT, [4]), value("e", TensorProto.FLOAT, [4])], [value("t", TensorProto.FLOAT, [4]), value("u", TensorProto.FLOAT, [4])])
    graph("scan", "Scan", [helper.make_node("Scan", ["start", "x"], ["last", "y"], body=body, num_scan_inputs=1)], {"x": rand(3, 4)}, {"start": weight(4)}, outputs=("last", "y"))
    resize = helper.make_graph([helper.make_node("Resize", ["x", "", "scales"], ["r"], mode="cubic")], "cubic", [], [value("r", TensorProto.FLOAT, None)])
    same = helper.make_graph([helper.make_node("Resize", ["x", "", "scales"], ["r"], mode="nearest")], "nearest", [], [value("r", TensorProto.FLOAT, None)])
    graph("if_cubic", "If", [helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0), helper.make_node("Greater", ["s", "zero"], ["c"]),
                             helper.make_node("If", ["c"], ["y"], then_branch=resize, else_branch=same)], {"x": x}, {"zero": scalar(1e9), "scales": floats(1, 1, 2, 2)})


def quantised_models():
    """What onnxruntime's own quantiser writes."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rows = iter([{"x": np.random.RandomState(i).randn(1, 3, 16, 16).astype(F)} for i in range(4)])

        def get_next(self):
            return next(self.rows, None)

    node = helper.make_node
    fixed = lambda n, a: numpy_helper.from_array(np.asarray(a, F), n)
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], name="first", pads=[1] * 4, strides=[2, 2], kernel_shape=[3, 3]), node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2", "b1"], ["c"], name="depthwise", pads=[1] * 4, group=8, kernel_shape=[3, 3]), node("Clip", ["c", "lo", "hi"], ["d"]),
        node("Conv", ["d", "w3"], ["e"], name="pointwise", kernel_shape=[1, 1]), node("Add", ["e", "b"], ["f"]),
        node("LeakyRelu", ["f"], ["g"], alpha=0.1), node("MaxPool", ["g"], ["h"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", ["h", "h"], ["i"], axis=1), node("Resize", ["i", "", "up"], ["j"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        node("Split", ["j"], ["k", "l"], axis=1), node("Sigmoid", ["k"], ["m"]), node("Mul", ["m", "l"], ["n"]),
        node("Pad", ["n", "pads"], ["o"]), node("AveragePool", ["o"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["p"], ["q"], perm=[0, 2, 3, 1]), node("Transpose", ["q"], ["r"], perm=[0, 3, 1, 2]),
        node("GlobalAveragePool", ["r"], ["s"]), node("Reshape", ["s", "flat"], ["t"]), node("Gemm", ["t", "fw", "fb"], ["u"], name="gemm", transB=1),
        node("MatMul", ["u", "mm"], ["v"], name="matmul"), node("Softmax", ["v"], ["y"], axis=-1)]
    stored = [fixed("w1", rand(8, 3, 3, 3) * .3), fixed("b1", rand(8) * .1), fixed("w2", rand(8, 1, 3, 3) * .3), fixed("w3", rand(8, 8, 1, 1) * .3),
              fixed("fw", rand(12, 8) * .5), fixed("fb", rand(12)), fixed("mm", rand(12, 6)), fixed("lo", 0), fixed("hi", 6), fixed("up", [1, 1, 2, 2]),
              numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], I), "pads"), numpy_helper.from_array(np.array([0, -1], I), "flat")]
    value = helper.make_tensor_value_info
    base = helper.make_model(helper.make_graph(nodes, "net", [value("x", TensorProto.FLOAT, [1, 3, 16, 16])], [value("y", TensorProto.FLOAT, [1, 6]), value("v", TensorProto.FLOAT, [1, 6])], stored),
                             opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = rand(1, 3, 16, 16)
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "a.onnx", Path(directory) / "b.onnx"
        newer = onnx.version_converter.convert_version(base, 21)

        def keep(name, absolute=0):
            model = onnx.load(target)
            add(f"model_{name}", "model", model, {"x": x}, run(model, {"x": x}, optimised=True), absolute)

        onnx.save(base, source)
        kinds = {"u8i8": (QuantType.QUInt8, QuantType.QInt8), "u8u8": (QuantType.QUInt8, QuantType.QUInt8), "i8i8": (QuantType.QInt8, QuantType.QInt8)}
        for layout in (QuantFormat.QOperator, QuantFormat.QDQ):
            for kind, (activation, weights) in kinds.items():
                for channels in (False, True):
                    quantize_static(source, target, Reader(), quant_format=layout, activation_type=activation, weight_type=weights, per_channel=channels)
                    keep(f"{layout.name.lower()}_{kind}{'_channels' if channels else ''}")
        for channels in (False, True):
            quantize_dynamic(source, target, weight_type=QuantType.QUInt8, per_channel=channels)
            keep(f"dynamic_u8{'_channels' if channels else ''}")
            quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=channels, op_types_to_quantize=["MatMul", "Gemm"])
            keep(f"dynamic_i8{'_channels' if channels else ''}")
        for name, options in [("qdq_pair_weights", dict(AddQDQPairToWeight=True)), ("qdq_float_bias", dict(QuantizeBias=False)), ("qdq_asymmetric", dict(WeightSymmetric=False))]:
            quantize_static(source, target, Reader(), quant_format=QuantFormat.QDQ, extra_options=options)
            # With a float bias onnxruntime convolves floats; a rounding tie is a step at the end.
            keep(name, 0.06 if name == "qdq_float_bias" else 0)
        onnx.save(newer, source)
        for name, activation, weights in [("qdq_16bit", QuantType.QUInt16, QuantType.QInt8), ("qdq_int4", QuantType.QUInt8, QuantType.QInt4), ("qdq_uint4", QuantType.QUInt8, QuantType.QUInt4)]:
            quantize_static(source, target, Reader(), quant_format=QuantFormat.QDQ, activation_type=activation, weight_type=weights)
            # In floats a rounding tie is one step of 65535.
            keep(name, 5e-4 if name == "qdq_16bit" else 0)


def pack(path):
    index = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        def write(name, data):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)

        for name, (operator, model, inputs, outputs, absolute) in sorted(CASES.items()):
            model.producer_name = model.doc_string = ""
            names = [value.name for value in model.graph.output]
            index.append({"name": name, "operator": operator, "model": f"{name}.onnx", "inputs": list(inputs), "outputs": names, "absolute": absolute})
            write(f"{name}.onnx", model.SerializeToString(deterministic=True))
            for kind, arrays in [("in", inputs.values()), ("out", outputs)]:
                for number, array in enumerate(arrays):
                    data = io.BytesIO()
                    np.save(data, np.asarray(array, order="C"))
                    write(f"{name}.{kind}{number}.npy", data.getvalue())
        write("index.json", json.dumps(index, indent=0).encode())
    print(f"{len(index)} cases, {len({row['operator'] for row in index})} operators, {Path(path).stat().st_size} bytes")


if __name__ == "__main__":
    for family in [elementwise, arithmetic, convolutions, pools, resizes, pads, normalisations, matrices, reductions,
                   movements, casts, quantisation, recurrent, suppression, detectors, control, quantised_models]:
        RANDOM.seed(zlib.crc32(family.__name__.encode()))
        family()
    pack(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "onnx_ops.zip")
