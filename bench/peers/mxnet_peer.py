"""MXNet 1.9.1, the framework of SageMaker's built-in algorithms, through its Module interface.

It reads no ONNX file of today; it runs the twin of its own model zoo with random weights. Needs
Python 3.8 and an old numpy; `bench/run` makes that environment where it can.
"""

import os
import tempfile

os.environ.setdefault("MXNET_SUBGRAPH_BACKEND", "MKLDNN")

import mxnet as mx
import numpy as np
from mxnet.gluon.model_zoo import vision

from protocol import work

TWINS = {"mobilenet_v1": vision.mobilenet1_0, "mobilenet_v2": vision.mobilenet_v2_1_0,
         "resnet50": vision.resnet50_v1}


class Mxnet:
    inputs = [([1, 3, 224, 224], np.float32)]

    def __init__(self, model, threads):
        net = TWINS[model]()
        net.initialize(mx.init.Xavier())
        net.hybridize()
        net(mx.nd.zeros((1, 3, 224, 224)))
        with tempfile.TemporaryDirectory() as directory:
            prefix = os.path.join(directory, "model")
            net.export(prefix)
            symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, 0)
        self.module = mx.mod.Module(symbol, label_names=None, context=mx.cpu())
        self.module.bind([("data", (1, 3, 224, 224))], for_training=False)
        self.module.set_params(arguments, auxiliary)

    def run(self, arrays):
        self.module.forward(mx.io.DataBatch([mx.nd.array(arrays[0])]), is_train=False)
        return [output.asnumpy() for output in self.module.get_outputs()]


if __name__ == "__main__":
    work(Mxnet)
