"""Writes one-operator TensorFlow Lite models with inputs and the interpreter's outputs.

Needs `tensorflow` (made with 2.21); run it in this directory. Every case is NAME.tflite with
NAME.inI.npy and NAME.outI.npy; index.json lists them with the operators and the tolerance. The
outputs are those of TensorFlow Lite's built-in kernels, without delegates. A case that has the
suffix `_i8` is fully quantised to 8 bits after training, `_dyn` has 8-bit weights only, `_f16`
half-precision weights, `_16x8` 16-bit activations.
"""

import json
import pathlib
import sys

import numpy as np
import flatbuffers
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(7)
CASES = []


def weights(*shape, scale=0.5):
    return tf.constant(RNG.normal(0, scale, shape).astype(np.float32))


def case(name, function, *shapes, dtype=tf.float32, low=-2.0, high=2.0, modes=("",), feed=None):
    """`shapes` may have None; `feed` then gives the sizes to run with."""
    CASES.append((name, function, shapes, dtype, low, high, modes, feed or shapes))


def sample(spec, low, high):
    if spec.dtype == tf.bool:
        return RNG.random(spec.shape) < 0.5
    if spec.dtype.is_integer:
        return RNG.integers(int(low), int(high) + 1, spec.shape).astype(spec.dtype.as_numpy_dtype)
    return RNG.uniform(low, high, spec.shape).astype(np.float32)


def convert(function, specs, feeds, low, high, mode):
    # The wrapper hides default arguments, which would become inputs.
    concrete = tf.function(lambda *inputs: function(*inputs), input_signature=specs).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if mode:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "_f16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in ("_i8", "_16x8"):
        converter.representative_dataset = lambda: (
            [sample(feed, low, high) for feed in feeds] for _ in range(20)
        )
    if mode == "_i8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if mode == "_16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
        converter.inference_input_type = converter.inference_output_type = tf.int16
    return converter.convert()


def written(operator, inputs, outputs, options=None, custom=None):
    """A model of one operator, for what the converter never writes.

    Tensors are (name, type, shape, scale, zero point) or a constant array.
    """
    kinds = {np.float32: 0, np.int32: 2, np.uint8: 3, np.int8: 9}
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph.tensors = []
    for i, tensor in enumerate(inputs + outputs):
        t = schema.TensorT()
        if isinstance(tensor, np.ndarray):
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(tensor.tobytes(), np.uint8)
            model.buffers.append(buffer)
            t.name, t.type, t.shape = f"constant{i}", kinds[tensor.dtype.type], list(tensor.shape)
            t.buffer = len(model.buffers) - 1
        else:
            t.name, kind, t.shape, *quantization = tensor
            t.type = kinds[kind]
            if quantization:
                t.quantization = schema.QuantizationParametersT()
                t.quantization.scale, t.quantization.zeroPoint = [quantization[0]], [quantization[1]]
        graph.tensors.append(t)
    count = len(inputs)
    graph.inputs = [i for i, t in enumerate(inputs) if not isinstance(t, np.ndarray)]
    graph.outputs = list(range(count, count + len(outputs)))
    code = schema.OperatorCodeT()
    if custom is None:
        code.builtinCode = getattr(schema.BuiltinOperator, operator)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    else:
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = operator
    op = schema.OperatorT()
    op.inputs, op.outputs = list(range(count)), graph.outputs
    if options is not None:
        op.builtinOptions = options
        op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
    if custom:
        op.customOptions = np.frombuffer(flexbuffers.Dumps(custom), np.uint8)
    graph.operators, model.subgraphs, model.operatorCodes = [op], [graph], [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def options(kind, **fields):
    value = getattr(schema, kind + "OptionsT")()
    for key, field in fields.items():
        setattr(value, key, field)
    return value


def direct():
    """Cases that are written field by field."""
    f, u8, i32 = np.float32, np.uint8, np.int32
    axis = lambda *n: np.array(n, i32)
    pool = options("Pool2D", padding=0, strideW=2, strideH=2, filterWidth=3, filterHeight=2)
    x, y = ("x", f, [1, 5, 6, 3]), ("y", f, [])
    q = lambda name, shape, scale, zero: (name, u8, shape, scale, zero)
    yield "l2_pool", written("L2_POOL_2D", [x], [y], pool)
    yield "expand_dims_kept", written("EXPAND_DIMS", [x, axis(-1)[0:1].reshape(())], [y], options("ExpandDims"))
    yield "squeeze_kept", written("SQUEEZE", [("x", f, [1, 4, 1, 3])], [y], options("Squeeze", squeezeDims=[0, 2]))
    yield "squeeze_all", written("SQUEEZE", [("x", f, [1, 4, 1, 3])], [y], options("Squeeze", squeezeDims=[]))
    yield "rank", written("RANK", [x], [("y", i32, [])], options("Rank"))
    yield "add_n", written("ADD_N", [x, ("x2", f, x[2]), ("x3", f, x[2])], [y], options("AddN"))
    yield "relu_0_to_1_kept", written("RELU_0_TO_1", [x], [y])
    yield "reshape_option", written("RESHAPE", [x], [y], options("Reshape", newShape=[3, -1]))
    for size in (2, 3, 4):
        for padding in (0, 1):
            p = options("Pool2D", padding=padding, strideW=1, strideH=1, filterWidth=size, filterHeight=size)
            yield f"average_pool_u8_{size}_{padding}", written(
                "AVERAGE_POOL_2D", [q("x", [1, 5, 6, 3], 0.1, 3)], [q("y", [], 0.1, 3)], p)
    yield "concatenation_u8_scales", written(
        "CONCATENATION", [q("x", [2, 9], 0.02, 128), q("x2", [2, 9], 0.03, 90)], [q("y", [], 0.03, 90)],
        options("Concatenation", axis=0))
    yield "add_u8", written(
        "ADD", [q("x", [3, 40], 0.02, 128), q("x2", [3, 40], 0.03, 90)], [q("y", [], 0.04, 110)], options("Add"))
    yield "add_u8_relu6", written(
        "ADD", [q("x", [3, 40], 0.04, 128), q("x2", [3, 40], 0.05, 90)], [q("y", [], 0.06, 10)],
        options("Add", fusedActivationFunction=3))
    yield "resize_bilinear_u8", written(
        "RESIZE_BILINEAR", [q("x", [1, 5, 6, 3], 0.1, 3), axis(10, 12)], [q("y", [], 0.1, 3)],
        options("ResizeBilinear", halfPixelCenters=True))
    boxes, classes = 60, 4
    grid = np.stack([RNG.uniform(0.1, 0.9, boxes), RNG.uniform(0.1, 0.9, boxes),
                     RNG.uniform(0.1, 0.4, boxes), RNG.uniform(0.1, 0.4, boxes)], -1).astype(f)
    for name, extra in dict(detection_fast={}, detection_regular={"use_regular_nms": True},
                            detection_two_classes={"max_classes_per_detection": 2}).items():
        settings = dict(max_detections=12, max_classes_per_detection=1, detections_per_class=20, nms_score_threshold=0.2,
                        nms_iou_threshold=0.5, num_classes=classes, y_scale=10.0, x_scale=10.0, h_scale=5.0, w_scale=5.0)
        yield name, written(
            "TFLite_Detection_PostProcess",
            [("boxes", f, [1, boxes, 4]), ("scores", f, [1, boxes, classes + 1]), grid],
            [(n, f, []) for n in ("found", "labels", "confidence", "count")], custom={**settings, **extra})


def refused():
    """Models that must be refused, for the operator in their name."""
    x, y = ("x", np.float32, [2]), ("y", np.float32, [2])
    yield "made_up_operator", written("made-up-operator", [x], [y], custom={"size": 3})
    yield "HASHTABLE_SIZE", written("HASHTABLE_SIZE", [x], [y])
    loop = tf.function(lambda x: tf.while_loop(lambda x: tf.reduce_sum(x) < 9.0, lambda x: x + 1.0, [x]),
                       input_signature=[tf.TensorSpec((2,), tf.float32)])
    yield "WHILE", tf.lite.TFLiteConverter.from_concrete_functions([loop.get_concrete_function()]).convert()


def run(model, feeds, low, high):
    interpreter = tf.lite.Interpreter(
        model_content=model,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    details = interpreter.get_input_details()
    feeds = feeds or [tf.TensorSpec(detail["shape"], tf.float32) for detail in details]
    for detail, feed in zip(details, feeds):
        interpreter.resize_tensor_input(detail["index"], feed.shape)
    interpreter.allocate_tensors()
    inputs = []
    for detail, feed in zip(interpreter.get_input_details(), feeds):
        value = sample(feed, low, high)
        scale, zero = detail["quantization"]
        if detail["dtype"] in (np.int8, np.uint8, np.int16) and scale:
            limits = np.iinfo(detail["dtype"])
            value = np.clip(np.round(value / scale) + zero, limits.min, limits.max)
            value = value.astype(detail["dtype"])
        interpreter.set_tensor(detail["index"], value)
        inputs.append((detail["name"], value))
    interpreter.invoke()
    outputs = [(d["name"], interpreter.get_tensor(d["index"])) for d in interpreter.get_output_details()]
    operators = sorted({d["op_name"] for d in interpreter._get_ops_details()} - {"DELEGATE"})
    return inputs, outputs, operators


def define():
    nn, image = tf.nn, (1, 9, 8, 3)
    all_modes = ("", "_i8", "_dyn", "_f16")
    q = ("", "_i8")

    def conv(x, stride=1, padding="SAME", dilation=1, act=None, kernel=3, outs=5, bias=True):
        y = nn.conv2d(x, conv.w[kernel, outs], stride, padding, dilations=dilation)
        y = nn.bias_add(y, weights(outs)) if bias else y
        return act(y) if act else y

    conv.w = {(k, o): weights(k, k, 3, o) for k in (1, 2, 3, 5) for o in (5, 8)}
    case("conv_same", lambda x: conv(x), image, modes=all_modes + ("_16x8",))
    case("conv_valid_stride2_relu6", lambda x: conv(x, 2, "VALID", act=nn.relu6), image, modes=all_modes)
    case("conv_same_stride2_relu", lambda x: conv(x, 2, act=nn.relu), image, modes=q)
    case("conv_dilated_tanh", lambda x: conv(x, dilation=2, act=nn.tanh), image, modes=q)
    case("conv_kernel2_no_bias", lambda x: conv(x, 2, kernel=2, bias=False), image, modes=q)
    case("conv_1x1", lambda x: conv(x, kernel=1, outs=8), image, modes=q)
    case("conv_dynamic_size", lambda x: conv(x, 2, kernel=5), (None, None, None, 3), feed=((2, 7, 10, 3),))
    wg = weights(3, 3, 2, 6)
    case("conv_grouped", lambda x: nn.conv2d(x, wg, 1, "SAME"), (1, 6, 5, 4), modes=q)
    for mult, stride, pad in ((1, 1, "SAME"), (2, 2, "SAME"), (3, 1, "VALID")):
        wd = weights(3, 3, 4, mult)
        case(f"depthwise_x{mult}_stride{stride}_{pad.lower()}",
             lambda x, wd=wd, stride=stride, pad=pad: nn.relu6(nn.depthwise_conv2d(x, wd, [1, stride, stride, 1], pad) + 0.5),
             (1, 9, 8, 4), modes=all_modes)
    wdd = weights(3, 3, 4, 1)
    case("depthwise_dilated", lambda x: nn.depthwise_conv2d(x, wdd, [1, 1, 1, 1], "SAME", dilations=[2, 2]), (1, 9, 8, 4), modes=q)
    for k, s, pad, out in ((3, 2, "SAME", (1, 10, 8, 6)), (2, 2, "VALID", (1, 10, 8, 6)), (3, 2, "SAME", (1, 9, 7, 6)),
                           (4, 2, "SAME", (1, 10, 8, 6)), (3, 2, "VALID", (1, 11, 9, 6)), (2, 3, "VALID", (1, 15, 12, 6))):
        wt = weights(k, k, 6, 3)
        case(f"transpose_conv_{k}_{s}_{pad.lower()}_{out[1]}",
             lambda x, wt=wt, s=s, pad=pad, out=out: nn.conv2d_transpose(x, wt, out, s, pad),
             (1, 5, 4, 3), modes=q)
    wt = weights(3, 3, 6, 3)
    case("transpose_conv_bias", lambda x: nn.relu(nn.bias_add(nn.conv2d_transpose(x, wt, (1, 10, 8, 6), 2, "SAME"), weights(6))), (1, 5, 4, 3), modes=q)
    wf, bf = weights(12, 7), weights(7)
    case("fully_connected", lambda x: nn.relu(tf.matmul(x, wf) + bf), (2, 12), modes=all_modes + ("_16x8",))
    case("fully_connected_no_bias", lambda x: tf.matmul(x, wf), (1, 12), modes=q)
    case("fully_connected_flatten", lambda x: tf.matmul(tf.reshape(x, (1, 12)), wf), (1, 2, 2, 3), modes=q)
    case("fully_connected_keep_dims", lambda x: tf.matmul(x, wf) + bf, (1, 4, 12), modes=q)
    case("batch_matmul", tf.matmul, (2, 3, 4), (2, 4, 5), modes=q)
    case("batch_matmul_adjoint", lambda x, y: tf.matmul(x, y, transpose_a=True, transpose_b=True), (2, 4, 3), (2, 5, 4), modes=q)

    for k, s, pad in ((2, 2, "VALID"), (3, 2, "SAME"), (3, 1, "SAME"), (4, 3, "SAME")):
        tag = f"{k}_{s}_{pad.lower()}"
        case(f"average_pool_{tag}", lambda x, k=k, s=s, pad=pad: nn.avg_pool2d(x, k, s, pad), image, modes=q)
        case(f"max_pool_{tag}", lambda x, k=k, s=s, pad=pad: nn.max_pool2d(x, k, s, pad), image, modes=q)
    case("average_pool_relu6", lambda x: nn.relu6(nn.avg_pool2d(x, 2, 2, "VALID")), image, modes=q)
    case("max_pool_relu", lambda x: nn.relu(nn.max_pool2d(x, 2, 2, "VALID")), image, modes=q)
    case("local_response_normalization", lambda x: nn.local_response_normalization(x, 2, 1.5, 0.3, 0.6), (1, 3, 3, 9))
    case("l2_normalization", lambda x: nn.l2_normalize(x, -1), (3, 8), modes=q)

    for name, f in dict(add=tf.add, sub=tf.subtract, mul=tf.multiply, maximum=tf.maximum, minimum=tf.minimum,
                        squared_difference=tf.math.squared_difference).items():
        case(name, f, (1, 4, 5, 3), (1, 4, 5, 3), modes=q)
        case(f"{name}_broadcast", f, (1, 4, 5, 3), (3,), modes=q)
    case("add_relu", lambda x, y: nn.relu(x + y), (1, 4, 5, 3), (1, 4, 5, 3), modes=q + ("_16x8",))
    case("mul_constant", lambda x: x * weights(3), (1, 4, 5, 3), modes=q)
    case("add_i32", tf.add, (2, 3), (2, 3), dtype=tf.int32, low=-50, high=50)
    case("div", lambda x, y: x / (tf.abs(y) + 1.0), (2, 3), (2, 3))
    case("div_i32", lambda x, y: tf.raw_ops.Div(x=x, y=y), (4, 5), (4, 5), dtype=tf.int32, low=1, high=9)
    case("floor_div", lambda x, y: tf.math.floordiv(x, tf.sign(y) * 0.3 + y), (4, 5), (4, 5))
    case("floor_div_i32", lambda x, y: tf.math.floordiv(x, 2 * y + 1), (4, 5), (4, 5), dtype=tf.int32, low=-9, high=9)
    case("floor_mod", lambda x, y: tf.math.floormod(x, tf.sign(y) * 0.3 + y), (4, 5), (4, 5))
    case("floor_mod_i32", lambda x, y: tf.math.floormod(x, 2 * y + 1), (4, 5), (4, 5), dtype=tf.int32, low=-9, high=9)
    case("pow", tf.pow, (2, 3), (2, 3), low=0.1)
    for name, f in dict(neg=tf.negative, abs=tf.abs, square=tf.square, exp=tf.exp, sin=tf.sin, cos=tf.cos, floor=tf.floor,
                        ceil=tf.math.ceil, round=tf.round, sign=tf.sign).items():
        case(name, f, (3, 7))
    for name, f in dict(sqrt=tf.sqrt, rsqrt=tf.math.rsqrt, log=tf.math.log).items():
        case(name, f, (3, 7), low=0.05)
    case("round_ties", lambda x: tf.round(tf.cast(x, tf.float32) / 2), (20,), dtype=tf.int32, low=-9, high=9)
    for name, f in dict(logistic=tf.sigmoid, tanh=tf.tanh, relu=nn.relu, relu6=nn.relu6, elu=nn.elu,
                        leaky_relu=lambda x: nn.leaky_relu(x, 0.3), hard_swish=lambda x: x * nn.relu6(x + 3.0) * 0.16666667,
                        softmax=nn.softmax, log_softmax=nn.log_softmax, gelu=lambda x: nn.gelu(x, False),
                        gelu_tanh=lambda x: nn.gelu(x, True),
                        relu_n1_to_1=lambda x: tf.minimum(tf.maximum(x, -1.0), 1.0),
                        relu_0_to_1=lambda x: tf.minimum(tf.maximum(x, 0.0), 1.0)).items():
        case(name, f, (2, 5, 10), low=-7.0, high=7.0, modes=q)
    alpha = weights(1, 1, 3)
    case("prelu", tf.keras.layers.PReLU(alpha_initializer=lambda s, dtype=None: alpha, shared_axes=[1, 2]), image, modes=q)

    for axes, keep in (((1, 2), False), ((1, 2), True), ((-1,), False), ((1,), True)):
        tag = "_".join(str(abs(a)) for a in axes) + ("_keep" if keep else "")
        for name, f in dict(mean=tf.reduce_mean, sum=tf.reduce_sum, reduce_max=tf.reduce_max, reduce_min=tf.reduce_min).items():
            case(f"{name}_{tag}", lambda x, f=f, axes=axes, keep=keep: f(x, axes, keep), (1, 6, 4, 3), modes=q)
    case("mean_positive", lambda x: tf.reduce_mean(x, (1, 2)), (1, 8, 8, 16), low=0.0, modes=q)
    case("reduce_prod", lambda x: tf.reduce_prod(x, 1), (3, 4))
    case("reduce_any", lambda x: tf.reduce_any(x, 1), (4, 3), dtype=tf.bool)
    case("reduce_all", lambda x: tf.reduce_all(x, 1), (4, 3), dtype=tf.bool)
    case("arg_max", lambda x: tf.argmax(x, -1, tf.int32), (3, 9), modes=q)
    case("arg_max_i64", lambda x: tf.argmax(x, 1), (3, 9, 2))
    case("arg_min", lambda x: tf.argmin(x, -1, tf.int32), (3, 9), modes=q)
    case("top_k", lambda x: tf.math.top_k(x, 4), (3, 9))
    case("cumsum", lambda x: tf.cumsum(x, 1), (3, 5))
    case("cumsum_exclusive_reverse", lambda x: tf.cumsum(x, 1, True, True), (3, 5))

    case("reshape", lambda x: tf.reshape(x, (4, -1)), (2, 4, 3), modes=q)
    case("reshape_computed", lambda x: tf.reshape(x, (tf.shape(x)[0], -1)), (None, 4, 3), feed=((3, 4, 3),))
    case("squeeze", lambda x: tf.squeeze(x, (1, 2)), (2, 1, 1, 3), modes=q)
    case("expand_dims", lambda x: tf.expand_dims(x, -2), (2, 3), modes=q)
    case("transpose", lambda x: tf.transpose(x, (0, 3, 1, 2)), (1, 2, 3, 4), modes=q)
    case("concatenation", lambda x, y: tf.concat((x, y), -1), (1, 2, 3, 4), (1, 2, 3, 2), modes=q)
    case("concatenation_scales", lambda x, y: tf.concat((x * 3.0, y), 1), (1, 2, 4), (1, 2, 4), modes=q)
    case("split", lambda x: tf.split(x, 3, -1), (2, 6), modes=q)
    case("split_v", lambda x: tf.split(x, (1, 4, -1), 1), (2, 7), modes=q)
    case("slice", lambda x: tf.slice(x, (0, 1, 2), (2, -1, 3)), (2, 4, 6), modes=q)
    case("strided_slice", lambda x: x[:, 1:-1:2, ::3], (2, 7, 8), modes=q)
    case("strided_slice_reverse", lambda x: x[::-1, 5:1:-2], (3, 7))
    case("strided_slice_shrink", lambda x: x[:, -1, 2:], (2, 4, 5), modes=q)
    case("strided_slice_new_axis", lambda x: x[..., tf.newaxis, 1, tf.newaxis, :2], (2, 4, 5))
    case("strided_slice_computed", lambda x: x[:, : tf.shape(x)[1] // 2, 1:], (1, None, 4), feed=((1, 9, 4),))
    case("pack", lambda x, y: tf.stack((x, y), 1), (2, 3), (2, 3), modes=q)
    case("unpack", lambda x: tf.unstack(x, axis=1), (2, 3, 4), modes=q)
    case("gather", lambda x: tf.gather(x, [2, 0, 0], axis=1), (2, 4, 3), modes=q)
    case("gather_batch", lambda x: tf.gather(x, [[1, 0], [2, 2]], axis=1, batch_dims=1), (2, 4, 3))
    case("gather_nd", lambda x: tf.gather_nd(x, [[0, 1], [1, 3]]), (2, 4, 3))
    case("tile", lambda x: tf.tile(x, (1, 2, 3)), (2, 2, 2), modes=q)
    case("pad", lambda x: tf.pad(x, ((0, 0), (1, 2), (3, 0), (0, 0))), image, modes=q)
    case("pad_v2", lambda x: tf.pad(x, ((0, 0), (1, 2)), constant_values=1.5), (2, 3))
    case("mirror_pad_reflect", lambda x: tf.pad(x, ((0, 0), (2, 1), (1, 2), (0, 0)), "REFLECT"), image, modes=q)
    case("mirror_pad_symmetric", lambda x: tf.pad(x, ((0, 0), (2, 1), (1, 2), (0, 0)), "SYMMETRIC"), image, modes=q)
    for op, f in dict(resize_bilinear=tf.raw_ops.ResizeBilinear, resize_nearest=tf.raw_ops.ResizeNearestNeighbor).items():
        for tag, args in dict(plain={}, corners=dict(align_corners=True), half=dict(half_pixel_centers=True)).items():
            for size in ((18, 16), (5, 7), (13, 3)):
                case(f"{op}_{tag}_{size[0]}", lambda x, f=f, args=args, size=size: f(images=x, size=size, **args),
                     image, modes=q if size[0] == 18 else ("",))
    case("space_to_depth", lambda x: nn.space_to_depth(x, 2), (1, 4, 6, 3), modes=q)
    case("depth_to_space", lambda x: nn.depth_to_space(x, 2), (1, 2, 3, 12), modes=q)
    case("space_to_batch_nd", lambda x: tf.space_to_batch(x, (2, 3), ((1, 0), (0, 1))), (2, 5, 5, 3), modes=q)
    case("batch_to_space_nd", lambda x: tf.batch_to_space(x, (2, 3), ((1, 0), (0, 1))), (12, 3, 2, 3), modes=q)
    case("cast", lambda x: tf.cast(x, tf.int32), (3, 5))
    case("cast_bool", lambda x: tf.cast(tf.cast(x, tf.bool), tf.float32), (3, 5), dtype=tf.int32, low=-1, high=1)
    case("shape", lambda x: tf.shape(x), (None, 3), feed=((4, 3),))
    case("range", lambda x: tf.range(x, 9, 2), (), dtype=tf.int32, low=1, high=3)
    case("fill", lambda x: tf.fill(tf.shape(x), 2.5), (None, 3), feed=((4, 3),))
    case("zeros_like", lambda x: tf.zeros_like(x), (None, 3), feed=((4, 3),))
    case("broadcast_to", lambda x: tf.broadcast_to(x, (4, 2, 3)), (2, 3))
    case("one_hot", lambda x: tf.one_hot(x, 5, 2.0, -1.0), (4,), dtype=tf.int32, low=0, high=4)
    case("reverse", lambda x: tf.reverse(x, (1,)), (2, 5))
    case("where", lambda x: tf.where(x), (3, 4), dtype=tf.bool)
    case("select_v2", lambda x, y: tf.where(x > y, x, y * 2.0), (3, 4), (3, 4), modes=q)
    case("select_broadcast", lambda x: tf.where(x > 0.0, x, 0.5), (3, 4))
    for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        case(name, getattr(tf, name), (5, 8), (5, 8), dtype=tf.int32, low=0, high=3)
    case("greater_f32", tf.greater, (5, 8), (5, 8), modes=q)
    for name in ("logical_and", "logical_or"):
        case(name, getattr(tf, name), (8,), (8,), dtype=tf.bool)
    case("logical_not", tf.logical_not, (8,), dtype=tf.bool)


def save(index, name, model, inputs, outputs, operators, tolerance):
    (HERE / f"{name}.tflite").write_bytes(model)
    entry = {"name": name, "operators": operators, "inputs": [], "outputs": [], "tolerance": tolerance}
    for kind, key, values in (("in", "inputs", inputs), ("out", "outputs", outputs)):
        for i, (tensor, value) in enumerate(values):
            np.save(HERE / f"{name}.{kind}{i}.npy", value)
            entry[key].append(tensor)
    index.append(entry)


def main():
    define()
    index = []
    for name, function, shapes, dtype, low, high, modes, feed in CASES:
        for mode in modes:
            specs = [tf.TensorSpec(shape, dtype) for shape in shapes]
            feeds = [tf.TensorSpec(shape, dtype) for shape in feed]
            full = name + mode
            try:
                model = convert(function, specs, feeds, low, high, mode)
                inputs, outputs, operators = run(model, feeds, low, high)
            except Exception as error:  # The converter cannot quantise every operator.
                print(f"left out: {full}: {str(error).splitlines()[0][:120]}", file=sys.stderr)
                continue
            # Hybrid kernels quantise the activations as well, which costs accuracy.
            save(index, full, model, inputs, outputs, operators,
                 {"quantisation_steps": 1} if mode in ("_i8", "_16x8")
                 else {"relative": 0.05, "absolute": 0.1} if mode == "_dyn"
                 else {"relative": 1e-4, "absolute": 1e-5})
    for name, model in direct():
        inputs, outputs, operators = run(model, None, -2.0, 2.0)
        save(index, name, model, inputs, outputs, operators,
             {"quantisation_steps": 1} if outputs[0][1].dtype == np.uint8 else {"relative": 1e-4, "absolute": 1e-5})
    (HERE / "refused").mkdir(exist_ok=True)
    for name, model in refused():
        (HERE / "refused" / f"{name}.tflite").write_bytes(model)
    (HERE / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
