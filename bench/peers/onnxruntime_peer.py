"""ONNX Runtime's Python package."""

import numpy as np
import onnxruntime

from protocol import work

DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}


class Onnxruntime:
    def __init__(self, model, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"])
        self.names = [i.name for i in self.session.get_inputs()]
        self.inputs = [([d if isinstance(d, int) else 1 for d in i.shape], DTYPES[i.type])
                       for i in self.session.get_inputs()]

    def run(self, arrays):
        return self.session.run(None, dict(zip(self.names, arrays)))


if __name__ == "__main__":
    work(Onnxruntime)
