"""Writes tflite_cases.zip: operators and ways of storing that TensorFlow's converter rarely writes.

Needs numpy, flatbuffers and ai-edge-litert. Models are written field by field; every case is
NAME.tflite, NAME.inN.npy and NAME.outN.npy, what LiteRT's built-in kernels answer without
delegates. MediaPipe's operators and TensorFlow's own, which LiteRT has no kernels for, have their
answers computed here. Models that must be refused are in refused/. Give another file name to write
elsewhere.
"""

import math
import sys
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import make_tflite_tables as tables
from make_tflite_tables import options

RANDOM = np.random.RandomState(11)
f32, i8, u8, i16, i32, i64 = np.float32, np.int8, np.uint8, np.int16, np.int32, np.int64
KINDS = {f32: 0, np.float16: 1, i32: 2, u8: 3, i64: 4, np.bool_: 6, i16: 7, i8: 9}
RESOURCE, INT4 = 13, 17


class Tensor:
    """A tensor: an input or result, or a constant where it has data."""

    def __init__(self, name, kind, shape, scale=None, zero=0, axis=0, data=None, signature=None, sparsity=None):
        self.__dict__.update(locals())


def given(name, kind, shape, *quantization, **more):
    return Tensor(name, kind, list(shape), *quantization, **more)


def constant(name, values, kind=None, shape=None, **more):
    values = np.asarray(values)
    return Tensor(name, kind or values.dtype.type, list(values.shape if shape is None else shape), data=values.tobytes(), **more)


class Graph:
    """A subgraph in the making."""

    def __init__(self, inputs, outputs, name="main"):
        self.inputs, self.outputs, self.name, self.calls = inputs, outputs, name, []

    def call(self, operator, inputs, outputs, option=None, custom=None, second=None):
        self.calls.append((operator, inputs, outputs, option, custom, second))
        return self


def model(*graphs, signatures=()):
    out = schema.ModelT()
    out.version, out.buffers, out.operatorCodes, out.subgraphs = 3, [schema.BufferT()], [], []
    codes = {}

    def code(operator, custom):
        if operator not in codes:
            codes[operator] = len(out.operatorCodes)
            c = schema.OperatorCodeT()
            c.builtinCode = getattr(schema.BuiltinOperator, "CUSTOM" if custom is not None else operator)
            c.deprecatedBuiltinCode = min(c.builtinCode, 127)
            c.customCode = operator if custom is not None else None
            c.version = VERSIONS.get(operator, 2)
            out.operatorCodes.append(c)
        return codes[operator]

    for graph in graphs:
        g = schema.SubGraphT()
        g.name, g.tensors, g.operators, places = graph.name, [], [], {}

        def place(tensor):
            if tensor is None:
                return -1
            if id(tensor) not in places:
                places[id(tensor)] = len(g.tensors)
                t = schema.TensorT()
                t.name, t.shape, t.type = tensor.name, tensor.shape, KINDS.get(tensor.kind, tensor.kind)
                t.shapeSignature, t.sparsity, t.hasRank = tensor.signature, tensor.sparsity, True
                if tensor.scale is not None:
                    q = t.quantization = schema.QuantizationParametersT()
                    q.scale = np.atleast_1d(np.asarray(tensor.scale, f32)).tolist()
                    q.zeroPoint = np.atleast_1d(np.asarray(tensor.zero, i64)).tolist()
                    q.quantizedDimension = tensor.axis
                if tensor.data is not None:
                    buffer = schema.BufferT()
                    buffer.data = np.frombuffer(tensor.data, u8)
                    out.buffers.append(buffer)
                    t.buffer = len(out.buffers) - 1
                g.tensors.append(t)
            return places[id(tensor)]

        g.inputs = [place(t) for t in graph.inputs]
        for operator, inputs, outputs, option, custom, second in graph.calls:
            op = schema.OperatorT()
            op.opcodeIndex = code(operator, custom)
            op.inputs, op.outputs = [place(t) for t in inputs], [place(t) for t in outputs]
            if option is not None:
                op.builtinOptions = option
                op.builtinOptionsType = getattr(schema.BuiltinOptions, type(option).__name__[:-1])
            if second is not None:
                op.builtinOptions2 = second
                op.builtinOptions2Type = getattr(schema.BuiltinOptions2, type(second).__name__[:-1])
            if custom:
                op.customOptions = np.frombuffer(custom, u8)
            g.operators.append(op)
        g.outputs = [place(t) for t in graph.outputs]
        out.subgraphs.append(g)
    out.signatureDefs = []
    for key, index in signatures:
        s = schema.SignatureDefT()
        s.signatureKey, s.subgraphIndex, s.inputs, s.outputs = key, index, [], []
        for ends, graph_ends in ((s.inputs, graphs[index].inputs), (s.outputs, graphs[index].outputs)):
            for tensor in graph_ends:
                m = schema.TensorMapT()
                m.name = tensor.name
                m.tensorIndex = next(i for i, t in enumerate(out.subgraphs[index].tensors) if t.name == tensor.name)
                ends.append(m)
        out.signatureDefs.append(s)
    builder = flatbuffers.Builder(1024)
    builder.Finish(out.Pack(builder), b"TFL3")
    return bytes(builder.Output())


# Operators whose kernels stand under another version than 2.
VERSIONS = {name: 1 for name in (
    "ATAN2 BROADCAST_ARGS BUCKETIZE CALL_ONCE DYNAMIC_UPDATE_SLICE MATRIX_DIAG MATRIX_SET_DIAG "
    "NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 READ_VARIABLE ASSIGN_VARIABLE VAR_HANDLE REVERSE_SEQUENCE RIGHT_SHIFT "
    "SCATTER_ND SEGMENT_SUM STABLEHLO_COMPOSITE UNSORTED_SEGMENT_SUM UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX "
    "UNSORTED_SEGMENT_MIN DENSIFY RELU_0_TO_1 EXPAND_DIMS FLOOR_DIV REVERSE_V2 EMBEDDING_LOOKUP ADD CONV_2D").split()}


def case(name, operator, data, values, outputs, absolute=0.0, answers=None):
    """Notes a model with its inputs and outputs, which LiteRT answers unless they are given."""
    if answers is None:
        interpreter = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        details = interpreter.get_input_details()
        for detail, (_, value) in zip(details, values):
            if list(detail["shape"]) != list(value.shape):
                interpreter.resize_tensor_input(detail["index"], value.shape)
        interpreter.allocate_tensors()
        for detail, (_, value) in zip(details, values):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        answers = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    assert name not in tables.CASES, name
    tables.CASES[name] = (operator, data, [t for t, _ in values], [t.name for t in outputs], [v for _, v in values], answers)
    if absolute:
        tables.STEPS[name] = absolute


def one(name, operator, inputs, outputs, values, option=None, **more):
    """A model of one operator; `values` are for the inputs that are no constants."""
    ins = [t for t in inputs if t is not None and t.data is None]
    assert len(ins) == len(values), name
    graph = Graph(ins, outputs).call(operator, inputs, outputs, option)
    case(name, operator, model(graph), [(t.name, v) for t, v in zip(ins, values)], outputs, **more)


def normal(*shape):
    return RANDOM.randn(*shape).astype(f32)


def bytes_of(kind, *shape):
    limits = np.iinfo(kind)
    return RANDOM.randint(limits.min, limits.max + 1, shape).astype(kind)


def suppression():
    centre, half = RANDOM.rand(40, 2), RANDOM.rand(40, 2) * 0.2
    boxes = np.concatenate([centre - half, centre + half], 1).astype(f32)
    boxes[7] = boxes[3]
    boxes[9] = boxes[9][[2, 3, 0, 1]]
    # Two whose overlap is exactly the limit.
    boxes[20], boxes[21] = [2, 2, 3, 4], [2, 2, 3, 3]
    # No two are equal: those LiteRT takes in the order of its heap.
    scores = (RANDOM.permutation(40) / 40).astype(f32)
    x, s = given("boxes", f32, [40, 4]), given("scores", f32, [40])
    for most in (6, 60):
        for least in (0.3, 2.0):
            limits = [constant("most", i32(most)), constant("overlap", f32(0.5)), constant("least", f32(least))]
            places, count = given("places", i32, [most]), given("count", i32, [])
            tag = f"{most}_{'some' if least < 1 else 'none'}"
            one(f"non_max_suppression_v4_{tag}", "NON_MAX_SUPPRESSION_V4", [x, s, *limits], [places, count], [boxes, scores], options("NonMaxSuppressionV4"))
            picked = given("picked", f32, [most])
            one(f"non_max_suppression_v5_{tag}", "NON_MAX_SUPPRESSION_V5", [x, s, *limits, constant("sigma", f32(0))], [places, picked, count], [boxes, scores], options("NonMaxSuppressionV5"))


def scattering():
    at = np.array([[0, 2], [1, 1], [3, 0], [1, 1]], i32)
    for kind in (f32, i32, i8, u8, i64):
        values = RANDOM.randint(1, 9, (4, 5)).astype(kind)
        q = (0.05, 3) if kind in (i8, u8) else ()
        tag = np.dtype(kind).name
        one(f"scatter_nd_{tag}", "SCATTER_ND", [constant("at", at), given("x", kind, [4, 5], *q), constant("shape", i32([4, 3, 5]))], [given("y", kind, [4, 3, 5], *q)], [values], options("ScatterNd"))
    one("scatter_nd_places", "SCATTER_ND", [given("at", i32, [4, 2]), given("x", f32, [4]), constant("shape", i32([4, 3]))], [given("y", f32, [4, 3])], [at, normal(4)], options("ScatterNd"))
    one("sparse_to_dense_vector", "SPARSE_TO_DENSE", [constant("at", i32([1, 3, 4])), constant("shape", i32([7])), given("x", f32, [3]), constant("rest", f32(-1))], [given("y", f32, [7])], [normal(3)], options("SparseToDense"))
    one("sparse_to_dense_matrix", "SPARSE_TO_DENSE", [given("at", i32, [3, 2]), constant("shape", i32([4, 5])), given("x", f32, []), constant("rest", f32(0.5))], [given("y", f32, [4, 5])], [i32([[0, 1], [2, 2], [3, 4]]), f32(7)], options("SparseToDense"))
    for kind in (f32, i8, i32):
        q = (0.1, 5) if kind is i8 else ()
        values = normal(4, 6) if kind is f32 else RANDOM.randint(-99, 99, (4, 6)).astype(kind)
        part = normal(2, 3) if kind is f32 else RANDOM.randint(-99, 99, (2, 3)).astype(kind)
        for tag, start in dict(inside=[1, 2], beyond=[9, -4]).items():
            one(f"dynamic_update_slice_{np.dtype(kind).name}_{tag}", "DYNAMIC_UPDATE_SLICE", [given("x", kind, [4, 6], *q), given("part", kind, [2, 3], *q), given("start", i32, [2])], [given("y", kind, [4, 6], *q)], [values, part, i32(start)])
    one("segment_sum", "SEGMENT_SUM", [given("x", f32, [6, 3]), constant("number", i32([0, 0, 1, 2, 2, 3]))], [given("y", f32, [4, 3])], [normal(6, 3)])
    numbers = constant("number", i32([2, 0, 2, -1, 0, 4]))
    for reduction in ("SUM", "PROD", "MAX", "MIN"):
        for kind in (f32, i32):
            values = normal(6, 3) if kind is f32 else RANDOM.randint(-9, 9, (6, 3)).astype(i32)
            one(f"unsorted_segment_{reduction.lower()}_{np.dtype(kind).name}", f"UNSORTED_SEGMENT_{reduction}", [given("x", kind, [6, 3]), numbers, constant("count", i32(5))], [given("y", kind, [5, 3])], [values], options(f"UnsortedSegment{reduction.title()}"))


def picking():
    table = normal(9, 4)
    one("embedding_lookup", "EMBEDDING_LOOKUP", [given("rows", i32, [5]), constant("table", table)], [given("y", f32, [5, 4])], [i32([3, 3, 0, 8, 1])])
    small = bytes_of(i8, 9, 4)
    one("embedding_lookup_int8", "EMBEDDING_LOOKUP", [given("rows", i32, [5]), constant("table", small, scale=0.03)], [given("y", f32, [5, 4])], [i32([3, 3, 0, 8, 1])])
    for kind in (f32, u8):
        q = (0.05, 100) if kind is u8 else ()
        values = normal(3, 4, 5) if kind is f32 else bytes_of(u8, 3, 4, 5)
        for tag, time, batch, lengths in (("last", 2, 0, [5, 1, 3]), ("first", 0, 1, [3, 2, 1, 3]), ("usual", 1, 0, [4, 2, 1])):
            one(f"reverse_sequence_{np.dtype(kind).name}_{tag}", "REVERSE_SEQUENCE", [given("x", kind, [3, 4, 5], *q), constant("lengths", i32(lengths))], [given("y", kind, [3, 4, 5], *q)], [values], options("ReverseSequence", seqDim=time, batchDim=batch))
    one("matrix_diag", "MATRIX_DIAG", [given("x", f32, [2, 4])], [given("y", f32, [2, 4, 4])], [normal(2, 4)], options("MatrixDiag"))
    one("matrix_diag_int32", "MATRIX_DIAG", [given("x", i32, [3])], [given("y", i32, [3, 3])], [i32([4, 5, 6])], options("MatrixDiag"))
    for rows, columns in ((4, 4), (3, 5), (5, 3)):
        one(f"matrix_set_diag_{rows}_{columns}", "MATRIX_SET_DIAG", [given("x", f32, [2, rows, columns]), given("d", f32, [2, min(rows, columns)])], [given("y", f32, [2, rows, columns])], [normal(2, rows, columns), normal(2, min(rows, columns))], options("MatrixSetDiag"))
    one("gather_nd_int8", "GATHER_ND", [given("x", i8, [3, 4, 2], 0.1, 3), constant("at", i32([[0, 1], [2, 3]]))], [given("y", i8, [2, 2], 0.1, 3)], [bytes_of(i8, 3, 4, 2)], options("GatherNd"))
    one("top_k_int8", "TOPK_V2", [given("x", i8, [3, 9], 0.1, 3), constant("k", i32(4))], [given("y", i8, [3, 4], 0.1, 3), given("at", i32, [3, 4])], [np.stack([RANDOM.permutation(200)[:9] - 100 for _ in range(3)]).astype(i8)], options("TopKV2"))


def elements():
    angles = np.array([[1, -1, 1, -1, 0, 0, 0, 2, -3, 0], [1, 1, -1, -1, 1, -1, 0, 0, 0, 0.5]], f32)
    one("atan2", "ATAN2", [given("y", f32, [10]), given("x", f32, [10])], [given("angle", f32, [10])], list(angles), absolute=1e-6)
    one("bucketize", "BUCKETIZE", [given("x", f32, [3, 4])], [given("y", i32, [3, 4])], [np.array([[-9, 0, 0.5, 1], [2.5, 3, 10, 99], [1, 1, 3, 7]], f32)], options("Bucketize", boundaries=[0.0, 1.0, 3.0, 10.0]))
    for tag, low, high, bits, narrow in (("8", -2.3, 3.1, 8, False), ("4", 0.0, 6.0, 4, False), ("outside", 1.0, 3.0, 8, False)):
        one(f"fake_quant_{tag}", "FAKE_QUANT", [given("x", f32, [50])], [given("y", f32, [50])], [normal(50) * 3], options("FakeQuant", min=low, max=high, numBits=bits, narrowRange=narrow), absolute=1e-6)
    one("right_shift", "RIGHT_SHIFT", [given("x", i32, [6]), constant("bits", i32([0, 1, 2, 3, 4, 1]))], [given("y", i32, [6])], [i32([5, -5, 1023, -1, -17, 9])], options("RightShift"))
    for name, left, right in (("equal", [2, 1, 3], [2, 4, 3]), ("longer", [5, 1, 3], [4, 1])):
        one(f"broadcast_args_{name}", "BROADCAST_ARGS", [given("a", i32, [len(left)]), given("b", i32, [len(right)])], [given("y", i32, [3])], [i32(left), i32(right)])
    # Quantised forms that networks have and the converter's own cases lack.
    q, r = (0.05, 3), (0.05, 3)
    values, other = bytes_of(i8, 4, 30), bytes_of(i8, 4, 30)
    x, y = given("x", i8, [4, 30], *q), given("y", i8, [4, 30], *r)
    one("less_equal_int8", "LESS_EQUAL", [x, given("z", i8, [4, 30], 0.03, -4)], [given("y", np.bool_, [4, 30])], [values, other], options("LessEqual"))
    one("squeeze_int8", "SQUEEZE", [given("x", i8, [4, 1, 30], *q)], [y], [values.reshape(4, 1, 30)], options("Squeeze", squeezeDims=[1]))
    one("expand_dims_int8", "EXPAND_DIMS", [x, constant("axis", i32(1))], [given("y", i8, [4, 1, 30], *q)], [values], options("ExpandDims"))
    one("pad_v2_int8", "PADV2", [x, constant("pads", i32([[1, 0], [0, 2]])), constant("filler", i8(-7), scale=0.05, zero=3)], [given("y", i8, [5, 32], *q)], [values], options("PadV2"))
    one("broadcast_to_int8", "BROADCAST_TO", [given("x", i8, [1, 30], *q), constant("shape", i32([3, 4, 30]))], [given("y", i8, [3, 4, 30], *q)], [values[:1]], options("BroadcastTo"))
    one("reverse_int8", "REVERSE_V2", [x, constant("axis", i32([1]))], [y], [values], options("ReverseV2"))
    one("relu_0_to_1_int8", "RELU_0_TO_1", [x], [given("y", i8, [4, 30], 1 / 255, -128)], [values])
    positive = RANDOM.randint(140, 256, (4, 30)).astype(u8)
    one("div_uint8", "DIV", [given("x", u8, [4, 30], 0.02, 128), given("z", u8, [4, 30], 0.03, 120)], [given("y", u8, [4, 30], 0.05, 100)], [bytes_of(u8, 4, 30), positive], options("Div"))


def storage():
    """Ways in which weights and shapes are stored."""
    rows, columns = 6, 8
    dense = normal(rows, columns) * (RANDOM.rand(rows, columns) > 0.7)
    dense[2] = 0

    def sparse(values, kind, block=False):
        s = schema.SparsityParametersT()
        dimensions = []

        def dimension(size=None, segments=None, indices=None):
            d = schema.DimensionMetadataT()
            if size is not None:
                d.format, d.denseSize = 0, size
            else:
                d.format = 1
                for field, numbers in (("array_segments", segments), ("array_indices", indices)):
                    vector = {1: schema.Int32VectorT, 2: schema.Uint16VectorT, 3: schema.Uint8VectorT}[kind]()
                    vector.values = list(numbers)
                    part = "Segments" if field.endswith("segments") else "Indices"
                    setattr(d, f"array{part}", vector)
                    setattr(d, f"array{part}Type", kind)
            dimensions.append(d)

        if block:
            # Blocks of 2 x 4 of which only those with a value are stored.
            blocks = values.reshape(rows // 2, 2, columns // 4, 4).transpose(0, 2, 1, 3)
            stored, segments, indices = [], [0], []
            for line in blocks:
                for at, b in enumerate(line):
                    if b.any():
                        indices.append(at)
                        stored.append(b)
                segments.append(len(indices))
            s.traversalOrder, s.blockMap = [0, 1, 2, 3], [0, 1]
            dimension(rows // 2), dimension(None, segments, indices), dimension(2), dimension(4)
            data = np.array(stored)
        else:
            segments = np.concatenate([[0], np.cumsum([np.count_nonzero(r) for r in values])])
            s.traversalOrder, s.blockMap = [0, 1], None
            dimension(rows), dimension(None, segments, np.nonzero(values)[1])
            data = values[values != 0]
        s.dimMetadata = dimensions
        return constant("weights", data, shape=[rows, columns], sparsity=s)

    x = given("x", f32, [3, columns])
    for tag, kind, block in (("bytes", 3, False), ("shorts", 2, False), ("words", 1, False), ("blocks", 3, True)):
        full = given("full", f32, [rows, columns])
        y = given("y", f32, [3, rows])
        graph = Graph([x], [y]).call("DENSIFY", [sparse(dense.astype(f32), kind, block)], [full], options("Densify"))
        graph.call("FULLY_CONNECTED", [x, full, None], [y], options("FullyConnected"))
        case(f"densify_{tag}", "DENSIFY", model(graph), [("x", normal(3, columns))], [y])
    whole = RANDOM.randint(-9, 9, (rows, columns)).astype(i8) * (RANDOM.rand(rows, columns) > 0.7).astype(i8)
    weights = sparse(whole, 3)
    weights.scale = 0.05
    full, real, y = given("full", i8, [rows, columns], 0.05), given("real", f32, [rows, columns]), given("y", f32, [3, rows])
    graph = Graph([x], [y]).call("DENSIFY", [weights], [full], options("Densify")).call("DEQUANTIZE", [full], [real], options("Dequantize"))
    graph.call("FULLY_CONNECTED", [x, real, None], [y], options("FullyConnected"))
    case("densify_int8", "DENSIFY", model(graph), [("x", normal(3, columns))], [y])

    # Half-precision weights, which a DEQUANTIZE makes floats.
    half = constant("half", normal(5, columns).astype(np.float16))
    real, y = given("real", f32, [5, columns]), given("y", f32, [3, 5])
    graph = Graph([x], [y]).call("DEQUANTIZE", [half], [real], options("Dequantize")).call("FULLY_CONNECTED", [x, real, None], [y], options("FullyConnected"))
    case("dequantize_float16", "DEQUANTIZE", model(graph), [("x", normal(3, columns))], [y])

    # Weights quantised by channel, in 8 and in 4 bits, with a bias.
    VERSIONS["FULLY_CONNECTED"] = 12
    scales = np.linspace(0.01, 0.03, 5)
    values = bytes_of(i8, 3, columns)
    for tag, kind, weights in (("8", i8, bytes_of(i8, 5, columns)), ("4", INT4, RANDOM.randint(-8, 8, (5, columns)).astype(i8))):
        stored = weights if kind is i8 else ((weights.reshape(-1, 2)[:, 0] & 15) | (weights.reshape(-1, 2)[:, 1] << 4)).astype(u8)
        w = constant("weights", stored, kind=kind, shape=[5, columns], scale=scales, zero=[0] * 5)
        b = constant("bias", i32([50, -70, 0, 9, 200]), scale=scales * 0.04, zero=[0] * 5)
        y = given("y", i8, [3, 5], 0.1, -5)
        one(f"fully_connected_channels_{tag}", "FULLY_CONNECTED", [given("x", i8, [3, columns], 0.04, 7), w, b], [y], [values], options("FullyConnected"), absolute=1)
    scales = np.linspace(0.02, 0.05, 4)
    weights = RANDOM.randint(-8, 8, (4, 3, 3, 2)).astype(i8)
    stored = ((weights.reshape(-1, 2)[:, 0] & 15) | (weights.reshape(-1, 2)[:, 1] << 4)).astype(u8)
    w = constant("weights", stored, kind=INT4, shape=[4, 3, 3, 2], scale=scales, zero=[0] * 4)
    b = constant("bias", i32([5, -7, 0, 9]), scale=scales * 0.04, zero=[0] * 4)
    VERSIONS["CONV_2D"] = 7
    one("conv_channels_4", "CONV_2D", [given("x", i8, [1, 6, 5, 2], 0.04, 7), w, b], [given("y", i8, [1, 6, 5, 4], 0.1, -5)], [bytes_of(i8, 1, 6, 5, 2)], options("Conv2D", padding=0, strideW=1, strideH=1), absolute=1)

    # Sizes that only a request knows.
    VERSIONS["CONV_2D"] = 1
    w, b = constant("weights", normal(4, 3, 3, 2)), constant("bias", normal(4))
    x = given("x", f32, [1, 1, 1, 2], signature=[-1, -1, -1, 2])
    one("conv_open", "CONV_2D", [x, w, b], [given("y", f32, [1, 1, 1, 4], signature=[-1, -1, -1, 4])], [normal(2, 7, 5, 2)], options("Conv2D", padding=0, strideW=2, strideH=2), absolute=1e-5)


def sixteen_bits():
    """Activations of 16 bits, whose results may be a step off: they are computed in floats."""
    shape = [1, 6, 5, 4]
    x, z = bytes_of(i16, *shape), bytes_of(i16, *shape)
    t = lambda name, shape, scale=0.0005: given(name, i16, shape, scale)
    first, second = t("x", shape), t("z", shape, 0.0007)

    def short(name, version, inputs, output, values, option=None):
        operator = name.upper()
        before = VERSIONS.get(operator)
        VERSIONS[operator] = version
        one(f"{name}_int16", operator, inputs, [output], values, option, absolute=1)
        VERSIONS[operator] = before or 2

    short("add", 2, [first, second], t("y", shape, 0.001), [x, z], options("Add"))
    short("mul", 2, [first, second], t("y", shape, 0.009), [x, z], options("Mul"))
    for name in ("logistic", "tanh"):
        short(name, 2, [first], t("y", shape, 1 / 32768), [x])
    short("leaky_relu", 2, [first], t("y", shape), [x], options("LeakyRelu", alpha=0.1))
    short("mean", 2, [first, constant("axes", i32([1, 2]))], t("y", [1, 4]), [x], options("Reducer"))
    pool = options("Pool2D", padding=0, strideW=2, strideH=2, filterWidth=3, filterHeight=2)
    for name in ("average_pool_2d", "max_pool_2d"):
        short(name, 3, [first], t("y", [1, 3, 3, 4]), [x], pool)
    short("concatenation", 2, [first, t("z", shape)], t("y", [1, 6, 5, 8]), [x, z], options("Concatenation", axis=3))
    short("pad", 2, [first, constant("pads", i32([[0, 0], [1, 2], [0, 1], [0, 0]]))], t("y", [1, 9, 6, 4]), [x], options("Pad"))
    short("resize_bilinear", 4, [first, constant("size", i32([12, 10]))], t("y", [1, 12, 10, 4]), [x], options("ResizeBilinear", halfPixelCenters=True))
    short("quantize", 2, [first], given("y", i8, shape, 0.13, 5), [x], options("Quantize"))
    for name, version, kernel, axis, output, option in [
        ("depthwise_conv_2d", 3, [1, 3, 3, 4], 3, shape, options("DepthwiseConv2D", padding=0, strideW=1, strideH=1, depthMultiplier=1)),
        ("transpose_conv", 4, [5, 3, 3, 4], 0, [1, 12, 10, 5], options("TransposeConv", padding=0, strideW=2, strideH=2)),
    ]:
        count = kernel[axis]
        scales = np.linspace(0.01, 0.02, count)
        w = constant("weights", bytes_of(i8, *kernel), scale=scales, zero=[0] * count, axis=axis)
        b = constant("bias", np.arange(count).astype(i64) * 1000, scale=scales * 0.0005, zero=[0] * count)
        inputs = [first, w, b] if version == 3 else [constant("size", i32(output)), w, first, b]
        short(name, version, inputs, t("y", output, 0.01), [x], option)


def subgraphs():
    """Initial values, composites and signatures."""
    x, y = given("x", f32, [2, 3]), given("y", f32, [2, 3])
    handle, value = given("handle", RESOURCE, []), given("value", f32, [3])
    name = options("VarHandle", container="", sharedName="weights")
    start = Graph([], [], "start")
    inner = given("handle", RESOURCE, [])
    start.call("VAR_HANDLE", [], [inner], name).call("ASSIGN_VARIABLE", [inner, constant("first", f32([1, -2, 3]))], [], options("AssignVariable"))
    main = Graph([x], [y]).call("CALL_ONCE", [], [], options("CallOnce", initSubgraphIndex=1))
    main.call("VAR_HANDLE", [], [handle], name).call("READ_VARIABLE", [handle], [value], options("ReadVariable"))
    main.call("ADD", [x, value], [y], options("Add"))
    case("variable", "READ_VARIABLE", model(main, start), [("x", normal(2, 3))], [y])

    def composite(index):
        second = schema.StableHLOCompositeOptionsT()
        second.name, second.decompositionSubgraphIndex = "test.scaled", index
        second.compositeAttributes = np.frombuffer(flexbuffers.Dumps({}), u8)
        return second

    a, b, c, d = (given(n, f32, [2, 3]) for n in "abcd")
    deeper = Graph([c], [d], "deeper").call("MUL", [c, constant("two", f32([2]))], [d], options("Mul"))
    p, m, r = (given(n, f32, [2, 3]) for n in "pmr")
    outer = Graph([p], [m, p], "outer").call("STABLEHLO_COMPOSITE", [p], [r], second=composite(2)).call("ADD", [r, p], [m], options("Add"))
    same, z = given("same", f32, [2, 3]), given("z", f32, [2, 3])
    main = Graph([x], [y, z]).call("STABLEHLO_COMPOSITE", [x], [y, same], second=composite(1)).call("STABLEHLO_COMPOSITE", [same], [z], second=composite(2))
    case("composite", "STABLEHLO_COMPOSITE", model(main, outer, deeper), [("x", normal(2, 3))], [y, z])

    train = Graph([a], [b], "train").call("MUL", [a, a], [b], options("Mul"))
    serve = Graph([x], [y], "serve").call("ADD", [x, x], [y], options("Add"))
    values = normal(2, 3)
    case("signatures", "ADD", model(train, serve, signatures=[("train", 0), ("serving_default", 1)]), [("x", values)], [y], answers=[values + values])


def mediapipe():
    """As `mediapipe/util/tflite/operations` has them, in loops."""

    def custom(name, operator, inputs, outputs, numbers, values, answers):
        ins = [t for t in inputs if t.data is None]
        graph = Graph(ins, outputs).call(operator, inputs, outputs, custom=np.array(numbers, i32).tobytes())
        case(name, operator, model(graph), [(t.name, v) for t, v in zip(ins, values)], outputs, absolute=1e-5, answers=answers)

    for tag, same, kernel, stride in (("same_2_2", True, 2, 2), ("same_3_2", True, 3, 2), ("valid_3_2", False, 3, 2), ("same_2_3", True, 2, 3)):
        x, w, b = normal(1, 4, 5, 3), normal(2, kernel, kernel, 3), normal(2)
        sizes, pads = [], []
        for size in (4, 5):
            pad = max(0, kernel - (size - 1) % stride - 1) if same else 0
            sizes.append(stride * (size - 1) + kernel - pad)
            pads.append(pad // 2)
        y = np.zeros((1, *sizes, 2), f32) + b
        for row, column, i, j in np.ndindex(4, 5, kernel, kernel):
            at = row * stride - pads[0] + i, column * stride - pads[1] + j
            if 0 <= at[0] < sizes[0] and 0 <= at[1] < sizes[1]:
                y[0, at[0], at[1]] += w[:, i, j] @ x[0, row, column]
        custom(f"transpose_conv_bias_{tag}", "Convolution2DTransposeBias", [given("x", f32, [1, 4, 5, 3]), constant("w", w), constant("b", b)], [given("y", f32, y.shape)], [1 if same else 2, stride, stride], [x], [y])
    x = np.round(normal(1, 4, 6, 2), 1)
    windows = x.reshape(1, 2, 2, 3, 2, 2).transpose(0, 1, 3, 5, 2, 4).reshape(1, 2, 3, 2, 4)
    greatest, place = windows.max(-1), windows.argmax(-1).astype(f32) + f32(0.1)
    shape, numbers = [1, 2, 3, 2], [2, 2, 2, 2, 2, 0]
    custom("max_pool_argmax", "MaxPoolingWithArgmax2D", [given("x", f32, [1, 4, 6, 2])], [given("y", f32, shape), given("at", f32, shape)], numbers, [x], [greatest, place])
    back = np.where(np.arange(4) == place.astype(i32)[..., None], greatest[..., None], f32(0))
    back = back.reshape(1, 2, 3, 2, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(1, 4, 6, 2)
    custom("max_unpool", "MaxUnpooling2D", [given("x", f32, shape), given("at", f32, shape)], [given("y", f32, [1, 4, 6, 2])], numbers, [greatest, place], [back])


def flex():
    """TensorFlow's own operators, which LiteRT runs with a part of TensorFlow."""
    x = np.linspace(-4, 4, 33)
    selu = np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))) * 1.0507009873554805
    for name, y in dict(Erf=np.vectorize(math.erf)(x), Selu=selu, Softplus=np.log1p(np.exp(x)), Softsign=x / (1 + abs(x))).items():
        ends = given("x", f32, [33]), given("y", f32, [33])
        data = model(Graph([ends[0]], [ends[1]]).call(f"Flex{name}", [ends[0]], [ends[1]], custom=b"\0"))
        case(f"flex_{name.lower()}", f"Flex{name}", data, [("x", x.astype(f32))], [ends[1]], answers=[y.astype(f32)])


def refused():
    """Models that must be refused, by what they show."""
    x, y = given("x", f32, [2]), given("y", f32, [2])
    a, b = given("a", f32, [2]), given("b", f32, [2])
    two = [Graph(i, o, n).call("ADD", [*i, *i], o, options("Add")) for i, o, n in (([x], [y], "train"), ([a], [b], "infer"))]
    yield "two_signatures", model(*two, signatures=[("train", 0), ("infer", 1)])
    endless = schema.StableHLOCompositeOptionsT()
    endless.name, endless.decompositionSubgraphIndex = "test.endless", 0
    yield "endless", model(Graph([x], [y]).call("STABLEHLO_COMPOSITE", [x], [y], second=endless))
    handle, name = given("handle", RESOURCE, []), options("VarHandle", container="", sharedName="count")
    counting = Graph([x], [x]).call("VAR_HANDLE", [], [handle], name).call("ASSIGN_VARIABLE", [handle, x], [], options("AssignVariable"))
    yield "assigned_later", model(counting)
    value = given("value", f32, [2])
    reading = Graph([x], [y]).call("VAR_HANDLE", [], [handle], name).call("READ_VARIABLE", [handle], [value], options("ReadVariable"))
    yield "never_assigned", model(reading.call("ADD", [x, value], [y], options("Add")))
    yield "flex", model(Graph([x], [y]).call("FlexErfc", [x], [y], custom=b"\0"))


if __name__ == "__main__":
    for group in (suppression, scattering, picking, elements, storage, sixteen_bits, subgraphs, mediapipe, flex):
        group()
    path = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "tflite_cases.zip"
    tables.pack(path)
    with zipfile.ZipFile(path, "a") as archive:
        for name, data in refused():
            archive.writestr(zipfile.ZipInfo(f"refused/{name}.tflite"), data, zipfile.ZIP_DEFLATED, 9)
