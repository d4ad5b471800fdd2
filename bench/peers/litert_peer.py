"""LiteRT (TensorFlow Lite) with XNNPACK, its default."""

from ai_edge_litert.interpreter import Interpreter

from protocol import work


class Litert:
    def __init__(self, model, threads):
        self.interpreter = Interpreter(model, num_threads=threads)
        self.interpreter.allocate_tensors()
        details = self.interpreter.get_input_details()
        self.ids = [detail["index"] for detail in details]
        self.inputs = [([max(int(n), 1) for n in d["shape"]], d["dtype"]) for d in details]
        self.outputs = [detail["index"] for detail in self.interpreter.get_output_details()]

    def run(self, arrays):
        for index, array in zip(self.ids, arrays):
            self.interpreter.set_tensor(index, array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]


if __name__ == "__main__":
    work(Litert)
