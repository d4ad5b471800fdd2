"""OpenVINO on the CPU, told to compute in f32: on some processors its default is bfloat16, whose
answers differ in the second digit."""

import openvino

from protocol import work


class Openvino:
    def __init__(self, model, threads):
        core = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": threads}
        self.model = core.compile_model(model, "CPU", settings)
        self.request = self.model.create_infer_request()
        self.inputs = [([d.get_length() if d.is_static else 1 for d in i.partial_shape],
                        i.element_type.to_dtype().type) for i in self.model.inputs]

    def run(self, arrays):
        answers = self.request.infer(arrays, share_inputs=True)
        return [answers[output] for output in self.model.outputs]


if __name__ == "__main__":
    work(Openvino)
