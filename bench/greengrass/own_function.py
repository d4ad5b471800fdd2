"""What a function did without a connector: OpenCV and MXNet in its own process.

Takes a model's prefix and epoch, a picture, the edge of the model's input, answers in a round and
rounds; prints the median of each round in microseconds as JSON.
"""

import json
import statistics
import sys
import time

import cv2
import mxnet as mx
import numpy as np

prefix, epoch, picture, edge, count, rounds = sys.argv[1:]
edge = int(edge)
symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, int(epoch))
module = mx.mod.Module(symbol=symbol, label_names=None)
module.bind(for_training=False, data_shapes=[("data", (1, 3, edge, edge))])
module.set_params(arguments, auxiliary, allow_missing=True)
with open(picture, "rb") as file:
    content = file.read()


def answer():
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    pixels = cv2.resize(pixels, (edge, edge)).transpose(2, 0, 1)[None]
    module.forward(mx.io.DataBatch([mx.nd.array(pixels)]), is_train=False)
    return module.get_outputs()[0].asnumpy().ravel()


found = []
for turn in range(int(rounds) + 1):
    times = []
    for _ in range(int(count)):
        begun = time.perf_counter()
        answer()
        times.append((time.perf_counter() - begun) * 1e6)
    if turn:  # the first one warms
        found.append(statistics.median(times))
print(json.dumps(found))
