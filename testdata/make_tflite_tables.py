"""Writes tflite_tables.zip: 8-bit operators of TensorFlow Lite over all 256 values.

Needs numpy, flatbuffers and ai-edge-litert. Every case is NAME.tflite, NAME.inN.npy and
NAME.outN.npy, what LiteRT's built-in kernels answer without delegates; index.json lists them. Give
another file name to write elsewhere.
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

RANDOM = np.random.RandomState(7)
KINDS = {np.float32: 0, np.int32: 2, np.uint8: 3, np.int64: 4, np.bool_: 6, np.int8: 9}
# Operators of which there is no second version.
FIRST_VERSION = {"ELU", "HARD_SWISH", "ONE_HOT", "RELU_N1_TO_1"}
# Steps by which a case may be off: differences are squared in floats, not in fixed point.
STEPS = {"squared_difference_pair": 1}
CASES = {}


def written(operator, inputs, outputs, options):
    """A model of one operator; tensors are (name, type, shape, scale, zero) or a constant array."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, graph.tensors = 3, [schema.BufferT()], []
    for i, tensor in enumerate(inputs + outputs):
        t = schema.TensorT()
        if isinstance(tensor, np.ndarray):
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(tensor.tobytes(), np.uint8)
            model.buffers.append(buffer)
            t.name, t.type, t.shape = f"constant{i}", KINDS[tensor.dtype.type], list(tensor.shape)
            t.buffer = len(model.buffers) - 1
        else:
            t.name, kind, t.shape, *quantization = tensor
            t.type = KINDS[kind]
            if quantization:
                t.quantization = schema.QuantizationParametersT()
                t.quantization.scale, t.quantization.zeroPoint = [quantization[0]], [quantization[1]]
        graph.tensors.append(t)
    graph.inputs = [i for i, t in enumerate(inputs) if not isinstance(t, np.ndarray)]
    graph.outputs = list(range(len(inputs), len(inputs) + len(outputs)))
    code, op = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = getattr(schema.BuiltinOperator, operator)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = 1 if operator in FIRST_VERSION else 2
    op.inputs, op.outputs = list(range(len(inputs))), graph.outputs
    if options is not None:
        op.builtinOptions = options
        op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
    graph.operators, model.subgraphs, model.operatorCodes = [op], [graph], [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def options(kind, **fields):
    value = getattr(schema, kind + "OptionsT")()
    for key, field in fields.items():
        setattr(value, key, field)
    return value


def case(name, operator, inputs, outputs, values, option=None):
    model = written(operator, inputs, outputs, option)
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), values):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    answers = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    assert name not in CASES, name
    CASES[name] = (operator, model, [t[0] for t in inputs if not isinstance(t, np.ndarray)], [t[0] for t in outputs], values, answers)


def functions():
    """Operators of one operand, from all 256 bytes."""
    i8, u8 = np.int8, np.uint8
    whole = {i8: np.arange(-128, 128).astype(i8), u8: np.arange(256).astype(u8)}
    meanings = [(0.05, -128, 0.02, -128), (0.0625, 3, 0.03, -5), (0.1, -10, 0.05, 7), (0.023, 0, 0.023, 0), (0.0078, -20, 0.0039, -128)]
    positive = [(0.05, -128, 0.02, -128), (0.01, -128, 0.0078, -100), (0.37, -128, 0.09, -128), (0.0039, -128, 0.0045, 17)]
    for operator, option, kinds, given in [
        ("SQRT", None, [i8], positive), ("RSQRT", None, [i8], positive), ("LOG", None, [i8], positive),
        ("EXP", options("Exp"), [i8], meanings), ("ELU", None, [i8], meanings), ("HARD_SWISH", None, [i8, u8], meanings),
        ("LOGISTIC", None, [i8, u8], [(s, z, 1 / 256, -128) for s, z, _, _ in meanings]),
        ("TANH", None, [i8, u8], [(s, z, 1 / 128, 0) for s, z, _, _ in meanings]),
        ("ABS", options("Abs"), [i8], meanings), ("GELU", options("Gelu"), [i8], meanings),
        ("GELU", options("Gelu", approximate=True), [i8], meanings),
        ("LEAKY_RELU", options("LeakyRelu", alpha=0.1), [i8, u8], meanings), ("RELU", None, [i8, u8], meanings),
        ("RELU6", None, [i8, u8], meanings), ("RELU_N1_TO_1", None, [i8], meanings), ("QUANTIZE", options("Quantize"), [i8, u8], meanings),
    ]:
        for kind in kinds:
            for number, (scale, zero, to_scale, to_zero) in enumerate(given):
                shift = 128 if kind is u8 else 0
                tensor = ("x", kind, [1, 256], scale, zero + shift)
                result = ("y", kind, [1, 256], to_scale, to_zero + shift)
                values = whole[kind].reshape(1, 256)
                if operator in ("RSQRT", "LOG", "SQRT"):
                    values = np.maximum(values, zero + (1 if operator != "SQRT" else 0)).astype(kind)
                tanh = "_tanh" if operator == "GELU" and option.approximate else ""
                yield f"{operator.lower()}{tanh}_{np.dtype(kind).name}_{number}", operator, [tensor], [result], [values], option


def choices():
    """Places, extremes and choices, with many equals."""
    i8, i32 = np.int8, np.int32
    few = RANDOM.randint(-3, 4, (4, 30)).astype(i8)
    q, r = (0.05, 3), (0.04, -7)
    for kind, operator, option in [("arg_max", "ARG_MAX", "ArgMax"), ("arg_min", "ARG_MIN", "ArgMin")]:
        for axis in (0, 1, -1):
            shape = [30] if axis == 0 else [4]
            yield f"{kind}_ties_{axis}", operator, [("x", i8, [4, 30], *q), np.array(axis, i32).reshape(())], [("y", i32, shape)], [few], options(option, outputType=2)
        floats = np.round(RANDOM.randn(4, 30)).astype(np.float32)
        yield f"{kind}_ties_float", operator, [("x", np.float32, [4, 30]), np.array(1, i32).reshape(())], [("y", i32, [4])], [floats], options(option, outputType=2)
    for operator in ["REDUCE_MAX", "REDUCE_MIN", "SUM", "MEAN", "REDUCE_PROD"]:
        for name, to in [("same", q), ("other", r)]:
            if operator.startswith("REDUCE_M") and to != q:
                continue
            yield f"{operator.lower()}_{name}", operator, [("x", i8, [4, 30], *q), np.array([1], i32)], [("y", i8, [4], *to)], [few], options("Reducer")
    condition = RANDOM.rand(4, 30) > 0.5
    other = RANDOM.randint(-128, 128, (4, 30)).astype(i8)
    for operator, option in [("SELECT", "Select"), ("SELECT_V2", "SelectV2")]:
        yield f"{operator.lower()}_int8", operator, [("c", np.bool_, [4, 30]), ("x", i8, [4, 30], *q), ("z", i8, [4, 30], *q)], [("y", i8, [4, 30], *q)], [condition, few, other], options(option)
    for operator, option in [("MAXIMUM", "MaximumMinimum"), ("MINIMUM", "MaximumMinimum"), ("SUB", "Sub"), ("MUL", "Mul"), ("ADD", "Add"), ("SQUARED_DIFFERENCE", "SquaredDifference"),
                             ("LESS", "Less"), ("EQUAL", "Equal"), ("GREATER_EQUAL", "GreaterEqual"), ("NOT_EQUAL", "NotEqual")]:
        truth = option in ("Less", "Equal", "GreaterEqual", "NotEqual")
        same = option == "MaximumMinimum"
        result = ("y", np.bool_, [4, 30]) if truth else ("y", i8, [4, 30], *(q if same else (0.06, 2)))
        yield f"{operator.lower()}_pair", operator, [("x", i8, [4, 30], *q), ("z", i8, [4, 30], *(q if same or truth else r))], [result], [few, other], options(option)
    for operator in ["LOG_SOFTMAX", "SOFTMAX"]:
        to = (16 / 256, 127) if operator == "LOG_SOFTMAX" else (1 / 256, -128)
        option = options("LogSoftmax") if operator == "LOG_SOFTMAX" else options("Softmax", beta=1.0)
        yield f"{operator.lower()}_rows", operator, [("x", i8, [4, 30], *q)], [("y", i8, [4, 30], *to)], [other], option
    whole = lambda value, kind: np.array(value, kind).reshape(())
    yield "one_hot_int8", "ONE_HOT", [("x", i32, [5]), whole(4, i32), whole(9, i8), whole(-3, i8)], [("y", i8, [5, 4])], [np.array([0, 3, 1, 2, 2], i32)], options("OneHot", axis=-1)
    yield "l2_normalization_rows", "L2_NORMALIZATION", [("x", i8, [4, 30], 0.05, 3)], [("y", i8, [4, 30], 1 / 128, 0)], [other], options("L2Norm")


def pack(path):
    index = []
    with zipfile.ZipFile(path, "w") as archive:
        def write(name, data):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)

        for name, (operator, model, inputs, outputs, values, answers) in sorted(CASES.items()):
            index.append({"name": name, "operator": operator, "model": f"{name}.tflite", "inputs": inputs, "outputs": outputs, "absolute": STEPS.get(name, 0)})
            write(f"{name}.tflite", model)
            for kind, arrays in [("in", values), ("out", answers)]:
                for number, array in enumerate(arrays):
                    data = io.BytesIO()
                    np.save(data, np.asarray(array, order="C"))
                    write(f"{name}.{kind}{number}.npy", data.getvalue())
        write("index.json", json.dumps(index, indent=0).encode())
    print(f"{len(index)} cases, {len({row['operator'] for row in index})} operators, {Path(path).stat().st_size} bytes")


if __name__ == "__main__":
    for arguments in [*functions(), *choices()]:
        case(*arguments)
    pack(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "tflite_tables.zip")
