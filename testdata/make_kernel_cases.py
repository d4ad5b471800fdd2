"""Writes testdata/kernels/cases.json: what LiteRT and onnxruntime compute on single operators.

Needs numpy, flatbuffers, ai-edge-litert and onnxruntime with onnx. LiteRT runs its builtin kernels
without delegates, which is what the integer kernels reproduce. Zero points, bytes and results are
the model's own, signed where its type is.
"""

import base64
import json
import pathlib

import flatbuffers
import numpy as np
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnx import helper

RNG = np.random.default_rng(20261121)
CASES = []


def pack(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def limits(dtype):
    info = np.iinfo(dtype)
    return info.min, info.max


def draw(dtype, shape):
    """Uniform bytes with many at both ends, where saturation happens."""
    low, high = limits(dtype)
    values = RNG.integers(low, high + 1, shape)
    ends = RNG.random(shape)
    values[ends < 0.05] = low
    values[ends > 0.95] = high
    return values.astype(dtype)


def litert(code, options, kind, tensors, inputs, data, version):
    """One operator; tensors are (dtype, shape, scales, zeros, axis, constant)."""
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    operator_code = schema.OperatorCodeT()
    operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
    operator_code.version = version
    model.operatorCodes = [operator_code]
    graph = schema.SubGraphT()
    graph.tensors = []
    types = {"uint8": 3, "int8": 9, "int32": 2, "float32": 0}
    for index, (dtype, shape, scales, zeros, axis, constant) in enumerate(tensors):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = f"t{index}".encode(), list(shape), types[dtype]
        tensor.buffer = 0
        if constant is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(constant, dtype).tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array(scales, np.float32)
            tensor.quantization.zeroPoint = np.array(zeros, np.int64)
            tensor.quantization.quantizedDimension = axis
        graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [len(tensors) - 1]
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    graph.operators = [operator]
    graph.inputs = [i for i in inputs if tensors[i][5] is None]
    graph.outputs = operator.outputs
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    interpreter = Interpreter(
        model_content=bytes(builder.Output()),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), data):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def convolution(kind, dtype, shape, kernel, outputs, stride=1, same=True, dilation=1, per_channel=False):
    channels = shape[3]
    per_channel = per_channel and dtype == "int8"
    count = outputs if per_channel else 1
    scales = [float(s) for s in np.float32(RNG.uniform(0.004, 0.02, count))]
    zeros = [int(RNG.integers(90, 160))] if dtype == "uint8" else [0] * count
    weight_shape = [1, *kernel, outputs] if kind == "depthwise" else [outputs, *kernel, channels]
    if kind == "dense":
        weight_shape = [outputs, channels]
    weights = draw(dtype, weight_shape)
    if dtype == "int8":
        weights = np.maximum(weights, -127)
    depth = int(np.prod(weight_shape)) // outputs
    input_scale = float(np.float32(RNG.uniform(0.01, 0.05)))
    input_zero = int(RNG.integers(*limits(dtype)))
    # A result range that cuts off a little at both ends.
    output_scale = float(np.float32(input_scale * np.mean(scales) * 90 * np.sqrt(depth)))
    output_zero = int(np.mean(limits(dtype))) + int(RNG.integers(-20, 20))
    bias = RNG.integers(-20000, 20000, outputs).astype(np.int32)
    bias[0], bias[-1] = 2**30, -(2**30)
    x = draw(dtype, shape if kind != "dense" else [shape[0], channels])
    axis = 3 if kind == "depthwise" else 0
    tensors = [
        (dtype, x.shape, [input_scale], [input_zero], 0, None),
        (dtype, weight_shape, scales, zeros, axis, weights),
        ("int32", [outputs], [input_scale * s for s in scales], [0] * count, 0, bias),
        (dtype, [1, 1, 1, 1], [output_scale], [output_zero], 0, None),
    ]
    if kind == "dense":
        options, code, union = schema.FullyConnectedOptionsT(), 9, schema.BuiltinOptions.FullyConnectedOptions
        tensors[3] = (dtype, [1, 1], *tensors[3][2:])
    else:
        depthwise = kind == "depthwise"
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        code = 4 if depthwise else 3
        union = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        options.padding = schema.Padding.SAME if same else schema.Padding.VALID
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = dilation
        if depthwise:
            options.depthMultiplier = 1
    y = litert(code, options, union, tensors, [0, 1, 2], [x], 5)
    CASES.append({
        "kind": kind, "signed": dtype == "int8", "shape": list(x.shape), "kernel": list(kernel),
        "stride": stride, "same": same, "dilation": dilation, "outputs": outputs,
        "input": [input_scale, input_zero], "result": [output_scale, output_zero],
        "scales": scales, "zeros": zeros, "weights": pack(weights), "bias": bias.tolist(),
        "x": pack(x), "y": pack(y),
    })


def parameters(dtype):
    return float(np.float32(RNG.uniform(0.01, 0.1))), int(RNG.integers(*limits(dtype)))


def binary(name, dtype, framework):
    left, right, result = parameters(dtype), parameters(dtype), parameters(dtype)
    steps = left[0] * right[0] * 90 if name == "Mul" else (left[0] + right[0]) * 0.7
    result = (float(np.float32(steps)), result[1])
    a, b = draw(dtype, [1, 5, 5, 12]), draw(dtype, [1, 5, 5, 12])
    if framework == "tflite":
        options = getattr(schema, f"{name}OptionsT")()
        code = {"Add": 0, "Sub": 41, "Mul": 18}[name]
        union = getattr(schema.BuiltinOptions, f"{name}Options")
        tensors = [(dtype, a.shape, [s], [z], 0, None) for s, z in (left, right, result)]
        y = litert(code, options, union, tensors, [0, 1], [a, b], 2)
    else:
        y = onnx_run(name, dtype, [(a, left), (b, right)], result)
    CASES.append({
        "kind": "binary", "name": name, "framework": framework, "signed": dtype == "int8",
        "left": left, "right": right, "result": result, "a": pack(a), "b": pack(b), "y": pack(y),
    })


def unary(name, dtype, framework, code=None, union=None, options=None, result=None, **attributes):
    source = parameters(dtype)
    if name == "Softmax":
        source = (float(np.float32(RNG.uniform(0.02, 0.2))), source[1])
    x = draw(dtype, [3, 67]) if name == "Softmax" else np.arange(*limits(dtype)).astype(dtype).reshape(1, 255)
    low = limits(dtype)[0]
    result = {"probability": (1 / 256, low), "sign": (1 / 128, low + 128)}.get(result) or parameters(dtype)
    if framework == "tflite":
        tensors = [(dtype, x.shape, [s], [z], 0, None) for s, z in (source, result)]
        y = litert(code, options, union, tensors, [0], [x], 2)
    else:
        y = onnx_run(name, dtype, [(x, source)], result, **attributes)
    CASES.append({
        "kind": "unary", "name": name, "framework": framework, "signed": dtype == "int8",
        "source": source, "result": result, "attributes": attributes, "length": x.shape[1],
        "x": pack(x), "y": pack(y),
    })


def mean(dtype, channels, keep, same):
    source = parameters(dtype)
    result = source if same else (float(np.float32(source[0] * 0.7)), parameters(dtype)[1])
    x = draw(dtype, [2, 7, 6, channels])
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    tensors = [
        (dtype, x.shape, [source[0]], [source[1]], 0, None),
        ("int32", [2], None, None, 0, np.array([1, 2])),
        (dtype, [1], [result[0]], [result[1]], 0, None),
    ]
    y = litert(40, options, schema.BuiltinOptions.ReducerOptions, tensors, [0, 1], [x], 2)
    CASES.append({
        "kind": "mean", "signed": dtype == "int8", "shape": list(x.shape), "keep": keep,
        "source": source, "result": result, "x": pack(x), "y": pack(y),
    })


def pool(dtype, framework, kernel, stride):
    source = parameters(dtype)
    x = draw(dtype, [1, 9, 8, 37])
    if framework == "tflite":
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = schema.Padding.SAME, stride, stride
        options.filterHeight = options.filterWidth = kernel
        tensors = [(dtype, shape, [source[0]], [source[1]], 0, None) for shape in (x.shape, [1] * 4)]
        y = litert(1, options, schema.BuiltinOptions.Pool2DOptions, tensors, [0], [x], 2)
        result = source
    else:
        result = (float(np.float32(source[0] * 0.9)), parameters(dtype)[1])
        y = onnx_run(
            "AveragePool", dtype, [(x.transpose(0, 3, 1, 2), source)], result,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, auto_pad="SAME_UPPER",
        ).transpose(0, 2, 3, 1)
    CASES.append({
        "kind": "average", "framework": framework, "signed": dtype == "int8",
        "shape": list(x.shape), "kernel": [kernel] * 2, "stride": stride,
        "source": source, "result": result, "x": pack(x), "y": pack(y),
    })


def onnx_run(op, dtype, operands, result, **attributes):
    """Dequantise, operator, quantise, which onnxruntime fuses."""
    nodes, inputs, names, constants, feeds = [], [], [], [], {}
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def quantisation(name, scale, zero):
        constants.append(onnx.numpy_helper.from_array(np.float32(scale), f"{name}_scale"))
        constants.append(onnx.numpy_helper.from_array(np.array(zero, dtype), f"{name}_zero"))
        return [f"{name}_scale", f"{name}_zero"]

    for index, (value, (scale, zero)) in enumerate(operands):
        name = f"x{index}"
        inputs.append(helper.make_tensor_value_info(name, element, value.shape))
        nodes.append(helper.make_node("DequantizeLinear", [name, *quantisation(name, scale, zero)], [f"{name}_real"]))
        names.append(f"{name}_real")
        feeds[name] = np.ascontiguousarray(value)
    nodes.append(helper.make_node(op, names, ["real"], **attributes))
    nodes.append(helper.make_node("QuantizeLinear", ["real", *quantisation("y", *result)], ["y"]))
    output = helper.make_tensor_value_info("y", element, None)
    graph = helper.make_graph(nodes, "case", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def main():
    for dtype in ("uint8", "int8"):
        for per_channel in (False, True):
            convolution("conv", dtype, [1, 7, 6, 3], [3, 3], 8, stride=2, per_channel=per_channel)
            convolution("conv", dtype, [1, 6, 7, 5], [3, 2], 17, dilation=2, per_channel=per_channel)
            convolution("conv", dtype, [2, 5, 5, 12], [1, 1], 70, per_channel=per_channel)
            convolution("conv", dtype, [1, 6, 6, 6], [1, 1], 9, stride=2, per_channel=per_channel)
            for channels in (1, 8, 19, 24, 33):
                convolution("depthwise", dtype, [1, 9, 10, channels], [3, 3], channels, per_channel=per_channel)
            convolution("depthwise", dtype, [1, 9, 8, 20], [3, 3], 20, stride=2, per_channel=per_channel)
            convolution("depthwise", dtype, [1, 9, 8, 8], [5, 5], 8, stride=2, same=False, per_channel=per_channel)
            convolution("depthwise", dtype, [1, 9, 8, 16], [3, 3], 16, dilation=2, per_channel=per_channel)
        convolution("dense", dtype, [3, 1, 1, 50], [1, 1], 37)
        for name in ("Add", "Sub", "Mul"):
            for framework in ("tflite", "onnx"):
                binary(name, dtype, framework)
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        unary("Softmax", dtype, "tflite", 25, schema.BuiltinOptions.SoftmaxOptions, options, "probability")
        unary("Softmax", dtype, "onnx", result="probability", axis=-1)
        unary("Sigmoid", dtype, "tflite", 14, 0, None, "probability")
        unary("Tanh", dtype, "tflite", 28, 0, None, "sign")
        unary("Sigmoid", dtype, "onnx", result="probability")
        unary("LeakyRelu", dtype, "onnx", alpha=0.1)
        leaky = schema.LeakyReluOptionsT()
        leaky.alpha = 0.1
        unary("LeakyRelu", dtype, "tflite", 98, schema.BuiltinOptions.LeakyReluOptions, leaky)
        unary("Quantize", dtype, "tflite", 114, schema.BuiltinOptions.QuantizeOptions, schema.QuantizeOptionsT())
        unary("Relu", dtype, "tflite", 19, 0, None)
        for channels in (3, 16, 24, 37):
            for keep in (True, False):
                mean(dtype, channels, keep, channels == 16)
        pool(dtype, "tflite", 3, 2)
        pool(dtype, "onnx", 3, 2)
    path = pathlib.Path(__file__).parent / "kernels" / "cases.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in CASES) + "\n]\n")
    print(len(CASES), "cases,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
