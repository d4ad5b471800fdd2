"""Writes testdata/chainer: what the networks of chainer.links answer with weights made of a formula.

Needs Python 3.8, chainer 7.8.1 and numpy before 1.24. The weights are too large to keep: `formula`
makes them of their names, and crates/sedge-import/tests/chainer.rs does the same.
"""

import json
import zlib
from pathlib import Path

import chainer
import numpy as np
from chainer import links, serializers

TESTDATA = Path(__file__).resolve().parents[2] / "testdata"
NETWORKS = {
    "GoogLeNet": lambda: links.GoogLeNet(pretrained_model=None),
    "ResNet50Layers": lambda: links.ResNet50Layers(pretrained_model=None),
    "ResNet50Layers(downsample_fb=True)": lambda: links.ResNet50Layers(pretrained_model=None, downsample_fb=True),
    "ResNet101Layers": lambda: links.ResNet101Layers(pretrained_model=None),
    "ResNet152Layers": lambda: links.ResNet152Layers(pretrained_model=None),
    "VGG16Layers": lambda: links.VGG16Layers(pretrained_model=None),
    "VGG19Layers": lambda: links.VGG19Layers(pretrained_model=None),
}


def noise(name, count):
    """Numbers from -0.5 to 0.5, by a mixing of bits (MurmurHash3's last steps)."""
    x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(zlib.crc32(name.encode()))
    x ^= x >> 15
    x *= np.uint32(0x85EBCA77)
    x ^= x >> 13
    x *= np.uint32(0xC2B2AE3D)
    x ^= x >> 16
    return (x >> 8).astype(np.float32) * np.float32(2.0**-24) - np.float32(0.5)


def formula(name, shape):
    """Weights that keep the size of what goes through; statistics near none and one."""
    values = noise(name, int(np.prod(shape))).reshape(shape)
    if name.endswith("/W"):
        return values * np.float32((24.0 / np.prod(shape[1:])) ** 0.5)
    if name.endswith(("/gamma", "/avg_var")):
        return values * np.float32(0.4) + np.float32(0.7)
    return values * np.float32(0.2)


def main():
    target = TESTDATA / "chainer"
    target.mkdir(exist_ok=True)
    index = {}
    for name, make in NETWORKS.items():
        model = make()
        writer = serializers.DictionarySerializer()
        writer.save(model)
        arrays = {key: array for key, array in writer.target.items()}
        shapes = {}
        for key, array in arrays.items():
            if not key.endswith("/N"):
                arrays[key] = formula(key, array.shape)
                shapes[key] = list(array.shape)
        last = next(layer for layer in ["fc8", "fc6", "loss3_fc"] if f"{layer}/W" in arrays)
        x = (noise("x", 3 * 224 * 224) * np.float32(40)).reshape(1, 3, 224, 224)

        def answer(layer):
            serializers.NpzDeserializer(arrays).load(model)
            with chainer.using_config("train", False), chainer.using_config("enable_backprop", False):
                return model.forward(x, layers=[layer])[layer].array

        # Logits of a few units, so that no class has all the probability.
        scale = 2.0 ** -round(float(np.log2(answer(last).std())))
        for part in ["W", "b"]:
            arrays[f"{last}/{part}"] *= np.float32(scale)
        prob = answer("prob")
        file = name.replace("(", "_").replace(")", "").replace("=", "_") + ".prob.npy"
        np.save(target / file, prob)
        index[name] = {"shapes": shapes, "prob": file, "last": last, "scale": scale}
        print(name, prob.min(), prob.max(), np.sort(prob[0])[-3:])
    (target / "index.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")


main()
