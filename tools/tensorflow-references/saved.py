"""Saved models as TensorFlow's ways of saving make them, small, with what TensorFlow answers."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

RANDOM = np.random.RandomState(11)


def real(*shape):
    return RANDOM.normal(0, 0.3, shape).astype(np.float32)


class Module(tf.Module):
    """Functions that call functions, variables in lists, a branch for training."""

    def __init__(self):
        self.filters = [tf.Variable(real(3, 3, 3, 4)), tf.Variable(real(3, 3, 4, 6))]
        self.biases = {"first": tf.Variable(real(4)), "second": tf.Variable(real(6))}
        self.dense = tf.Variable(real(6, 5))
        self.steps = tf.Variable(0, dtype=tf.int64)

    @tf.function
    def block(self, x, index, name):
        x = tf.nn.conv2d(x, self.filters[index], 2, "SAME")
        return tf.nn.relu(x + self.biases[name])

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.uint8, "image")])
    def serve(self, image):
        x = tf.cast(image, tf.float32) / 127.5 - 1.0
        x = self.block(self.block(x, 0, "first"), 1, "second")
        if tf.constant(False):
            x = tf.nn.dropout(x, 0.5)
        features = tf.reduce_mean(x, [1, 2])
        return {"scores": tf.nn.softmax(features @ self.dense), "features": features}


def module(path):
    model = Module()
    tf.saved_model.save(model, path, signatures={"serving_default": model.serve})
    return {"image": RANDOM.randint(0, 256, (2, 16, 16, 3)).astype(np.uint8)}


def keras(path):
    layers = tf.keras.layers
    x = inputs = tf.keras.Input((12, 12, 3), name="picture")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    y = layers.SeparableConv2D(4, 3, padding="same", activation="swish")(x)
    x = layers.Add()([x, y])
    x = layers.MaxPool2D()(layers.ZeroPadding2D(1)(x))
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.LayerNormalization()(x)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    x = layers.Dense(6, activation="gelu")(x)
    model = tf.keras.Model(inputs, layers.Dense(3, activation="sigmoid", name="hits")(x))
    model.set_weights([np.abs(real(*w.shape)) + 0.1 for w in model.get_weights()])
    model.save(path, save_format="tf", include_optimizer=False)
    return {"picture": real(2, 12, 12, 3)}


def session(path, resource=False, shards=1):
    """As TensorFlow 1 saves: variables by name in a session."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as running:
        x = v1.placeholder(tf.float32, [None, 8, 8, 2], "x")
        get = lambda name, *shape: v1.get_variable(name, initializer=real(*shape), use_resource=resource)
        y = tf.nn.bias_add(tf.nn.conv2d(x, get("conv/kernel", 3, 3, 2, 4), 1, "VALID"), get("conv/bias", 4))
        y = tf.reshape(tf.nn.max_pool2d(tf.nn.elu(y), 2, 2, "SAME"), [-1, 36])
        y = tf.matmul(y, get("dense/kernel", 36, 5)) + get("dense/bias", 5)
        running.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(running, path, {"pixels": x}, {"logits": y})
    if shards > 1:
        split(Path(path) / "variables" / "variables", shards)
    return {"pixels": real(2, 8, 8, 2)}


def split(prefix, shards):
    """Distributes variables over several files, as a parameter server does."""
    reader = tf.train.load_checkpoint(str(prefix))
    names = sorted(reader.get_variable_to_shape_map())
    parts = []
    with tempfile.TemporaryDirectory() as directory:
        for part in range(shards):
            mine = names[part::shards]
            where = f"{directory}/part{part}"
            tf.raw_ops.SaveV2(prefix=where, tensor_names=mine, shape_and_slices=[""] * len(mine),
                              tensors=[reader.get_tensor(name) for name in mine])
            parts.append(where)
        for old in prefix.parent.iterdir():
            old.unlink()
        tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(prefix))


MODELS = {
    "module": module,
    "keras": keras,
    "session": session,
    "session_resources": lambda path: session(path, resource=True),
    "session_sharded": lambda path: session(path, shards=3),
}


def write(testdata):
    root = testdata / "saved_models"
    shutil.rmtree(root, ignore_errors=True)
    index = []
    for name, make in MODELS.items():
        path = root / name
        inputs = make(str(path))
        for extra in ["assets", "fingerprint.pb", "keras_metadata.pb"]:
            target = path / extra
            if target.is_dir():
                target.rmdir()
            elif extra != "fingerprint.pb" or name != "keras":
                target.unlink(missing_ok=True)
        loaded = tf.saved_model.load(str(path))
        answers = loaded.signatures["serving_default"](**{k: tf.constant(v) for k, v in inputs.items()})
        for kind, tensors in [("in", inputs), ("out", answers)]:
            for key, value in tensors.items():
                np.save(root / f"{name}.{kind}.{key}.npy", np.asarray(value))
        index.append({"name": name, "inputs": sorted(inputs), "outputs": sorted(answers)})
    (root / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    wrapped(testdata)


def wrapped(testdata):
    """The frozen ResNet-8 with its weights as variables, and its references under other names."""
    v1 = tf.compat.v1
    whole = v1.GraphDef.FromString((testdata / "models/resnet8-tensorflow/frozen.pb").read_bytes())
    weights = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in whole.node if node.op == "Const"}
    frozen = v1.GraphDef(versions=whole.versions)
    weights = {name: value for name, value in weights.items() if value.size > 16 and value.dtype == np.float32}
    frozen.node.extend(node for node in whole.node if node.name not in weights)
    path = testdata / "models/resnet8-saved-model"
    for old in ["saved_model.pb", "variables"]:
        target = path / old
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    model = tf.Module()
    model.weights = {name.replace("/", "."): tf.Variable(value) for name, value in weights.items()}

    @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], tf.float32, "image")])
    def serve(image):
        places = {f"{name}:0": model.weights[name.replace("/", ".")].read_value() for name in weights}
        places["input:0"] = image
        return {"scores": tf.graph_util.import_graph_def(frozen, places, ["Identity:0"])[0]}

    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(model, directory, signatures={"serving_default": serve})
        for kept in ["saved_model.pb", "variables"]:
            shutil.move(f"{directory}/{kept}", path / kept)
    references(testdata, path)


def references(testdata, path):
    """What the saved model answers to the pictures that the frozen one was asked about."""
    loaded = tf.saved_model.load(str(path))
    target = testdata / "reference/saved_resnet8_cifar10"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    sha = lambda data: hashlib.sha256(data).hexdigest()
    for source in sorted((testdata / "reference/tfpb_resnet8_cifar10").glob("*.json")):
        case = json.loads(source.read_text())
        pixels = (source.parent / case["resized_rgb8"]["file"]).read_bytes()
        image = tf.cast(tf.io.decode_png(pixels, 3), tf.float32)[None]
        assert sha(image.numpy().tobytes()) == case["inputs"][0]["sha256_of_bytes"]
        scores = loaded.signatures["serving_default"](image=image)["scores"].numpy()
        file = f"{source.stem}.output.scores.npy"
        np.save(target / file, scores)
        case["model_files"] = [{
            "path": "models/resnet8-saved-model/saved_model.pb",
            "sha256": sha((path / "saved_model.pb").read_bytes()),
        }]
        case["framework"] = "TensorFlow (tf.saved_model.load, CPU)"
        case["framework_version"] = tf.__version__
        case["inputs"][0]["name"] = "image"
        case["outputs"] = [{
            "name": "scores", "shape": [1, 10], "dtype": "float32",
            "sha256_of_bytes": sha(scores.tobytes()), "file": file,
        }]
        for top in case["top5"]:
            top["score"] = float(scores[0, top["index"]])
        (target / f"{source.stem}.json").write_text(json.dumps(case, indent=1) + "\n")
