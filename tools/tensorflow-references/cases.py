"""Graphs of one TensorFlow operator each, in the forms that networks use."""

import numpy as np
import tensorflow as tf

raw = tf.raw_ops
RANDOM = np.random.RandomState(7)
F, I = np.float32, np.int32
CASES = {}


def case(name, build, *inputs, batch=False, absolute=0.0):
    """`build` makes results of placeholders; with `batch` their first size is left open."""
    assert name not in CASES, name
    CASES[name] = (build, inputs, batch, absolute)


def real(*shape, low=-2.0, high=2.0):
    return RANDOM.uniform(low, high, shape).astype(F)


def whole(*shape, low=-9, high=9, dtype=I):
    return RANDOM.randint(low, high, shape).astype(dtype)


def truth(*shape):
    return RANDOM.rand(*shape) > 0.5


def c(value, dtype=None):
    return tf.constant(value, dtype)


def boxes(count):
    corner = RANDOM.uniform(0, 0.7, (count, 2))
    return np.concatenate([corner, corner + RANDOM.uniform(0.05, 0.5, (count, 2))], 1).astype(F)


def convolutions():
    picture, weights = real(1, 9, 8, 4), real(3, 3, 4, 6)
    for padding in ["SAME", "VALID"]:
        for stride in [1, 2]:
            case(f"conv2d_{padding}_{stride}".lower(),
                 lambda x, p=padding, s=stride: raw.Conv2D(input=x, filter=weights, strides=[1, s, s, 1], padding=p),
                 picture)
            case(f"depthwise_{padding}_{stride}".lower(),
                 lambda x, p=padding, s=stride: raw.DepthwiseConv2dNative(
                     input=x, filter=real(3, 3, 4, 2), strides=[1, s, s, 1], padding=p),
                 picture)
    case("conv2d_dilated", lambda x: raw.Conv2D(input=x, filter=weights, strides=[1] * 4, padding="SAME",
                                                dilations=[1, 2, 2, 1]), picture)
    case("conv2d_explicit", lambda x: raw.Conv2D(
        input=x, filter=weights, strides=[1, 2, 2, 1], padding="EXPLICIT",
        explicit_paddings=[0, 0, 1, 2, 3, 0, 0, 0]), picture)
    case("conv2d_even_kernel", lambda x: raw.Conv2D(input=x, filter=real(2, 4, 4, 3), strides=[1] * 4,
                                                    padding="SAME"), picture)
    case("conv2d_grouped", lambda x: raw.Conv2D(input=x, filter=real(3, 3, 2, 6), strides=[1] * 4,
                                                padding="SAME"), picture)
    case("conv2d_batch", lambda x: raw.Conv2D(input=x, filter=weights, strides=[1, 2, 2, 1], padding="SAME"),
         real(3, 9, 8, 4), batch=True)
    case("depthwise_dilated", lambda x: raw.DepthwiseConv2dNative(
        input=x, filter=real(3, 3, 4, 1), strides=[1] * 4, padding="VALID", dilations=[1, 2, 2, 1]), picture)
    case("conv2d_computed_weights", lambda x, w: raw.Conv2D(input=x, filter=w, strides=[1] * 4, padding="SAME"),
         picture, weights)
    for padding, size in [("SAME", [1, 9, 7, 3]), ("SAME", [1, 10, 8, 3]), ("VALID", [1, 11, 9, 3])]:
        case(f"conv2dbackpropinput_{padding}_{size[1]}".lower(),
             lambda x, p=padding, s=size: raw.Conv2DBackpropInput(
                 input_sizes=s, filter=real(3, 3, 3, 4), out_backprop=x, strides=[1, 2, 2, 1], padding=p),
             real(1, 5, 4, 4))
    case("conv2dbackpropinput_batch", lambda x: raw.Conv2DBackpropInput(
        input_sizes=tf.stack([tf.shape(x)[0], 8, 6, 2]), filter=real(2, 2, 2, 4), out_backprop=x,
        strides=[1, 2, 2, 1], padding="VALID"), real(2, 4, 3, 4), batch=True)
    case("biasadd", lambda x: raw.BiasAdd(value=x, bias=real(4)), picture)
    case("biasadd_matrix", lambda x: raw.BiasAdd(value=x, bias=real(4)), real(3, 4))
    case("biasadd_channels_first", lambda x: raw.BiasAdd(value=x, bias=real(4), data_format="NCHW"),
         real(1, 4, 3, 2))
    case("biasaddv1", lambda x: raw.BiasAddV1(value=x, bias=real(4)), picture)
    blocks = real(2, 8, 6, 3)
    case("spacetobatchnd", lambda x: raw.SpaceToBatchND(input=x, block_shape=[2, 3], paddings=[[1, 1], [0, 3]]),
         blocks)
    case("batchtospacend", lambda x: raw.BatchToSpaceND(input=x, block_shape=[2, 2], crops=[[1, 0], [0, 2]]),
         real(8, 4, 3, 2))
    case("spacetobatch", lambda x: raw.SpaceToBatch(input=x, paddings=[[0, 0], [1, 1]], block_size=2), blocks)
    case("batchtospace", lambda x: raw.BatchToSpace(input=x, crops=[[0, 1], [0, 0]], block_size=2),
         real(4, 3, 2, 2))
    case("atrous", lambda x: raw.BatchToSpaceND(
        input=raw.Conv2D(input=raw.SpaceToBatchND(input=x, block_shape=[2, 2], paddings=[[2, 3], [2, 2]]),
                         filter=weights, strides=[1] * 4, padding="VALID"),
        block_shape=[2, 2], crops=[[0, 1], [0, 0]]), picture)


def pools():
    picture = real(1, 9, 8, 3)
    for op in ["MaxPool", "AvgPool"]:
        operand = "input" if op == "MaxPool" else "value"
        for padding in ["SAME", "VALID"]:
            case(f"{op}_{padding}".lower(), lambda x, o=op, n=operand, p=padding: getattr(raw, o)(
                **{n: x}, ksize=[1, 3, 2, 1], strides=[1, 2, 2, 1], padding=p), picture)
    case("maxpool_batch", lambda x: raw.MaxPool(input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME"),
         real(2, 5, 5, 3), batch=True)
    scale, offset, mean, variance = real(3), real(3), real(3), real(3, low=0.5)
    for op in ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"]:
        case(op.lower(), lambda x, o=op: getattr(raw, o)(
            x=x, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=0.001, is_training=False).y,
            picture)
    case("fusedbatchnorm_training", lambda x: raw.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=c([], F), variance=c([], F), is_training=True).y, picture)
    case("lrn", lambda x: raw.LRN(input=x, depth_radius=2, bias=1.5, alpha=0.3, beta=0.7), real(1, 3, 2, 7))


def elementwise():
    x, y = real(2, 3, 4), real(2, 3, 4, low=0.5)
    for op in ["Neg", "Abs", "Sign", "Square", "Exp", "Sin", "Cos", "Erf", "Floor", "Ceil", "Round", "Rint",
               "Reciprocal", "Inv", "Expm1", "Sigmoid", "Tanh"]:
        case(op.lower(), lambda x, o=op: getattr(raw, o)(x=x), x, absolute=1e-6)
    for op in ["Sqrt", "Rsqrt", "Log", "Log1p"]:
        case(op.lower(), lambda x, o=op: getattr(raw, o)(x=x), y, absolute=1e-6)
    for op in ["Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign"]:
        case(op.lower(), lambda x, o=op: getattr(raw, o)(features=x), x * 4, absolute=1e-6)
    case("leakyrelu_alpha", lambda x: raw.LeakyRelu(features=x, alpha=0.05), x)
    case("prelu", lambda x: raw.AddV2(x=raw.Relu(features=x), y=raw.Mul(
        x=real(4), y=raw.Mul(x=raw.Sub(x=x, y=raw.Abs(x=x)), y=0.5))), x)
    case("swish", lambda x: raw.Mul(x=x, y=raw.Sigmoid(x=x)), x)
    case("hardswish", lambda x: raw.Mul(x=x, y=raw.Mul(x=raw.Relu6(features=raw.AddV2(x=x, y=3.0)), y=1 / 6)),
         x * 3)
    case("softmax", lambda x: raw.Softmax(logits=x), x)
    case("logsoftmax", lambda x: raw.LogSoftmax(logits=x), x)
    for op in ["Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "DivNoNan", "Maximum", "Minimum",
               "SquaredDifference", "FloorDiv", "FloorMod"]:
        case(op.lower(), lambda x, y, o=op: getattr(raw, o)(x=x, y=y), x, y)
        case(f"{op.lower()}_broadcast", lambda x, o=op: getattr(raw, o)(x=x, y=c(y[0, 0])), x)
    case("divnonan_zero", lambda x, y: raw.DivNoNan(x=x, y=y), x, np.float32([0, 1, 0, 2]))
    case("pow", lambda x, y: raw.Pow(x=x, y=y), y, x)
    for op in ["FloorDiv", "FloorMod", "Add", "Sub", "Mul", "Maximum"]:
        case(f"{op.lower()}_integers", lambda x, y, o=op: getattr(raw, o)(x=x, y=y), whole(3, 5),
             np.where(truth(3, 5), 4, -3).astype(I))
    a, b = whole(3, 4, high=-5), whole(3, 4, high=-5)
    for op in ["Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual"]:
        case(op.lower(), lambda x, y, o=op: getattr(raw, o)(x=x, y=y), a.astype(F), b.astype(F))
    case("equal_integers", lambda x, y: raw.Equal(x=x, y=y), a, b)
    for op in ["LogicalAnd", "LogicalOr"]:
        case(op.lower(), lambda x, y, o=op: getattr(raw, o)(x=x, y=y), truth(3, 4), truth(3, 4))
    case("logicalnot", lambda x: raw.LogicalNot(x=x), truth(3, 4))
    case("addn", lambda x, y: raw.AddN(inputs=[x, y, x]), x, y)
    case("clipbyvalue", lambda x: raw.ClipByValue(t=x, clip_value_min=-0.5, clip_value_max=0.7), x)
    case("select", lambda p, x, y: raw.Select(condition=p, x=x, y=y), truth(2, 3, 4), x, y)
    case("select_rows", lambda p, x, y: raw.Select(condition=p, x=x, y=y), np.array([True, False]), x, y)
    case("selectv2", lambda p, x: raw.SelectV2(condition=p, t=x, e=c(0.25)), truth(3, 1), x)
    case("where", lambda p: raw.Where(condition=p), truth(3, 4))
    case("fakequantwithminmaxargs", lambda x: raw.FakeQuantWithMinMaxArgs(inputs=x, min=-1.0, max=1.7), x)
    case("fakequantwithminmaxvars", lambda x: raw.FakeQuantWithMinMaxVars(inputs=x, min=-0.3, max=1.5), x)
    case("fakequantwithminmaxvars_narrow", lambda x: raw.FakeQuantWithMinMaxVars(
        inputs=x, min=0.0, max=1.5, num_bits=4, narrow_range=True), x)
    for to in [tf.int32, tf.bool, tf.float16]:
        case(f"cast_{to.name}", lambda x, t=to: raw.Cast(x=x, DstT=t), x)
    case("cast_bytes", lambda x: raw.Cast(x=x, DstT=tf.float32), whole(2, 3, low=0, high=255, dtype=np.uint8))
    for op in ["StopGradient", "PreventGradient", "Snapshot", "EnsureShape", "CheckNumerics", "Identity"]:
        passed = {"EnsureShape": {"shape": [2, 3, 4]}, "CheckNumerics": {"message": ""}}.get(op, {})
        key = "tensor" if op == "CheckNumerics" else "input"
        case(op.lower(), lambda x, o=op, k=key, p=passed: raw.Neg(x=getattr(raw, o)(**{k: x}, **p)), x)
    case("identityn", lambda x, y: raw.IdentityN(input=[raw.Neg(x=x), raw.Abs(x=y)]), x, y)
    case("placeholderwithdefault", lambda x: raw.Mul(x=x, y=raw.PlaceholderWithDefault(
        input=c(2.0), shape=[])), x)
    case("switch", lambda x: raw.Merge(inputs=[
        raw.Neg(x=raw.Switch(data=x, pred=c(True))[0]), raw.Exp(x=raw.Switch(data=x, pred=c(True))[1])])[0], x)


def matrices():
    case("matmul", lambda x: raw.MatMul(a=x, b=real(4, 5)), real(3, 4))
    case("matmul_turned", lambda x, y: raw.MatMul(a=x, b=y, transpose_a=True, transpose_b=True),
         real(4, 3), real(5, 4))
    for op in ["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"]:
        extra = {"Tout": tf.float32} if op == "BatchMatMulV3" else {}
        case(op.lower(), lambda x, y, o=op, e=extra: getattr(raw, o)(x=x, y=y, adj_y=True, **e),
             real(2, 3, 4), real(2, 5, 4))
    case("batchmatmul_turned", lambda x, y: raw.BatchMatMulV2(x=x, y=y, adj_x=True), real(2, 4, 3), real(1, 4, 5))
    case("einsum", lambda x, y: raw.Einsum(inputs=[x, y], equation="bij,bjk->bik"), real(2, 3, 4), real(2, 4, 5))


def reductions():
    x = real(2, 3, 4, 5)
    for op in ["Mean", "Sum", "Prod", "Max", "Min"]:
        case(op.lower(), lambda x, o=op: getattr(raw, o)(input=x, axis=[1, 2]), x)
        case(f"{op.lower()}_kept", lambda x, o=op: getattr(raw, o)(input=x, axis=-1, keep_dims=True), x)
    case("mean_all", lambda x: raw.Mean(input=x, axis=[0, 1, 2, 3]), x)
    case("mean_none", lambda x: raw.Mean(input=x, axis=c([], I)), x)
    case("sum_integers", lambda x: raw.Sum(input=x, axis=[1]), whole(3, 4))
    for op in ["Any", "All"]:
        case(op.lower(), lambda x, o=op: getattr(raw, o)(input=x, axis=[1]), truth(5, 2))
    for op in ["ArgMax", "ArgMin"]:
        case(op.lower(), lambda x, o=op: getattr(raw, o)(input=x, dimension=-1), x)
        case(f"{op.lower()}_short", lambda x, o=op: getattr(raw, o)(
            input=x, dimension=1, output_type=tf.int32), x)
    case("topkv2", lambda x: raw.TopKV2(input=x, k=3), x)
    for exclusive, reverse in [(False, False), (True, False), (True, True)]:
        case(f"cumsum_{exclusive}_{reverse}".lower(), lambda x, e=exclusive, r=reverse: raw.Cumsum(
            x=x, axis=1, exclusive=e, reverse=r), x)


def shapes():
    x = real(2, 3, 4, 5)
    case("reshape", lambda x: raw.Reshape(tensor=x, shape=[6, -1]), x)
    case("reshape_computed", lambda x: raw.Reshape(tensor=x, shape=tf.stack([tf.shape(x)[0], -1, 5])), x, batch=True)
    case("reshape_joined", lambda x: raw.Reshape(tensor=x, shape=tf.concat([tf.shape(x)[:2], [20]], 0)), x, batch=True)
    case("reshape_product", lambda x: raw.Reshape(
        tensor=x, shape=tf.stack([tf.shape(x)[0] * 3, tf.shape(x)[2] * tf.shape(x)[3]])), x, batch=True)
    case("reshape_gathered", lambda x: raw.Reshape(
        tensor=x, shape=tf.concat([tf.gather(tf.shape(x), [0]), [60]], 0)), x, batch=True)
    case("reshape_unpacked", lambda x: raw.Reshape(
        tensor=x, shape=tf.stack([raw.Unpack(value=raw.Shape(input=x), num=4)[0], 4, 15])), x, batch=True)
    case("reshape_cast", lambda x: raw.Reshape(tensor=x, shape=tf.stack(
        [tf.cast(tf.cast(tf.shape(x), tf.int64)[0], tf.int32), -1])), x, batch=True)
    case("flatten_floordiv", lambda x: raw.Reshape(tensor=x, shape=tf.stack([-1, tf.shape(x)[2] // 2, 10])), x)
    case("squeeze", lambda x: raw.Squeeze(input=x, axis=[1, 2]), real(2, 1, 1, 3))
    case("squeeze_all", lambda x: raw.Squeeze(input=x), real(1, 2, 1, 3))
    case("expanddims", lambda x: raw.ExpandDims(input=x, axis=-2), x)
    case("transpose", lambda x: raw.Transpose(x=x, perm=[0, 3, 1, 2]), x)
    case("shape", lambda x: raw.Shape(input=x), x, batch=True)
    case("shape_long", lambda x: raw.Shape(input=x, out_type=tf.int64), x, batch=True)
    case("rank", lambda x: raw.Mul(x=x, y=raw.Cast(x=raw.Rank(input=x), DstT=tf.float32)), x)
    case("size", lambda x: raw.Size(input=x), x, batch=True)
    case("concat", lambda x, y: raw.Concat(concat_dim=1, values=[x, y]), real(2, 3), real(2, 2))
    case("concatv2", lambda x, y: raw.ConcatV2(values=[x, y, x], axis=-1), real(2, 3), real(2, 2))
    case("pack", lambda x, y: raw.Pack(values=[x, y], axis=1), real(2, 3), real(2, 3))
    case("unpack", lambda x: raw.Unpack(value=x, num=3, axis=1), x)
    case("split", lambda x: raw.Split(axis=-1, value=x, num_split=2), real(3, 6))
    case("splitv", lambda x: raw.SplitV(value=x, size_splits=[1, -1, 2], axis=1, num_split=3), real(3, 7))
    case("tile", lambda x: raw.Tile(input=x, multiples=[2, 1, 3]), real(2, 3, 2))
    case("broadcastto", lambda x: raw.BroadcastTo(input=x, shape=[4, 2, 3]), real(2, 1))
    case("fill", lambda x: raw.AddV2(x=x, y=raw.Fill(dims=[2, 3], value=1.5)), real(2, 3))
    case("fill_computed", lambda x: raw.Fill(dims=raw.Shape(input=x), value=1.5), real(2, 3), batch=True)
    case("zeroslike", lambda x: raw.ZerosLike(x=x), x)
    case("oneslike", lambda x: raw.OnesLike(x=x), x)
    case("range", lambda x: raw.Mul(x=x, y=raw.Cast(x=raw.Range(start=0, limit=tf.shape(x)[0], delta=1),
                                                    DstT=tf.float32)), real(5))
    case("range_computed", lambda x: raw.Range(start=0.0, limit=x, delta=0.5), np.float32(2.1))
    case("grid_of_known_size", lambda x: raw.AddV2(x=x, y=tf.cast(tf.stack(tf.meshgrid(
        tf.range(tf.shape(x)[2]), tf.range(tf.shape(x)[1])), -1), tf.float32)), real(2, 3, 4, 2), batch=True)
    case("padded_batch", lambda x: raw.Reshape(
        tensor=raw.Pad(input=x, paddings=[[0, 0], [1, 0], [0, 1], [0, 0]])[:, 1:],
        shape=tf.stack([tf.shape(x)[0], -1, 2])), real(2, 3, 4, 2), batch=True)
    case("part_of_size", lambda x: raw.RealDiv(x=x, y=tf.cast(tf.shape(x)[1:3], tf.float32)),
         real(2, 3, 4, 2), batch=True)
    case("onehot", lambda x: raw.OneHot(indices=x, depth=4, on_value=2.0, off_value=-1.0), whole(2, 3, low=0, high=4))
    case("onehot_axis", lambda x: raw.OneHot(indices=x, depth=4, on_value=1.0, off_value=0.0, axis=0),
         whole(3, low=0, high=4))
    case("reversev2", lambda x: raw.ReverseV2(tensor=x, axis=[1, -1]), x)
    case("depthtospace", lambda x: raw.DepthToSpace(input=x, block_size=2), real(1, 2, 3, 8))
    case("spacetodepth", lambda x: raw.SpaceToDepth(input=x, block_size=2), real(1, 4, 6, 2))
    case("slice", lambda x: raw.Slice(input=x, begin=[0, 1, 0, 2], size=[-1, 2, 4, -1]), x)
    case("slice_computed", lambda x, b: raw.Slice(input=x, begin=b, size=[1, 2]), real(3, 4), np.array([1, 1], I))
    cuts = {
        "plain": lambda x: x[0:1, 1:, :-1, ::2],
        "shrink": lambda x: x[1, ..., -1],
        "new": lambda x: x[:, tf.newaxis, ..., 1:3],
        "backwards": lambda x: x[:, ::-1, 3:0:-2],
        "last": lambda x: x[-1],
        "computed": lambda x: x[:, : tf.shape(x)[1] - 1],
    }
    for name, cut in cuts.items():
        case(f"stridedslice_{name}", cut, x)
    case("stridedslice_request", lambda x, n: x[:, n[0]:n[1]], real(3, 6), np.array([1, 4], I))
    case("stridedslice_request_one", lambda x, n: x[:, n], real(3, 6), np.int32(-1))
    case("gather", lambda x: raw.Gather(params=x, indices=[2, 0]), real(3, 4))
    case("gatherv2", lambda x, i: raw.GatherV2(params=x, indices=i, axis=1), real(3, 4), whole(2, 2, low=0, high=4))
    case("gatherv2_batch", lambda x, i: raw.GatherV2(params=x, indices=i, axis=1, batch_dims=1), real(3, 4, 2),
         whole(3, 5, low=0, high=4))
    case("gathernd", lambda x, i: raw.GatherNd(params=x, indices=i), real(3, 4, 2), whole(5, 2, low=0, high=3))
    case("scatternd", lambda i, x: raw.ScatterNd(indices=i, updates=x, shape=[6, 2]),
         np.array([[1], [4], [0]], I), real(3, 2))


def pictures():
    picture = real(1, 5, 4, 3, high=9.0)
    for op in ["ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic"]:
        for flags in [{}, {"align_corners": True}, {"half_pixel_centers": True}]:
            for size in [[9, 11], [3, 2]]:
                form = "".join(f"_{flag.split('_')[0]}" for flag in flags)
                case(f"{op}{form}_{size[0]}".lower(), lambda x, o=op, s=size, f=flags: getattr(raw, o)(
                    images=x, size=s, **f), picture, absolute=2e-5)
    case("resizebilinear_bytes", lambda x: raw.ResizeBilinear(images=x, size=[7, 7], half_pixel_centers=True),
         whole(1, 4, 4, 3, low=0, high=255, dtype=np.uint8), absolute=1e-4)
    case("resizebilinear_doubled", lambda x: raw.ResizeBilinear(images=x, size=tf.shape(x)[1:3] * 2), picture,
         batch=True)
    case("pad", lambda x: raw.Pad(input=x, paddings=[[0, 0], [1, 2], [0, 1], [0, 0]]), picture)
    case("padv2", lambda x: raw.PadV2(input=x, paddings=[[0, 0], [1, 2], [0, 1], [0, 0]], constant_values=-3.0),
         picture)
    case("pad_request", lambda x, p: raw.Pad(input=x, paddings=p), real(2, 3), np.array([[1, 0], [0, 2]], I))
    for mode in ["REFLECT", "SYMMETRIC"]:
        case(f"mirrorpad_{mode}".lower(), lambda x, m=mode: raw.MirrorPad(
            input=x, paddings=[[0, 0], [2, 1], [1, 3], [0, 0]], mode=m), picture)
    crops = np.array([[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], [0.6, 0.5, 0.2, 0.1], [-0.2, 0.1, 0.5, 1.3]], F)
    case("cropandresize", lambda x, b: raw.CropAndResize(
        image=x, boxes=b, box_ind=[0, 1, 0, 1], crop_size=[4, 3], extrapolation_value=0.5), real(2, 7, 6, 3), crops,
        absolute=1e-4)
    case("cropandresize_one", lambda x, b: raw.CropAndResize(
        image=x, boxes=b, box_ind=[0, 0, 0, 0], crop_size=[1, 1]), real(1, 7, 6, 3), crops, absolute=1e-4)


def suppression():
    many, scores = boxes(40), RANDOM.permutation(np.linspace(0.02, 0.98, 40)).astype(F)
    case("nonmaxsuppression", lambda b, s: raw.NonMaxSuppression(
        boxes=b, scores=s, max_output_size=12, iou_threshold=0.4), many, scores)
    case("nonmaxsuppressionv2", lambda b, s: raw.NonMaxSuppressionV2(
        boxes=b, scores=s, max_output_size=12, iou_threshold=0.4), many, scores)
    case("nonmaxsuppressionv3", lambda b, s: raw.NonMaxSuppressionV3(
        boxes=b, scores=s, max_output_size=30, iou_threshold=0.3, score_threshold=0.3), many, scores)
    for padded in [False, True]:
        suffix = "_padded" if padded else ""
        case(f"nonmaxsuppressionv4{suffix}", lambda b, s, p=padded: raw.NonMaxSuppressionV4(
            boxes=b, scores=s, max_output_size=30, iou_threshold=0.3, score_threshold=0.3,
            pad_to_max_output_size=p), many, scores)
        case(f"nonmaxsuppressionv5{suffix}", lambda b, s, p=padded: raw.NonMaxSuppressionV5(
            boxes=b, scores=s, max_output_size=30, iou_threshold=0.3, score_threshold=0.3, soft_nms_sigma=0.0,
            pad_to_max_output_size=p), many, scores)
    pairs = np.stack([boxes(30), boxes(30)])[:, :, None]
    table = RANDOM.permutation(np.linspace(0.01, 0.99, 2 * 30 * 4)).reshape(2, 30, 4).astype(F)
    for per_class, total, padded in [(5, 12, False), (3, 100, False), (4, 100, True)]:
        case(f"combinednonmaxsuppression_{per_class}_{total}", lambda b, s, n=per_class, t=total, p=padded:
             raw.CombinedNonMaxSuppression(
                 boxes=b, scores=s, max_output_size_per_class=n, max_total_size=t, iou_threshold=0.4,
                 score_threshold=0.2, pad_per_class=p, clip_boxes=True), pairs, table)


def constants():
    x = real(2, 3)
    for dtype in [tf.float32, tf.float16, tf.float64, tf.int32, tf.int64, tf.uint8, tf.int8, tf.int16, tf.bool]:
        case(f"const_{dtype.name}", lambda x, d=dtype: raw.AddV2(
            x=x, y=raw.Cast(x=c([[0, 1, 2]], d) if d != tf.bool else c([[True, False, True]]), DstT=tf.float32)), x)
    case("const_filled", lambda x: raw.AddV2(x=x, y=tf.constant(2.5, shape=[2, 3])), x)
    case("const_zero", lambda x: raw.AddV2(x=x, y=tf.constant(0.0, shape=[2, 3])), x)


for group in [convolutions, pools, elementwise, matrices, reductions, shapes, pictures, suppression, constants]:
    group()
