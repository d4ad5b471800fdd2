"""Command lines of everything that can be measured, by name."""

import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
SITE = Path(next(path for path in sys.path if path.endswith("site-packages")))


class Runners:
    def __init__(self, sedge, work):
        self.sedge, self.work = sedge, Path(work)
        libraries = sorted((SITE / "onnxruntime/capi").glob("libonnxruntime.so*"))
        self.env = {"SEDGE_ONNXRUNTIME": str(libraries[0])} if libraries else {}
        mxnet = self.work / "mxnet/bin/python"
        self.mxnet = mxnet if mxnet.exists() else None

    def path(self, model, package=False):
        """`made:NAME` is a package that `make_models.py` wrote; Python takes the file in it."""
        if not model.startswith("made:"):
            return model
        directory = self.work / "models" / model.removeprefix("made:")
        return directory if package else directory / "model.onnx"

    def sedge_worker(self, model, threads, engine, picture=()):
        command = [self.sedge, "bench", model, *picture, "--worker", f"{engine}:{threads}"]
        return command, self.env

    def peer(self, name, model, threads, picture=()):
        python = self.mxnet if name == "mxnet" else sys.executable
        script = PEERS / f"{name}_peer.py"
        # MXNet has no other way to be told.
        env = {"OMP_NUM_THREADS": str(threads)} if name == "mxnet" else {}
        return [python, script, model, *picture, "--threads", threads], env

    def all(self, case, threads):
        """Whatever may run the case's model, ours first."""
        picture = [case["picture"]] if "picture" in case else []
        package = self.path(case["model"], package="picture" in case)
        file = str(self.path(case.get("file", case["model"])))
        names = ["litert", "openvino"] if file.endswith(".tflite") else ["onnxruntime", "openvino"]
        if picture:
            names = names[:1]
        commands = {
            "sedge": self.sedge_worker(package, threads, "native", picture),
            "sedge+onnxruntime": self.sedge_worker(package, threads, "onnxruntime", picture),
        }
        commands.update({name: self.peer(name, file, threads, picture) for name in names})
        if "twin" in case and self.mxnet:
            commands["mxnet"] = self.peer("mxnet", case["twin"], threads)
        return commands
